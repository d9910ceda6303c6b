/** How fast something goes: an average that forgets with a half-life of 10 seconds. */
import type { Clock } from "../runtime/clock.ts";

const HALF_LIFE_MS = 10_000;

export class ProgressMeter {
  readonly #clock: Clock;
  #weight = 0;
  #sum = 0;
  #lastMs: number;
  total = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastMs = clock.monotonicMs();
  }

  add(amount: number): void {
    this.#decay();
    this.#sum += amount;
    this.total += amount;
  }

  /** Per second, over the last seconds. */
  get perSecond(): number {
    this.#decay();
    return this.#weight <= 0 ? 0 : this.#sum / this.#weight;
  }

  #decay(): void {
    const nowMs = this.#clock.monotonicMs();
    const seconds = (nowMs - this.#lastMs) / 1000;
    this.#lastMs = nowMs;
    const factor = 0.5 ** (seconds * 1000 / HALF_LIFE_MS);
    this.#sum *= factor;
    // The weight of all time so far, decayed alike: an average over what was really observed.
    this.#weight = this.#weight * factor + seconds;
  }
}
