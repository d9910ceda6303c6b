/**
 * One gate for all calls to a store, so that an outage is met by a probe now and then instead of by
 * every waiting call.
 *
 * Open: everyone passes. After several failures in a row, or when the store asks for a pause, it
 * closes: callers queue, and after each pause one of them goes out as the probe, reads before
 * uploads. A probe that the store answers opens the gate for all; one that fails makes the next
 * pause longer. So the number of requests during an outage grows with its length only as fast as
 * pauses end, however many calls wait.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { type Backoff, backoffDelayMs } from "../runtime/retry.ts";
import { StoreError } from "./object_store.ts";

export interface GateOptions {
  clock: Clock;
  random: Random;
  backoff: Backoff;
  /** Failures in a row that close the gate. */
  closeAfter: number;
}

/** What the gate knows, for status. */
export interface GateState {
  open: boolean;
  /** Calls that wait. */
  waiting: number;
  /** Wall clock, milliseconds, when the failures began; undefined while the store answers. */
  failingSinceMs: number | undefined;
  /** The last failure's message, while the store does not answer. */
  lastError: string | undefined;
}

interface Waiter {
  urgent: boolean;
  go: (probe: boolean) => void;
}

export class CallGate {
  #options: GateOptions;
  #failures = 0;
  #failingSinceMs: number | undefined;
  #lastError: StoreError | undefined;
  /** Failed probes since the gate closed; undefined while it is open. */
  #level: number | undefined;
  #probing = false;
  #cancelPause: (() => void) | undefined;
  #waiters: Waiter[] = [];

  constructor(options: GateOptions) {
    this.#options = options;
  }

  get state(): GateState {
    return {
      open: this.#level === undefined,
      waiting: this.#waiters.length,
      failingSinceMs: this.#failingSinceMs,
      lastError: this.#lastError?.message,
    };
  }

  /**
   * Runs `action` when the gate lets it, and learns from its outcome. Rejects with the signal's
   * reason, or with an `unavailable` when `waitMs` pass in front of a closed gate.
   */
  async through<T>(
    action: () => Promise<T>,
    options: { urgent: boolean; what: string; signal?: AbortSignal; waitMs?: number },
  ): Promise<T> {
    const probe = this.#level === undefined ? false : await this.#wait(options);
    try {
      const result = await action();
      this.#answered();
      return result;
    } catch (error) {
      if (error instanceof StoreError && error.kind === "unavailable") this.#failed(error, probe);
      else if (error instanceof StoreError) this.#answered();
      else if (probe) this.#pause(0); // aborted before it learned anything: the next one probes
      throw error;
    }
  }

  #wait(
    options: { urgent: boolean; what: string; signal?: AbortSignal; waitMs?: number },
  ): Promise<boolean> {
    const { urgent, what, signal, waitMs } = options;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const leave = (settle: () => void) => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        signal?.removeEventListener("abort", abort);
        cancel?.();
        settle();
      };
      const waiter: Waiter = { urgent, go: (probe) => leave(() => resolve(probe)) };
      const abort = () => leave(() => reject(signal!.reason));
      const cancel = waitMs === undefined
        ? undefined
        : this.#options.clock.after(waitMs, () =>
          leave(() => {
            const last = this.#lastError;
            const why = last === undefined ? "it asked for a pause" : last.message;
            reject(
              new StoreError("unavailable", `${what}: the store does not answer (${why})`, {
                status: last?.status,
                code: last?.code,
                cause: last,
              }),
            );
          }));
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiters.push(waiter);
      this.#offerProbe();
    });
  }

  /** The store answered, whatever it said: everyone may pass. */
  #answered(): void {
    this.#failures = 0;
    this.#failingSinceMs = undefined;
    this.#lastError = undefined;
    if (this.#level === undefined) return;
    this.#level = undefined;
    this.#probing = false;
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    for (const waiter of [...this.#waiters]) waiter.go(false);
  }

  #failed(error: StoreError, probe: boolean): void {
    this.#failures++;
    this.#failingSinceMs ??= this.#options.clock.wallMs();
    this.#lastError = error;
    const { closeAfter, backoff, random } = this.#options;
    const asked = error.retryAfterMs;
    if (this.#level !== undefined) {
      // Calls that were under way when the gate closed tell nothing new.
      if (!probe) return;
      this.#level++;
    } else {
      if (this.#failures < closeAfter && asked === undefined) return;
      this.#level = 0;
    }
    this.#pause(backoffDelayMs(this.#level + 1, { backoff, random, askedMs: asked }));
  }

  #pause(milliseconds: number): void {
    this.#probing = false;
    this.#cancelPause?.();
    this.#cancelPause = this.#options.clock.after(milliseconds, () => {
      this.#cancelPause = undefined;
      this.#offerProbe();
    });
  }

  /** Sends one waiter out, if the pause is over and nobody is out. */
  #offerProbe(): void {
    if (this.#level === undefined || this.#probing || this.#cancelPause !== undefined) return;
    const waiter = this.#waiters.find((each) => each.urgent) ?? this.#waiters[0];
    if (waiter === undefined) return;
    this.#probing = true;
    waiter.go(true);
  }
}
