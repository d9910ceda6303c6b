/** How replays and traces read. Pure: text from plain data. */
import { ReaderClass, TraceKind } from "../domain/access_trace.ts";
import type { TraceEvents } from "../policy/trace.ts";
import { formatBytes, formatDuration } from "../domain/units.ts";
import type { ReplayReport } from "./replay.ts";
import { printMoney } from "./prices.ts";
import { printTime } from "./policy_reports.ts";
import { clipPath } from "./table_text.ts";

/** What a table of at most 80 columns has room for. */
const NAME_COLUMNS = 20;

const percent = (share: number) => `${(share * 100).toFixed(1)}%`;

function cells(widths: readonly number[], values: readonly string[]): string {
  return values.map((value, index) =>
    index === 0 ? value.padEnd(widths[0]) : value.padStart(widths[index])
  ).join("  ").trimEnd();
}

const WIDTHS = [NAME_COLUMNS, 6, 10, 8, 7, 7, 10];

export function renderReplay(report: ReplayReport): string[] {
  const { trace, rows, curve, sampled, currency, pricesOf } = report;
  const span = formatDuration(Math.max(0, trace.untilMs - trace.fromMs));
  const lines = [
    `${trace.events} accesses to ${trace.files} files (${formatBytes(trace.bytes)}) in ${span}, ` +
    `from ${printTime(trace.fromMs)}`,
  ];
  for (const target of new Set(rows.map((row) => row.target))) {
    lines.push("", `on a disk of ${formatBytes(target)}`);
    lines.push(cells(WIDTHS, ["", "HITS", "RECALLED", "P95 WAIT", "EVICTED", "REGRET", "COST"]));
    for (const { name, result } of rows.filter((row) => row.target === target)) {
      const { hitRatio, recalledBytes, streamedBytes, stallP95Ms, evictions, regret } = result;
      lines.push(cells(WIDTHS, [
        clipPath(name, NAME_COLUMNS),
        percent(hitRatio),
        formatBytes(recalledBytes + streamedBytes),
        formatDuration(Math.round(stallP95Ms)),
        String(evictions),
        String(regret.files),
        result.money === undefined ? "?" : printMoney(result.money, currency!),
      ]));
      if (result.denied > 0) lines.push(`  ${result.denied} opens refused by recall: deny`);
      if (result.unmet > 0) lines.push(`  ${result.unmet} times the low mark was out of reach`);
    }
  }
  lines.push(
    "",
    "RECALLED came back from the bucket; EVICTED and REGRET count files, REGRET those",
    "that came back within a week. P95 WAIT is an estimate. Belady knows the future.",
  );
  if (pricesOf !== undefined) {
    lines.push(`COST is that of what came back, by prices of ${pricesOf}.`);
  }
  lines.push(...renderCurve(report, { curve, sampled }));
  return lines;
}

function renderCurve(
  { trace }: ReplayReport,
  { curve, sampled }: Pick<ReplayReport, "curve" | "sampled">,
): string[] {
  if (curve.length === 0) return [];
  const names = curve[0].contenders.map(({ name }) => clipPath(name, 9));
  const widths = [10, 5, ...names.map(() => 9)];
  const lines = ["", "hits by size of the disk" + (sampled < 1 ? " (of a sample of files)" : "")];
  lines.push(cells(widths, ["DISK", "SHARE", ...names]));
  for (const { target, contenders } of curve) {
    const share = `${Math.round(100 * target / Math.max(1, trace.bytes))}%`;
    const hits = contenders.map(({ hitRatio }) => percent(hitRatio));
    lines.push(cells(widths, [formatBytes(target), share, ...hits]));
  }
  return lines;
}

export interface TraceSummary {
  events: number;
  fromMs: number | undefined;
  untilMs: number | undefined;
  files: number;
  reads: number;
  writes: number;
  removals: number;
  /** Reads by how the reader was treated. */
  readers: { user: number; uncounted: number; streamed: number; denied: number };
}

export function summarize(events: TraceEvents): TraceSummary {
  const inodes = new Set<number>();
  const byKind = new Map<TraceKind, number>();
  const byReader = new Map<ReaderClass, number>();
  const count = <T>(counts: Map<T, number>, of: T) => counts.set(of, (counts.get(of) ?? 0) + 1);
  for (const { inode, kind, reader } of events) {
    inodes.add(inode);
    count(byKind, kind);
    if (kind === TraceKind.READ) count(byReader, reader);
  }
  const reads = (reader: ReaderClass) => byReader.get(reader) ?? 0;
  return {
    events: events.length,
    fromMs: events.at(0)?.timeMs,
    untilMs: events.at(-1)?.timeMs,
    files: inodes.size,
    reads: byKind.get(TraceKind.READ) ?? 0,
    writes: byKind.get(TraceKind.WRITE) ?? 0,
    removals: byKind.get(TraceKind.REMOVE) ?? 0,
    readers: {
      user: reads(ReaderClass.USER),
      uncounted: reads(ReaderClass.UNCOUNTED),
      streamed: reads(ReaderClass.STREAM),
      denied: reads(ReaderClass.DENY),
    },
  };
}

export function renderSummary(summary: TraceSummary): string[] {
  const { events, fromMs, untilMs, files, reads, writes, removals, readers } = summary;
  if (fromMs === undefined || untilMs === undefined) return ["no access is recorded"];
  return [
    `${events} accesses to ${files} files, ${printTime(fromMs)} to ${printTime(untilMs)}`,
    `${reads} reads, ${writes} changes, ${removals} removals`,
    `of the reads: ${readers.user} counted as uses, ${readers.uncounted} not counted, ` +
    `${readers.streamed} kept nothing, ${readers.denied} were refused`,
  ];
}
