/** Something to wait for: a time, or a call that says there is work. A call is never lost. */
import type { Clock } from "../runtime/clock.ts";

export class Wakeup {
  readonly #clock: Clock;
  #called = false;
  #resolve: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the wait under way, or the next one. */
  call(): void {
    this.#called = true;
    this.#resolve?.();
  }

  /** Resolves when called, or after `milliseconds`, or when `signal` aborts. One waiter at a time. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        cancel();
        signal.removeEventListener("abort", finish);
        this.#resolve = undefined;
        this.#called = false;
        resolve();
      };
      const cancel = this.#clock.after(milliseconds, () => finish());
      this.#resolve = finish;
      signal.addEventListener("abort", finish, { once: true });
      if (this.#called || signal.aborted) finish();
    });
  }
}
