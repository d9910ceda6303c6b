/**
 * Recorded accesses against policies, and against the orders that bound them. Reads the trace and, for
 * the names that rules ask for, the databases of its cache, read-only; changes nothing. The arithmetic
 * is src/policy/replay.ts.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { formatBytes } from "../domain/units.ts";
import type { Marks } from "../policy/marks.ts";
import type { Policy } from "../policy/model.ts";
import type { Prices } from "../policy/money.ts";
import {
  type Contender,
  diskSizeCurve,
  replay,
  type ReplayOptions,
  type ReplayResult,
  sampleTrace,
  type StaticFacts,
} from "../policy/replay.ts";
import type { TraceEvents } from "../policy/trace.ts";
import { loadPolicyFile } from "./effective_policy.ts";
import { LIMITS } from "./limits.ts";

/** A policy with the disk that it is for. */
export interface ReplayedPolicy {
  name: string;
  policy: Policy;
  marks: Marks;
}

export interface ReplayRequest {
  events: TraceEvents;
  policies: ReplayedPolicy[];
  /** Bytes; unless given, that of new file systems. */
  chunkSize?: number;
  describe?: (inode: number) => StaticFacts | undefined;
  prices?: Prices;
}

export interface ReplayRow {
  name: string;
  /** LRU, SIEVE and Belady: what orders that know no policy would do on the same disk. */
  bound: boolean;
  target: number;
  result: ReplayResult;
}

export interface ReplayReport {
  trace: {
    events: number;
    files: number;
    /** Of all files at their largest, bytes. */
    bytes: number;
    /** Wall clock, milliseconds. */
    fromMs: number;
    untilMs: number;
  };
  rows: ReplayRow[];
  curve: CurveRow[];
  /** Share of the files that the curve was made from. */
  sampled: number;
  currency: string | undefined;
  pricesOf: string | undefined;
}

/** One size of the disk: what of the reads would have found their file here, and what would have come back. */
export interface CurveRow {
  target: number;
  contenders: { name: string; hitRatio: number; recalledBytes: number }[];
}

const BOUNDS = ["LRU", "SIEVE", "Belady"] as const;
/** The curve, as shares of all bytes that were used. */
const CURVE = [0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1];
/** A curve of so many events says as much, and does not take minutes. */
const CURVE_EVENTS = 60_000;

/** Replays. Throws UserError where the trace says nothing. */
export function runReplay(request: ReplayRequest): ReplayReport {
  const { events, policies, prices } = request;
  if (events.length === 0) {
    throw new UserError("the trace holds no access", {
      hint: "use files on the mount for a while; what is recorded is written once a second",
      exitCode: ExitCode.usage,
    });
  }
  const { sizes, bytes } = footprint(events);
  const { describe, chunkSize = LIMITS.CHUNK_BYTES } = request;
  const about = (marks: Marks): ReplayOptions => ({
    events,
    marks,
    chunkSize,
    ...(describe === undefined ? {} : { describe }),
    ...(prices === undefined ? {} : { prices }),
  });
  const rows: ReplayRow[] = policies.map(({ name, policy, marks }) => {
    const result = replay(policy, about(marks));
    return { name, bound: false, target: marks.target, result };
  });
  // Policies with disks of different sizes are each compared with the bounds of their own.
  const disks = new Map(policies.map(({ marks }) => [JSON.stringify(marks), marks]));
  for (const marks of disks.values()) {
    for (const name of BOUNDS) {
      rows.push({ name, bound: true, target: marks.target, result: replay(name, about(marks)) });
    }
  }
  const sampled = Math.min(1, CURVE_EVENTS / events.length);
  return {
    trace: {
      events: events.length,
      files: sizes.size,
      bytes,
      fromMs: events.at(0)!.timeMs,
      untilMs: events.at(-1)!.timeMs,
    },
    rows,
    curve: curveOf(policies, about(policies[0].marks), { bytes, sampled }),
    sampled,
    currency: prices?.currency,
    pricesOf: prices?.date,
  };
}

/** The largest size of each file that occurs, and their sum. */
function footprint(events: TraceEvents): { sizes: Map<number, number>; bytes: number } {
  const sizes = new Map<number, number>();
  for (const { inode, size } of events) {
    if (size > (sizes.get(inode) ?? -1)) sizes.set(inode, size);
  }
  let bytes = 0;
  for (const size of sizes.values()) bytes += size;
  return { sizes, bytes };
}

function curveOf(
  policies: readonly ReplayedPolicy[],
  options: ReplayOptions,
  { bytes, sampled }: { bytes: number; sampled: number },
): CurveRow[] {
  const events = sampled < 1 ? sampleTrace(options.events, sampled) : options.events;
  // What is left of the bytes is not quite the share of the files: sizes differ.
  const kept = sampled < 1 ? footprint(events).bytes : bytes;
  if (kept === 0) return [];
  const targets = CURVE.map((share) => Math.max(1, Math.floor(kept * share)));
  const contenders: { name: string; contender: Contender; marks: Marks }[] = [
    ...policies.map(({ name, policy, marks }) => ({ name, contender: policy, marks })),
    ...BOUNDS.map((name) => ({ name, contender: name, marks: options.marks })),
  ];
  const rows = CURVE.map((share): CurveRow => ({
    target: Math.floor(bytes * share),
    contenders: [],
  }));
  for (const { name, contender, marks } of contenders) {
    const curve = diskSizeCurve(contender, { ...options, events, marks, targets });
    for (const [index, { result }] of curve.entries()) {
      const recalledBytes = Math.round(result.recalledBytes * bytes / kept);
      rows[index].contenders.push({ name, hitRatio: result.hitRatio, recalledBytes });
    }
  }
  return rows;
}

/** A policy from its file, for a disk of `target` bytes, or of the size that it says. Throws UserError. */
export function loadForReplay(
  file: string,
  { target }: { target: number | undefined },
): ReplayedPolicy {
  const { policy } = loadPolicyFile(file);
  return { name: file, policy, marks: marksFor(policy, target ?? ownTarget(policy, file)) };
}

/** The marks of a disk of this size, with the policy's proportions. */
export function marksFor({ disk }: Policy, target: number): Marks {
  return {
    target,
    high: Math.floor(target * disk.high),
    low: Math.floor(target * disk.low),
    hard: Math.floor(target * disk.hard),
    minFree: 0,
  };
}

/** A policy's own target where it is a size; throws UserError where nobody has said one. */
function ownTarget({ disk }: Policy, file: string): number {
  if (disk.target !== undefined && "bytes" in disk.target) return disk.target.bytes;
  throw new UserError(`how large the disk is for ${file} is not known`, {
    hint: `add --target SIZE, such as --target ${formatBytes(200 * 2 ** 30).replace(" ", "")}`,
    exitCode: ExitCode.usage,
  });
}
