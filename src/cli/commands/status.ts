/** `zero status [PATH]`: of a mount, or of one file on it. Without a path, of every mount. */
import { ExitCode, UserError } from "../../domain/errors.ts";
import type { FileReport, StatusReport } from "../../daemon/control_protocol.ts";
import { zeroMounts } from "../../daemon/find_mount.ts";
import { type CommandContext, type Target, targetOf } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { ENTRY_HEADER, renderEntry, renderStatus } from "../render.ts";

export async function statusCommand(
  context: CommandContext,
  path: string | undefined,
  options: { json?: boolean },
): Promise<number> {
  const targets: Target[] = path === undefined
    ? zeroMounts().map((mount) => ({ mount, names: [] }))
    : [targetOf(context, path)];
  if (targets.length === 0) {
    if (options.json) context.print("[]");
    throw new UserError("no file system of Zero is mounted", { hint: "zero mount MOUNTPOINT" });
  }
  const reports: unknown[] = [];
  for (const { mount, names } of targets) {
    if (names.length > 0) {
      const file = await callDaemon<FileReport>(mount, {
        command: "status",
        path: wirePath(names),
      });
      reports.push(file);
      if (!options.json) context.print(`${ENTRY_HEADER}\n${renderEntry(file)}`);
    } else {
      const status = await callDaemon<StatusReport>(mount, { command: "status" });
      reports.push(status);
      if (!options.json) context.print(renderStatus(status));
    }
  }
  if (options.json) {
    context.print(JSON.stringify(path === undefined ? reports : reports[0], null, 2));
  }
  return ExitCode.ok;
}
