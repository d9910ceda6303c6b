/**
 * The filesystem isolate (a Worker): the loop that waits for the kernel, the engine and the disk
 * helpers, and handles one thing at a time to its end. It never awaits and never waits for disk or
 * network beyond a system call on a local file; so there are no locks and no races in here.
 */
import { FilesystemRuntime } from "./isolate_runtime.ts";
import type { IsolateStart } from "./isolate_messages.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<IsolateStart>) => void) | null;
  close(): void;
};

scope.onmessage = ({ data }) => {
  const runtime = new FilesystemRuntime(data);
  runtime.run();
  // Let the last messages leave before the Worker goes.
  setTimeout(() => scope.close(), 0);
};
