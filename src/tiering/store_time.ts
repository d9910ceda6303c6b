/**
 * The store's own time, for ages of deletions (law 10): a small object is put and removed again, and the
 * store's answer is dated. Also shows, before anything is condemned, that deleting works.
 */
import { UserError } from "../domain/errors.ts";
import { formatDuration } from "../domain/units.ts";
import { probeKey } from "../format/keys.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import type { Clock } from "../runtime/clock.ts";
import { hex, type Random } from "../runtime/random.ts";
import { COLLECTION_LIMITS } from "./collection_limits.ts";

const BODY = new TextEncoder().encode("Zero asked the store for its time; this may be deleted.\n");

/** Milliseconds since 1970 by the store's clock. Rejects with StoreError. */
export async function storeTimeMs(
  parts: { store: ObjectStore; random: Random; signal: AbortSignal },
): Promise<number> {
  const { store, random, signal } = parts;
  const key = probeKey(hex(random.bytes(16)));
  const { versionId, storeTimeMs } = await store.put(key, BODY, { signal });
  const time = storeTimeMs ?? (await store.head(key, { versionId, signal })).modifiedMs;
  await store.delete(key, versionId, { signal });
  return time;
}

/**
 * Notices a wall clock that somebody set, by the time since boot (which also passes while the machine
 * sleeps).
 */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #bootMs: () => number;
  readonly #offsetMs: number;

  constructor(clock: Clock, bootMs: () => number) {
    this.#clock = clock;
    this.#bootMs = bootMs;
    this.#offsetMs = clock.wallMs() - bootMs();
  }

  /** Throws UserError where the clocks disagree so much that ages mean nothing. */
  assertSound(storeMs: number): void {
    const { CLOCK_SKEW_MS } = COLLECTION_LIMITS;
    const wallMs = this.#clock.wallMs();
    const setMs = Math.abs(wallMs - this.#bootMs() - this.#offsetMs);
    if (setMs > CLOCK_SKEW_MS) {
      throw new UserError(
        `the clock of this machine was set by ${formatDuration(setMs)}; nothing is deleted`,
        { hint: "check the clock, then unmount and mount again" },
      );
    }
    const skewMs = Math.abs(wallMs - storeMs);
    if (skewMs > CLOCK_SKEW_MS) {
      throw new UserError(
        `the clocks of this machine and of the store differ by ${
          formatDuration(skewMs)
        }; nothing is deleted`,
        { hint: "check the clock of this machine" },
      );
    }
  }
}
