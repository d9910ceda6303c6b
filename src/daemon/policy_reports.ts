/** How previews, explanations and journals read. Pure: text from plain data. */
import { formatBytes } from "../domain/units.ts";
import type { JournalEntry } from "../metadata/journal_table.ts";
import type { CostReport } from "../policy/budget.ts";
import { printRule, printVerdict } from "../policy/decision.ts";
import type { PlanDiff } from "../policy/diff.ts";
import { type Explanation, renderExplanation } from "../policy/explain.ts";
import type { FileFacts } from "../policy/facts.ts";
import { compileGlob, isLiteral } from "../policy/glob.ts";
import { first, JsonList, type JsonMembers } from "./json_text.ts";
import { clip, clipPath } from "./table_text.ts";
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

/** Which rows of a plan `--path` means: noted while their names are known. */
export function rowFilter(wanted: string | undefined): {
  seen?: (facts: FileFacts, row: number) => void;
  shown: (row: number) => boolean;
} {
  if (wanted === undefined) return { shown: () => true };
  const meant = pathFilter(wanted);
  let rows = new Uint8Array(1024);
  return {
    seen: ({ paths }, row) => {
      if (row >= rows.length) {
        const wider = new Uint8Array(2 * rows.length);
        wider.set(rows);
        rows = wider;
      }
      rows[row] = meant(paths[0]) ? 1 : 0;
    },
    shown: (row) => rows[row] === 1,
  };
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

export function explanationLines(explanation: Explanation, now: number): string[] {
  return renderExplanation(explanation, { now, when: printTime });
}

export function renderDiff(
  diff: PlanDiff,
  { limit, currency, columns }: {
    limit: number;
    currency: string | undefined;
    columns: number;
  },
): string[] {
  const lines: string[] = [];
  let heading = "";
  for (const { path, resident, before, after } of first(limit, diff.changes)) {
    const next = `${printVerdict(before)} → ${printVerdict(after)}  [${printRule(after.rule)}]`;
    if (next !== heading) lines.push(clip(next, columns));
    heading = next;
    lines.push(`${formatBytes(resident).padStart(10)}  ${clipPath(path, columns - 12)}`);
  }
  if (diff.files > limit) lines.push(`… and ${diff.files - limit} more (--limit)`);
  for (const [change, { files, bytes }] of Object.entries(diff.transitions)) {
    lines.push(`${change}: ${files} ${files === 1 ? "file" : "files"}, ${formatBytes(bytes)}`);
  }
  if (diff.files === 0) lines.push("no file's verdict changes");
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

/** The same for programs. */
export const diffJson = ({ changes, ...sums }: PlanDiff, limit: number): JsonMembers => ({
  changes: new JsonList(first(limit, changes)),
  ...sums,
});

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
