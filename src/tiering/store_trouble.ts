/**
 * What to do while the store fails: wait, longer each time, for ever, and ask with one call at a
 * time until one succeeds (law 8: errors are not absence, and nothing is dropped). Knows since when
 * and why, for status.
 */
import { StoreError, type StoreErrorKind } from "../object_store/object_store.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { backoffDelayMs } from "../runtime/retry.ts";
import { untilAborted } from "./context.ts";
import { ENGINE_LIMITS } from "./settings.ts";

export interface TroubleReport {
  kind: StoreErrorKind;
  message: string;
  /** Wall clock of the first failure in a row, milliseconds. */
  sinceMs: number;
  /** Failures in a row. */
  failures: number;
}

export class StoreTrouble {
  readonly #clock: Clock;
  readonly #random: Random;
  #current: TroubleReport | undefined;
  #notBeforeMs = 0;
  #probing = false;
  #changed = Promise.withResolvers<void>();
  /** Told when trouble begins and when it is over (undefined). */
  onChange: (trouble: TroubleReport | undefined) => void = () => {};

  constructor(options: { clock: Clock; random: Random }) {
    this.#clock = options.clock;
    this.#random = options.random;
  }

  get current(): TroubleReport | undefined {
    return this.#current;
  }

  /**
   * Runs `action` once, as soon as the pause after earlier failures is over. Rejects as the action
   * does; a StoreError counts as trouble, unless it only says that an object is missing.
   */
  async run<T>(action: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const probe = await this.#admit(signal);
    try {
      const result = await action();
      this.#succeeded();
      return result;
    } catch (error) {
      if (error instanceof StoreError && error.kind !== "missing") this.#failed(error);
      throw error;
    } finally {
      if (probe) {
        this.#probing = false;
        this.#wake();
      }
    }
  }

  /** Waits for its turn; true when this call is the one that probes a store in trouble. */
  async #admit(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#current === undefined) return false;
      if (this.#probing) {
        await untilAborted(this.#changed.promise, signal);
        continue;
      }
      const waitMs = this.#notBeforeMs - this.#clock.monotonicMs();
      if (waitMs <= 0) {
        this.#probing = true;
        return true;
      }
      await this.#pause(waitMs, signal);
    }
  }

  /** Sleeps, or until something has changed. */
  async #pause(waitMs: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const slept = sleep(this.#clock, waitMs, AbortSignal.any([signal, over.signal]));
    slept.catch(() => {}); // the one who changed something was faster
    try {
      await Promise.race([slept, untilAborted(this.#changed.promise, signal)]);
    } finally {
      over.abort();
    }
  }

  /** Somebody who has perhaps mended the store asks for it: the next call need not wait out the pause. */
  hurry(): void {
    if (this.#current === undefined) return;
    this.#notBeforeMs = this.#clock.monotonicMs();
    this.#wake();
  }

  #succeeded(): void {
    if (this.#current === undefined) return;
    this.#current = undefined;
    this.#wake();
    this.onChange(undefined);
  }

  #failed(error: StoreError): void {
    const nowMs = this.#clock.monotonicMs();
    const first = this.#current === undefined;
    // Calls that were under way together fail together: that is one failure, not four.
    const failures = first || nowMs >= this.#notBeforeMs
      ? (this.#current?.failures ?? 0) + 1
      : this.#current!.failures;
    this.#current = {
      kind: error.kind,
      message: error.message,
      sinceMs: this.#current?.sinceMs ?? this.#clock.wallMs(),
      failures,
    };
    this.#notBeforeMs = Math.max(this.#notBeforeMs, nowMs + this.#pauseMs(error, failures));
    if (first) this.onChange(this.#current);
  }

  #pauseMs(error: StoreError, failures: number): number {
    if (!error.retryable) return ENGINE_LIMITS.STORE_DENIED_MS;
    const { STORE_RETRY_MS: base, STORE_RETRY_CAP_MS: cap } = ENGINE_LIMITS;
    const jitter = backoffDelayMs(failures, {
      backoff: { baseMs: base / 2, capMs: cap / 2 },
      random: this.#random,
      askedMs: error.retryAfterMs,
    });
    return Math.min(cap / 2, (base / 2) * 2 ** (failures - 1)) + jitter;
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
