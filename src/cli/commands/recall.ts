/** `zero recall PATH…`: brings content back, all of it, before anybody has to wait for it. */
import { ExitCode } from "../../domain/errors.ts";
import type { RecallResult } from "../../daemon/control_protocol.ts";
import { type CommandContext, targetsByMount, withProgress } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { count } from "../progress.ts";

export async function recallCommand(
  context: CommandContext,
  paths: string[],
  options: { json?: boolean },
): Promise<number> {
  let failed = 0;
  for (const group of targetsByMount(context, paths)) {
    const result = await withProgress(
      options,
      (progress) =>
        callDaemon<RecallResult>(
          group.mount,
          { command: "recall", paths: group.paths.map(wirePath) },
          progress.follow("recalling"),
        ),
    );
    failed += result.failedFiles;
    if (options.json) context.print(JSON.stringify(result));
    else {
      context.print(`recalled ${count(result.files)}, ${result.chunks} chunks fetched`);
      for (const { path, reason } of result.failed) context.print(`  failed: ${path} (${reason})`);
      const more = result.failedFiles - result.failed.length;
      if (more > 0) context.print(`  and ${count(more)} more`);
    }
  }
  return failed === 0 ? ExitCode.ok : ExitCode.store;
}
