/** How a plan reads: a table that fits a terminal, and the same for programs. Pure. */
import { formatBytes, formatDuration } from "../domain/units.ts";
import type { CostReport } from "../policy/budget.ts";
import { type Decision, printRule, printVerdict, REASONS } from "../policy/decision.ts";
import type { Plan, Totals } from "../policy/plan.ts";
import { printPlace, type Problem } from "../policy/problems.ts";
import { renderUnmet } from "../policy/unmet.ts";
import { renderCost } from "./policy_reports.ts";
import type { Candidate } from "./preview.ts";
import { printMoney } from "./prices.ts";
import { first, JsonList, type JsonMembers } from "./json_text.ts";
import { clip, clipPath } from "./table_text.ts";

export interface PlanReport {
  plan: Plan;
  candidate: Candidate;
  /** What contradicts itself on this file system. */
  warnings: readonly Problem[];
  cost: CostReport | undefined;
  /** Rows of the plan that are shown, and how many at most. */
  shown: (row: number) => boolean;
  limit: number;
}

const WIDTHS = [10, 10, 10, 10];
const cells = (values: readonly string[]) =>
  values.map((value, index) => value.padStart(WIDTHS[index])).join("  ");
const HEADER = cells(["HERE", "SIZE", "UNUSED", "LEFT"]);

/** What files of a table have in common. */
const headingOf = (decision: Decision) =>
  `${printVerdict(decision)}: ${REASONS[decision.reason]} [${printRule(decision.rule)}]`;

function row(decision: Decision, { now, columns }: { now: number; columns: number }): string {
  const { path, size, resident, lastUsedMs, left } = decision;
  const numbers = cells([
    formatBytes(resident),
    formatBytes(size),
    formatDuration(Math.max(0, now - lastUsedMs)),
    left === undefined ? "" : formatBytes(left),
  ]);
  return `${numbers}  ${clipPath(path, columns - HEADER.length - 2)}`;
}

/** Lines of at most `columns`, but for what cannot be shorter. `now`: the time of the plan. */
export function renderPlan(
  { plan, candidate, warnings, cost, shown, limit }: PlanReport,
  { now, columns }: { now: number; columns: number },
): string[] {
  const { totals, unmet } = plan;
  const { marks } = candidate;
  const lines = [
    `policy    ${candidate.file}`,
    `disk      ${formatBytes(totals.used)} used of ${formatBytes(marks.target)}; eviction from ${
      formatBytes(marks.high)
    } to ${formatBytes(marks.low)}`,
  ];
  let files = 0;
  for (let row = 0; row < plan.size; row++) if (shown(row)) files++;
  if (files > 0) lines.push("", `${HEADER}  NAME`);
  let heading = "";
  for (const decision of first(limit, plan.each(shown))) {
    const next = headingOf(decision);
    if (next !== heading) lines.push(clip(next, columns));
    heading = next;
    lines.push(row(decision, { now, columns }));
  }
  if (files > limit) lines.push(`… and ${files - limit} more (--limit)`);
  if (files > 0) lines.push("");
  lines.push(...renderTotals(totals));
  if (unmet !== undefined) lines.push(...renderUnmet(unmet));
  if (cost !== undefined) lines.push(...renderCost(cost).map((line) => `bucket    ${line}`));
  for (const { message, hint, ...place } of warnings) {
    lines.push(`${printPlace(place)}: warning: ${message}`);
    if (hint !== undefined) lines.push(`  hint: ${hint}`);
  }
  return lines;
}

const countOf = (count: number) => `${count} ${count === 1 ? "file" : "files"}`;

function renderTotals({ toFree, evict, upload, money }: Totals): string[] {
  const lines = [
    toFree === 0
      ? "no space is needed"
      : `to free ${formatBytes(toFree)}: evict ${countOf(evict.files)}, ${
        formatBytes(evict.bytes)
      }`,
  ];
  if (upload.files > 0) lines.push(`upload ${countOf(upload.files)}, ${formatBytes(upload.bytes)}`);
  if (money === undefined) return lines;
  const { currency, uploadsPerMonth, uploadCalls, undo } = money;
  if (upload.files > 0) {
    const once = uploadCalls > 0 ? ` and ${printMoney(uploadCalls, currency)} once` : "";
    lines.push(`the uploads add ${printMoney(uploadsPerMonth, currency)} a month${once}`);
  }
  if (evict.files > 0) {
    lines.push(`bringing back all that leaves would cost ${printMoney(undo, currency)}`);
  }
  return lines;
}

/** The same for programs: a document with these members, of which `decisions` may be of any length. */
export function planJson(
  { plan, candidate, warnings, cost, shown, limit }: PlanReport,
): JsonMembers {
  const { totals, unmet } = plan;
  const names = candidate.active.policy.rules.map(({ name }) => name);
  // In the order of the policy, whichever file was met first.
  const rules = names.filter((name) => totals.rules.has(name));
  const unmatched = names.filter((name) => !totals.rules.has(name));
  return {
    policy: candidate.file,
    marks: candidate.marks,
    decisions: new JsonList(
      first(limit, plan.each(shown)),
      (decision) => ({ ...decision, why: REASONS[decision.reason] }),
    ),
    totals: { ...totals, rules, unmatched },
    unmet: unmet ?? null,
    warnings,
    cost: cost ?? null,
  };
}
