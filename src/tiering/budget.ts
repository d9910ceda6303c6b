/**
 * A bound on what is held at a time, in bytes or in slots: whoever asks for more than is left waits
 * in line. Promises that one who asks is served when nothing is held, however much it asks for.
 */
import { invariant } from "../domain/errors.ts";

/** A part of a budget. Must be released; releasing twice is harmless. */
export interface Share {
  /** Gives back all but `amount`. */
  shrink(amount: number): void;
  release(): void;
}

export class Budget {
  #total: number;
  #used = 0;
  #peak = 0;
  readonly #line: { amount: number; grant: () => void }[] = [];
  /** Told when somebody has to wait. */
  onScarce: () => void = () => {};

  constructor(total: number) {
    this.#total = total;
  }

  get used(): number {
    return this.#used;
  }
  /** The most that was held at a time. */
  get peak(): number {
    return this.#peak;
  }
  get waiting(): number {
    return this.#line.length;
  }

  /** Changes the bound; what is held beyond it is given back in its own time. */
  resize(total: number): void {
    this.#total = total;
    this.#serve();
  }

  /** Waits for `amount`. Rejects with the signal's reason. */
  acquire(amount: number, signal: AbortSignal): Promise<Share> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#line.length === 0 && this.#fits(amount)) return Promise.resolve(this.#take(amount));
    return new Promise<Share>((resolve, reject) => {
      const abort = () => {
        this.#line.splice(this.#line.indexOf(entry), 1);
        reject(signal.reason);
        this.#serve();
      };
      const entry = {
        amount,
        grant: () => {
          signal.removeEventListener("abort", abort);
          resolve(this.#take(amount));
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#line.push(entry);
      this.onScarce();
    });
  }

  #fits(amount: number): boolean {
    return this.#used === 0 || this.#used + amount <= this.#total;
  }

  #take(amount: number): Share {
    this.#used += amount;
    this.#peak = Math.max(this.#peak, this.#used);
    let held = amount;
    const shrink = (left: number) => {
      invariant(left <= held || held === 0, () => `a share of ${held} cannot grow to ${left}`);
      this.#used -= Math.max(0, held - left);
      held = Math.min(held, left);
      this.#serve();
    };
    return { shrink, release: () => shrink(0) };
  }

  #serve(): void {
    while (this.#line.length > 0 && this.#fits(this.#line[0].amount)) this.#line.shift()!.grant();
  }
}
