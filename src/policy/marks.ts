/**
 * The marks of local space in bytes, and how much a run has to free. The only place in which
 * watermarks are computed. Pure.
 */
import type { Amount, DiskPolicy } from "./model.ts";

export interface Marks {
  target: number;
  high: number;
  low: number;
  hard: number;
  minFree: number;
}

export function resolveAmount(amount: Amount, whole: number): number {
  return "bytes" in amount ? amount.bytes : Math.floor(amount.share * whole);
}

/** The marks of a policy; what it leaves open comes from `otherwise` (the configuration). */
export function resolveMarks(
  disk: DiskPolicy,
  surroundings: { diskBytes: number; otherwise: { target: number; minFree: number } },
): Marks {
  const { diskBytes, otherwise } = surroundings;
  const target = disk.target === undefined
    ? otherwise.target
    : resolveAmount(disk.target, diskBytes);
  return {
    target,
    high: Math.floor(target * disk.high),
    low: Math.floor(target * disk.low),
    hard: Math.floor(target * disk.hard),
    minFree: disk.minFree === undefined
      ? otherwise.minFree
      : resolveAmount(disk.minFree, diskBytes),
  };
}

/** What of the local disk is taken, and whether a run is on. */
export interface Pressure {
  marks: Marks;
  /** All resident bytes, what is reserved for recalls and what is not yet unlinked. */
  used: number;
  /** Free bytes of the file system that holds the cache. */
  diskFree: number;
  /** A run has begun and has not reached the low mark: hysteresis. */
  running: boolean;
  /** Bytes that writers or recalls wait for. */
  needed: number;
}

/** Bytes to free now; 0: no run. It starts above high and goes on until low. */
export function bytesToFree({ marks, used, diskFree, running, needed }: Pressure): number {
  const short = marks.minFree - diskFree;
  const starts = used > marks.high || short > 0;
  const toLow = starts || running ? Math.max(0, used - marks.low, short) : 0;
  return Math.max(toLow, needed);
}

/** Whether writers wait or are about to: then `yields` applies. */
export function isUrgent({ marks, used, diskFree, needed }: Pressure): boolean {
  return used >= marks.hard || needed > 0 || diskFree < marks.minFree / 2;
}
