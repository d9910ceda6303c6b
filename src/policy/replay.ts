/**
 * Recorded accesses against a policy, or against an order that knows none: what would have been a
 * hit, what would have come back from the bucket, how long readers would have waited. Pure.
 *
 * Simplified, for all candidates alike: a file is here wholly or not at all (heads do not answer
 * reads); what is written is in the bucket at once; a file that the trace reads first was evicted
 * before; runs are not split, and no breaker stops them.
 */
import type { FileFacts } from "./facts.ts";
import type { Marks } from "./marks.ts";
import type { Policy } from "./model.ts";
import type { Prices } from "./money.ts";
import { ReplayRun } from "./replay_run.ts";
import type { TraceEvent, TraceEvents } from "./trace.ts";

export type Contender = Policy | "LRU" | "SIEVE" | "Belady";

/** What is known of a file beside its accesses. */
export type StaticFacts = Partial<
  Pick<FileFacts, "paths" | "uid" | "gid" | "owner" | "group" | "pin" | "xattrs" | "createdMs">
>;

export interface ReplayOptions {
  /** In the order of time. */
  events: TraceEvents;
  marks: Marks;
  chunkSize: number;
  /** Names and owners, where somebody knows them. */
  describe?: (inode: number) => StaticFacts | undefined;
  /** How content comes back, for estimates of stalls. */
  link?: { firstByteMs: number; bytesPerSecond: number };
  /** What was evicted and comes back within this time is regretted, milliseconds. */
  regretMs?: number;
  prices?: Prices;
}

export interface ReplayResult {
  reads: number;
  /** Reads that found the file here. */
  hits: number;
  hitRatio: number;
  recalls: number;
  recalledBytes: number;
  /** Served to readers for whom nothing is kept. */
  streamedBytes: number;
  /** Opens that `recall: deny` refused. */
  denied: number;
  evictions: number;
  evictedBytes: number;
  /** Files that came back soon after they had been evicted. */
  regret: { files: number; bytes: number };
  /** Of the reads that waited, 95 of 100 waited no longer, milliseconds (estimated). */
  stallP95Ms: number;
  stallTotalMs: number;
  /** The most that was here, bytes. */
  peakBytes: number;
  /** Times at which a run could not reach the low mark. */
  unmet: number;
  money: number | undefined;
}

/** Replays a trace. */
export function replay(contender: Contender, options: ReplayOptions): ReplayResult {
  return new ReplayRun(contender, options).run();
}

/** The hit ratio, and what comes back, for each size of the disk. The marks keep their proportions. */
export function diskSizeCurve(
  contender: Contender,
  { targets, ...options }: ReplayOptions & { targets: readonly number[] },
): { target: number; result: ReplayResult }[] {
  const { marks } = options;
  return targets.map((target) => {
    const scale = (mark: number) => Math.floor(mark / marks.target * target);
    const scaled = {
      target,
      high: scale(marks.high),
      low: scale(marks.low),
      hard: scale(marks.hard),
      minFree: 0,
    };
    return { target, result: replay(contender, { ...options, marks: scaled }) };
  });
}

/**
 * A part of a trace that behaves like the whole of it on a disk of the same share: all accesses of
 * one file in about `1 / rate`, chosen by a hash of its inode.
 */
export function sampleTrace(events: TraceEvents, rate: number): TraceEvent[] {
  const limit = rate * 0x1_0000_0000;
  const sampled: TraceEvent[] = [];
  for (const event of events) if (hashInode(event.inode) < limit) sampled.push(event);
  return sampled;
}

function hashInode(inode: number): number {
  let hash = (inode % 0x1_0000_0000) ^ Math.floor(inode / 0x1_0000_0000);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
