/** `zero evict PATH…`: drops local content that the bucket holds; says what stayed, and why. */
import { ExitCode } from "../../domain/errors.ts";
import { formatBytes } from "../../domain/units.ts";
import type { EvictResult } from "../../daemon/control_protocol.ts";
import { type CommandContext, targetsByMount, withProgress } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { count } from "../progress.ts";

export async function evictCommand(
  context: CommandContext,
  paths: string[],
  options: { json?: boolean },
): Promise<number> {
  let stayed = 0;
  for (const group of targetsByMount(context, paths)) {
    const result = await withProgress(
      options,
      (progress) =>
        callDaemon<EvictResult>(
          group.mount,
          { command: "evict", paths: group.paths.map(wirePath) },
          progress.follow("evicting"),
        ),
    );
    stayed += result.stayedFiles;
    if (options.json) context.print(JSON.stringify(result));
    else {
      context.print(`evicted ${count(result.files)}, ${formatBytes(result.bytes)} freed`);
      for (const { path, reason } of result.stayed) context.print(`  stays: ${path} (${reason})`);
      const more = result.stayedFiles - result.stayed.length;
      if (more > 0) context.print(`  and ${count(more)} more`);
    }
  }
  return stayed === 0 ? ExitCode.ok : ExitCode.failure;
}
