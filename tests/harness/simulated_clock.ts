/**
 * A clock that stands still until a test moves it. Timers run in order of their due time, ties in
 * order of creation, and between two timers every promise that can settle does settle. Real time
 * plays no part, so hours pass in milliseconds and nothing depends on the machine's speed.
 */
import { setImmediate } from "node:timers";
import type { Clock, Timestamp } from "../../src/runtime/clock.ts";

interface Timer {
  dueMs: number;
  order: number;
  action: () => void;
}

/** What has been asked of Web Crypto: it works on other threads, and takes real time. */
const ciphering = new Set<Promise<unknown>>();

function watchCiphers(): void {
  const subtle = Object.getPrototypeOf(crypto.subtle);
  for (const name of ["encrypt", "decrypt", "importKey", "digest"]) {
    const original = subtle[name];
    subtle[name] = function (...args: unknown[]): Promise<unknown> {
      const result = original.apply(this, args) as Promise<unknown>;
      const over = () => void ciphering.delete(result);
      ciphering.add(result);
      result.then(over, over);
      return result;
    };
  }
}

watchCiphers();

/** Lets every promise settle that can settle without time passing. */
export async function settle(turns = 2): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    while (ciphering.size > 0) await Promise.allSettled(ciphering);
    await new Promise<void>((done) => setImmediate(done));
  }
}

export class SimulatedClock implements Clock {
  #monotonicMs = 0;
  #wallOffsetMs: number;
  #timers = new Set<Timer>();
  #created = 0;

  constructor(options: { wallMs?: number } = {}) {
    this.#wallOffsetMs = options.wallMs ?? Date.UTC(2026, 0, 1);
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#monotonicMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  now(): Timestamp {
    const ms = this.wallMs();
    const seconds = Math.floor(ms / 1000);
    return { seconds, nanoseconds: Math.round((ms - seconds * 1000) * 1e6) };
  }

  after(milliseconds: number, action: () => void): () => void {
    const timer = {
      dueMs: this.#monotonicMs + Math.max(0, milliseconds),
      order: this.#created++,
      action,
    };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Sets the wall clock as somebody with a wrist watch would; timers do not notice. */
  setWall(wallMs: number): void {
    this.#wallOffsetMs = wallMs - this.#monotonicMs;
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time forward, running what falls due on the way. */
  async advance(milliseconds: number): Promise<void> {
    const targetMs = this.#monotonicMs + milliseconds;
    await settle();
    for (let next = this.#next(); next && next.dueMs <= targetMs; next = this.#next()) {
      this.#run(next);
      await settle();
    }
    this.#monotonicMs = targetMs;
    await settle();
  }

  /**
   * Moves time forward until `promise` settles, and answers what it answers. Throws when it has not
   * settled after `limitMs` of simulated time (default one day), or when nothing is left to wait for.
   */
  async until<T>(promise: Promise<T>, limitMs = 86_400_000): Promise<T> {
    const end = this.#monotonicMs + limitMs;
    let settled = false;
    const mark = () => (settled = true);
    promise.then(mark, mark);
    await settle();
    // Work in other isolates takes turns of the event loop in which no timer is due.
    for (let idle = 0; !settled && idle < 5000;) {
      const next = this.#next();
      if (next === undefined) {
        idle++;
      } else {
        if (next.dueMs > end) throw new Error(`nothing settled within ${limitMs} simulated ms`);
        this.#run(next);
      }
      await settle(1);
    }
    if (!settled) throw new Error("it waits, but neither a timer nor a promise is left");
    return await promise;
  }

  #next(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        first === undefined || timer.dueMs < first.dueMs ||
        (timer.dueMs === first.dueMs && timer.order < first.order)
      ) first = timer;
    }
    return first;
  }

  #run(timer: Timer): void {
    this.#timers.delete(timer);
    this.#monotonicMs = Math.max(this.#monotonicMs, timer.dueMs);
    timer.action();
  }
}
