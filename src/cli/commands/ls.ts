/** `zero ls PATH`: files, their size, and how much of each is here. */
import { ExitCode } from "../../domain/errors.ts";
import type { FileReport, ListResult } from "../../daemon/control_protocol.ts";
import { type CommandContext, targetOf } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { ENTRY_HEADER, renderEntry } from "../render.ts";

export async function lsCommand(
  context: CommandContext,
  path: string,
  options: { recursive?: boolean; json?: boolean },
): Promise<number> {
  const { mount, names } = targetOf(context, path);
  const entries: FileReport[] = [];
  if (!options.json) context.print(ENTRY_HEADER);
  await callDaemon<ListResult>(
    mount,
    { command: "list", path: wirePath(names), recursive: options.recursive === true },
    (progress) => {
      if (progress.kind !== "entry") return;
      if (options.json) entries.push(progress.entry);
      else context.print(renderEntry(progress.entry));
    },
  );
  if (options.json) context.print(JSON.stringify(entries, null, 2));
  return ExitCode.ok;
}
