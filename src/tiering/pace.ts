/** Keeps a reader of much from taking more than so many bytes a second. */
import { type Clock, sleep } from "../runtime/clock.ts";

export class Pace {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number | undefined;
  readonly #signal: AbortSignal;
  readonly #startedMs: number;
  #bytes = 0;

  /** `bytesPerSecond` undefined: as fast as it goes. */
  constructor(
    options: { clock: Clock; bytesPerSecond: number | undefined; signal: AbortSignal },
  ) {
    this.#clock = options.clock;
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#signal = options.signal;
    this.#startedMs = options.clock.monotonicMs();
  }

  /** Resolves when so many bytes more were due. Rejects with the signal's reason. */
  async spent(bytes: number): Promise<void> {
    this.#bytes += bytes;
    if (this.#bytesPerSecond === undefined) return;
    const dueMs = this.#startedMs + 1000 * this.#bytes / this.#bytesPerSecond;
    const waitMs = dueMs - this.#clock.monotonicMs();
    if (waitMs > 0) await sleep(this.#clock, waitMs, this.#signal);
  }
}
