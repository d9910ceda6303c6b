/** `zero status [PATH]`: of a mount, or of one file on it. Without a path, of every mount. */
import { ExitCode, UserError } from "../../domain/errors.ts";
import type { FileReport, StatusReport } from "../../daemon/control_protocol.ts";
import { zeroMounts } from "../../daemon/find_mount.ts";
import { renderCost } from "../../daemon/policy_reports.ts";
import { type CostReport, Preview } from "../../daemon/preview.ts";
import { type CommandContext, type Target, targetOf } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { ENTRY_HEADER, renderEntry, renderStatus } from "../render.ts";

/** What the bucket of a mount costs, from its databases; or why that is not known. */
function costOfMount(cache: string): CostReport | { unknown: string } {
  try {
    const preview = new Preview(cache);
    try {
      const cost = preview.cost(preview.policy(undefined), { now: Date.now() });
      return cost ?? { unknown: "no prices are configured" };
    } finally {
      preview.close();
    }
  } catch (error) {
    // A status that fails because of an estimate would be worse than one without.
    if (!(error instanceof UserError)) throw error;
    return { unknown: error.message };
  }
}

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
  let failure: UserError | undefined;
  for (const { mount, names } of targets) {
    if (names.length > 0) {
      const file = await callDaemon<FileReport>(mount, {
        command: "status",
        path: wirePath(names),
      });
      reports.push(file);
      if (!options.json) context.print(`${ENTRY_HEADER}\n${renderEntry(file)}`);
    } else {
      let status: StatusReport;
      try {
        status = await callDaemon<StatusReport>(mount, { command: "status" });
      } catch (error) {
        // One that does not answer keeps nobody from hearing of the others.
        if (path !== undefined || !(error instanceof UserError)) throw error;
        failure ??= error;
        continue;
      }
      const cost = costOfMount(mount.cache);
      reports.push({ ...status, cost });
      if (options.json) continue;
      context.print(renderStatus(status));
      const lines = "unknown" in cost ? [`costs are not known: ${cost.unknown}`] : renderCost(cost);
      for (const line of lines) context.print(`bucket    ${line}`);
    }
  }
  if (options.json) {
    context.print(JSON.stringify(path === undefined ? reports : reports[0], null, 2));
  }
  if (failure !== undefined) throw failure;
  return ExitCode.ok;
}
