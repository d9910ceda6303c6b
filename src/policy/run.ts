/**
 * One run of evictions: how much it has to free, how much it may, and when it stops. Both the plan
 * of a preview and the engine count with it, so they stop at the same file.
 */
import { FIRST_YIELDING_TIER } from "./judge.ts";
import type { EvictPolicy } from "./model.ts";
import type { Reason } from "./decision.ts";

/** Runs that evict fewer files than this are no mass eviction, whatever their share. */
const BREAKER_FILES_FLOOR = 100;
/** Runs with fewer attempts than this are no error storm. */
const BREAKER_ERRORS_FLOOR = 10;

export type Limit = "max_per_run" | "breaker";

export class Run {
  readonly toFree: number;
  freed = 0;
  files = 0;
  errors = 0;
  /** What ended it before enough was freed. */
  limit: Limit | undefined;
  readonly #policy: EvictPolicy;
  readonly #mostFiles: number;

  /** `residentFiles`: how many files have content here, for the breaker. */
  constructor(options: { policy: EvictPolicy; toFree: number; residentFiles: number }) {
    this.toFree = options.toFree;
    this.#policy = options.policy;
    this.#mostFiles = Math.max(
      BREAKER_FILES_FLOOR,
      Math.floor(options.policy.breaker.files * options.residentFiles),
    );
  }

  get left(): number {
    return Math.max(0, this.toFree - this.freed);
  }

  /** Whether one more file is wanted, and may be taken. */
  wants(frees: number): boolean {
    if (this.left === 0 || this.limit !== undefined) return false;
    // A single file that is larger than a run may take has to be able to leave, too.
    if (this.files > 0 && this.freed + frees > this.#policy.maxPerRun) this.limit = "max_per_run";
    else if (this.files >= this.#mostFiles) this.limit = "breaker";
    return this.limit === undefined;
  }

  take(frees: number): void {
    this.files++;
    this.freed += frees;
  }

  /** The filesystem isolate refused, or the store failed: nothing was freed after all. */
  giveBack(frees: number, { error }: { error: boolean }): void {
    this.files--;
    this.freed -= frees;
    if (!error) return;
    this.errors++;
    const attempts = this.files + this.errors;
    if (attempts < BREAKER_ERRORS_FLOOR) return;
    if (this.errors > this.#policy.breaker.errors * attempts) this.limit = "breaker";
  }
}

/** Why a file leaves in its wave; `young`: it is min_residence that gives way. */
export function evictReason(tier: number, { young }: { young: boolean }): Reason {
  if (tier === 0) return "first";
  if (tier < FIRST_YIELDING_TIER) return "ranked";
  return young ? "residence_yields" : "after_yields";
}
