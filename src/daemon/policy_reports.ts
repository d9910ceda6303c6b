/** How previews, explanations and journals read. Pure: text from plain data. */
import { formatBytes, formatDuration } from "../domain/units.ts";
import type { JournalEntry } from "../metadata/journal_table.ts";
import type { CostReport } from "../policy/budget.ts";
import { type Decision, printRule, printVerdict, REASONS } from "../policy/decision.ts";
import type { PlanDiff } from "../policy/diff.ts";
import { type Explanation, renderExplanation } from "../policy/explain.ts";
import { compileGlob, isLiteral } from "../policy/glob.ts";
import type { Plan } from "../policy/plan.ts";
import { renderUnmet } from "../policy/unmet.ts";
import type { Candidate } from "./preview.ts";
import { printMoney } from "./prices.ts";

/** A time for people, local. */
export const printTime = (ms: number): string => {
  const at = new Date(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}`;
};

/** Whether a path is meant by `--path`: a glob, a file, or a directory and all below it. */
export function pathFilter(wanted: string | undefined): (path: string) => boolean {
  if (wanted === undefined) return () => true;
  if (!isLiteral(wanted)) return compileGlob(wanted);
  const directory = wanted.endsWith("/") ? wanted : `${wanted}/`;
  return (path) => path === wanted || path.startsWith(directory);
}

function decisionLine(decision: Decision, now: number): string {
  const { path, size, resident, lastUsedMs, left, reason } = decision;
  const used = `${formatDuration(Math.max(0, now - lastUsedMs))} ago`;
  const columns = [
    printVerdict(decision).padEnd(20),
    formatBytes(resident).padStart(10),
    formatBytes(size).padStart(10),
    used.padStart(12),
  ];
  const rest = left === undefined ? "" : `; ${formatBytes(left)} left`;
  return `${columns.join("  ")}  ${path}  [${printRule(decision.rule)}: ${REASONS[reason]}${rest}]`;
}

export function renderPlan(
  result: Plan,
  { candidate, now, filter, limit, cost }: {
    candidate: Candidate;
    now: number;
    cost?: CostReport | undefined;
    filter: (path: string) => boolean;
    limit: number;
  },
): string[] {
  const { totals, unmet } = result;
  const { marks } = candidate;
  const lines = [
    `policy    ${candidate.file}`,
    `disk      ${formatBytes(totals.used)} used of ${formatBytes(marks.target)}; eviction from ${
      formatBytes(marks.high)
    } to ${formatBytes(marks.low)}`,
  ];
  const shown = result.decisions.filter((decision) => filter(decision.path));
  if (shown.length > 0) {
    lines.push(
      `${"VERDICT".padEnd(20)}  ${"HERE".padStart(10)}  ${"SIZE".padStart(10)}  ${
        "LAST USED".padStart(12)
      }  NAME`,
    );
  }
  for (const decision of shown.slice(0, limit)) lines.push(decisionLine(decision, now));
  if (shown.length > limit) lines.push(`… and ${shown.length - limit} more (--limit)`);
  const { evict, upload } = totals;
  lines.push(
    totals.toFree === 0
      ? "no space is needed"
      : `to free ${formatBytes(totals.toFree)}: evict ${evict.files} files, ${
        formatBytes(evict.bytes)
      }`,
  );
  if (upload.files > 0) lines.push(`upload ${upload.files} files, ${formatBytes(upload.bytes)}`);
  if (unmet !== undefined) lines.push(...renderUnmet(unmet));
  const { money } = totals;
  if (money !== undefined && evict.files + upload.files > 0) {
    const { currency, uploadsPerMonth, uploadCalls, undo } = money;
    const parts = [
      upload.files > 0 &&
      `the uploads add ${printMoney(uploadsPerMonth, currency)} a month` +
        (uploadCalls > 0 ? ` and ${printMoney(uploadCalls, currency)} once` : ""),
      evict.files > 0 && `bringing back all that leaves would cost ${printMoney(undo, currency)}`,
    ];
    lines.push(parts.filter(Boolean).join("; "));
  }
  if (cost !== undefined) lines.push(...renderCost(cost).map((line) => `bucket    ${line}`));
  for (const { name } of candidate.active.policy.rules) {
    if (!totals.rules.has(name)) lines.push(`warning: rule '${name}' matches no file`);
  }
  return lines;
}

/** What the bucket costs, and how that stands to the budget. */
export function renderCost(cost: CostReport): string[] {
  const { currency, pricesOf, bytes, perMonth, forecastPerMonth, budget } = cost;
  const lines = [
    `${formatBytes(bytes)}: ${printMoney(perMonth, currency)} a month, in 30 days about ` +
    `${printMoney(forecastPerMonth, currency)} (storage, prices of ${pricesOf})`,
  ];
  if (budget === undefined) return lines;
  const allowed = `the budget of ${printMoney(budget.perMonth, budget.currency)} a month`;
  switch (budget.exceeded) {
    case undefined:
      lines.push(`${allowed} cannot be compared with prices in ${currency}`);
      break;
    case "no":
      lines.push(`within ${allowed}`);
      break;
    case "forecast":
      lines.push(`within ${allowed}, but not for long; nothing is kept from being uploaded`);
      break;
    case "now":
      lines.push(`above ${allowed}; nothing is kept from being uploaded`);
  }
  return lines;
}

/** The same for programs. */
export function planJson(
  result: Plan,
  { candidate, filter, limit, cost }: {
    candidate: Candidate;
    cost?: CostReport | undefined;
    filter: (path: string) => boolean;
    limit: number;
  },
): unknown {
  const { totals, unmet } = result;
  const rules = [...totals.rules];
  const unmatched = candidate.active.policy.rules.map(({ name }) => name)
    .filter((name) => !totals.rules.has(name));
  const decisions = result.decisions.filter(({ path }) => filter(path)).slice(0, limit)
    .map((decision) => ({ ...decision, why: REASONS[decision.reason] }));
  return {
    policy: candidate.file,
    marks: candidate.marks,
    decisions,
    totals: { ...totals, rules, unmatched },
    unmet: unmet ?? null,
    cost: cost ?? null,
  };
}

export function explanationLines(explanation: Explanation, now: number): string[] {
  return renderExplanation(explanation, { now, when: printTime });
}

export function renderDiff(
  diff: PlanDiff,
  { limit, currency }: { limit: number; currency: string | undefined },
): string[] {
  const verdict = (decision: Decision | undefined) =>
    decision === undefined ? "nothing" : printVerdict(decision);
  const lines = diff.changes.slice(0, limit).map(({ path, resident, before, after }) =>
    `${formatBytes(resident).padStart(10)}  ${path}: ${verdict(before)} → ${verdict(after)}` +
    `  [${printRule(after?.rule)}]`
  );
  if (diff.changes.length > limit) {
    lines.push(`… and ${diff.changes.length - limit} more (--limit)`);
  }
  for (const [change, { files, bytes }] of Object.entries(diff.transitions)) {
    lines.push(`${change}: ${files} ${files === 1 ? "file" : "files"}, ${formatBytes(bytes)}`);
  }
  if (diff.changes.length === 0) lines.push("no file's verdict changes");
  const more = diff.freed < 0 ? "less" : "more";
  lines.push(`frees ${formatBytes(Math.abs(diff.freed))} ${more} now`);
  if (diff.undo !== undefined && diff.uploadsPerMonth !== undefined && currency !== undefined) {
    const signed = (sum: number) => `${sum < 0 ? "−" : "+"}${printMoney(Math.abs(sum), currency)}`;
    lines.push(
      `${signed(diff.uploadsPerMonth)} a month for what is uploaded; ` +
        `${signed(diff.undo)} to bring back what leaves`,
    );
  }
  return lines;
}

const WHAT: Record<JournalEntry["what"], (entry: JournalEntry) => string> = {
  saved: ({ bytes }) => `in the bucket, ${formatBytes(bytes)}`,
  evicted: ({ who, bytes }) =>
    `evicted, ${formatBytes(bytes)}: ${who === "" ? "on request" : `by ${who}`}`,
  recalled: ({ who }) => `brought back${who === "" ? "" : ` for ${who}`}`,
  pinned: ({ who }) => `pinned ${who}`.trimEnd(),
  unpinned: () => "no longer pinned",
};

/** What happened to a file, oldest first. */
export function renderJournal(
  { createdMs, lastUsedMs }: { createdMs: number; lastUsedMs: number },
  journal: readonly JournalEntry[],
): string[] {
  const lines = [
    { atMs: createdMs, text: "created" },
    { atMs: lastUsedMs, text: "last used" },
    ...journal.map((entry) => ({ atMs: entry.atMs, text: WHAT[entry.what](entry) })),
  ];
  return lines.sort((a, b) => a.atMs - b.atMs).map(({ atMs, text }) =>
    `${printTime(atMs)}  ${text}`
  );
}
