/** A clock without an event loop: it stands still until a test lets time pass, and runs nothing itself. */
import type { Clock, Timestamp } from "../../src/runtime/clock.ts";

export class StillClock implements Clock {
  #monotonicMs = 0;
  readonly #startMs: number;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  wallMs(): number {
    return this.#startMs + this.#monotonicMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  now(): Timestamp {
    const ms = this.wallMs();
    const seconds = Math.floor(ms / 1000);
    return { seconds, nanoseconds: Math.round((ms - seconds * 1000) * 1e6) };
  }

  after(): () => void {
    throw new Error("nobody runs timers of this clock");
  }

  pass(milliseconds: number): void {
    this.#monotonicMs += milliseconds;
  }
}
