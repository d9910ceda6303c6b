/** `zero gc`: what the bucket holds and costs; with --apply, what is garbage goes. */
import { ExitCode } from "../../domain/errors.ts";
import { formatBytes } from "../../domain/units.ts";
import type { GcResult } from "../../daemon/care_requests.ts";
import { type CommandContext, targetOrOnlyMount, withProgress } from "../context.ts";
import { callDaemon } from "../control_client.ts";

export async function gcCommand(
  context: CommandContext,
  path: string | undefined,
  options: { apply?: boolean; force?: boolean; json?: boolean },
): Promise<number> {
  const { mount } = targetOrOnlyMount(context, path);
  const { apply = false, force = false } = options;
  const result = await withProgress(options, (progress) => {
    progress.show("looking at the bucket");
    return callDaemon<GcResult>(mount, { command: "gc", apply, force });
  });
  if (options.json) context.print(JSON.stringify(result, null, 2));
  else for (const line of render(result, apply)) context.print(line);
  return ExitCode.ok;
}

interface Amount {
  objects: number;
  bytes: number;
}
const amount = ({ objects, bytes }: Amount) =>
  `${formatBytes(bytes)} in ${objects} ${objects === 1 ? "object" : "objects"}`;
const money = (sum: number) => sum < 0.01 && sum > 0 ? "under 0.01" : sum.toFixed(2);

function render({ report, money: costs }: GcResult, apply: boolean): string[] {
  const { live, trashBytes = 0, dead, unknown, deletable, deleted, repacked, sparse } = report;
  const lines = [
    `needed    ${formatBytes(live.referencedBytes)}, in packs of ${amount(live)}`,
    `trash     ${formatBytes(trashBytes)} of that only for what was removed or overwritten`,
    `garbage   ${amount(dead)} that nothing refers to, ${amount(unknown)} unknown`,
    `sparse    ${amount(sparse)}, of which ${formatBytes(sparse.referencedBytes)} are needed`,
    `metadata  ${amount(report.own)}`,
    `billed    ${amount(report.billed)}: ${money(costs.perMonth)} a month, of that trash ${
      money(costs.trashPerMonth)
    }, garbage ${money(costs.garbagePerMonth)} (prices of ${costs.date})`,
    `reading everything back would cost ${money(costs.egressOfAll)}`,
  ];
  if (report.foreign.objects > 0) {
    lines.push(`foreign   ${amount(report.foreign)} that Zero did not write, and leaves alone`);
  }
  if (report.missing > 0) lines.push(`missing   ${report.missing} packs: run zero fsck`);
  if (apply) {
    lines.push(
      `deleted   ${amount(deleted.dead)}, ${amount(deleted.unknown)} unknown, ${
        amount(deleted.superseded)
      } of old metadata`,
    );
    if (repacked.chunks > 0) {
      lines.push(`repacked  ${repacked.chunks} chunks, ${formatBytes(repacked.bytes)}`);
    }
    if (report.expiredVersions > 0) {
      lines.push(`expired   ${report.expiredVersions} files left the trash`);
    }
  } else {
    lines.push(
      `zero gc --apply would delete ${amount(deletable.dead)}, ${
        amount(deletable.unknown)
      } unknown, and ${
        amount(deletable.superseded)
      } of old metadata; the rest is younger than its grace`,
    );
    if (report.refused !== undefined) lines.push(`it would need --force: ${report.refused}`);
  }
  for (const note of report.notes) lines.push(`note      ${note}`);
  return lines;
}
