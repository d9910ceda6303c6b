/** `zero pin PATH…` and `zero unpin PATH…`: the user's veto on eviction; of a directory: for all below it. */
import { ExitCode } from "../../domain/errors.ts";
import type { PinResult } from "../../daemon/control_protocol.ts";
import { type CommandContext, targetsByMount } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";

export async function pinCommand(
  context: CommandContext,
  paths: string[],
  options: { pinned: boolean; until?: string; json?: boolean },
): Promise<number> {
  let untilMs: number | undefined;
  if (options.until !== undefined) {
    const { parseTime } = await import("../../daemon/preview.ts");
    untilMs = parseTime(options.until, { now: Date.now() });
  }
  for (const group of targetsByMount(context, paths)) {
    const { pinned } = options;
    const result = await callDaemon<PinResult>(group.mount, {
      command: "pin",
      paths: group.paths.map(wirePath),
      pinned,
      untilMs,
    });
    if (options.json) context.print(JSON.stringify(result));
    else {
      for (const path of result.done) context.print(`${pinned ? "pinned" : "unpinned"} ${path}`);
      for (const path of result.stillPinned) {
        context.print(`  ${path} stays pinned by a directory above it`);
      }
    }
  }
  return ExitCode.ok;
}
