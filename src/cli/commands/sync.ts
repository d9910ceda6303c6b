/** `zero sync [PATH]`: returns when everything (below PATH) is in the bucket. */
import { ExitCode } from "../../domain/errors.ts";
import type { SyncResult } from "../../daemon/control_protocol.ts";
import { type CommandContext, targetOrOnlyMount, withProgress } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { renderUnsafe } from "../render.ts";

export async function syncCommand(
  context: CommandContext,
  path: string | undefined,
  options: { json?: boolean },
): Promise<number> {
  const { mount, names } = targetOrOnlyMount(context, path);
  const request = names.length === 0
    ? { command: "sync" } as const
    : { command: "sync", path: wirePath(names) } as const;
  const result = await withProgress(
    options,
    (progress) => callDaemon<SyncResult>(mount, request, progress.follow("uploading")),
  );
  context.print(options.json ? JSON.stringify(result) : renderUnsafe(result.unsafe));
  return result.unsafe.files === 0 ? ExitCode.ok : ExitCode.unsafe;
}
