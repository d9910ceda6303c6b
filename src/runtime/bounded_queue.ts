/**
 * First in, first out, with a bound: whoever puts into a full queue waits, whoever takes from an
 * empty one waits. Owns nothing that it hands out. A closed queue takes nothing more; takers get
 * what is left and then undefined.
 */
import { invariant } from "../domain/errors.ts";

interface Waiter<T> {
  settle: (value: T) => void;
}

export class BoundedQueue<T> {
  readonly #capacity: number;
  readonly #items: T[] = [];
  readonly #takers: Waiter<T | undefined>[] = [];
  readonly #putters: (Waiter<boolean> & { item: T })[] = [];
  #closed = false;

  constructor(capacity: number) {
    invariant(capacity >= 1, () => `a queue holds at least one item, this one ${capacity}`);
    this.#capacity = capacity;
  }

  /** Items that wait to be taken, those of waiting putters included. */
  get length(): number {
    return this.#items.length + this.#putters.length;
  }

  /** Appends, after waiting for room. False: the queue is closed and the item was not taken. */
  put(item: T, signal?: AbortSignal): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.settle(item);
      return Promise.resolve(true);
    }
    if (this.#items.length < this.#capacity) {
      this.#items.push(item);
      return Promise.resolve(true);
    }
    return waitIn(this.#putters, (settle) => ({ settle, item }), signal);
  }

  /** The oldest item, after waiting for one; undefined when the queue is closed and empty. */
  take(signal?: AbortSignal): Promise<T | undefined> {
    if (this.#items.length > 0) {
      const item = this.#items.shift()!;
      const putter = this.#putters.shift();
      if (putter !== undefined) {
        this.#items.push(putter.item);
        putter.settle(true);
      }
      return Promise.resolve(item);
    }
    if (this.#closed) return Promise.resolve(undefined);
    return waitIn(this.#takers, (settle) => ({ settle }), signal);
  }

  /** Takes nothing more. Putters that wait are turned away, takers that wait get undefined. */
  close(): void {
    this.#closed = true;
    for (const putter of this.#putters.splice(0)) putter.settle(false);
    for (const taker of this.#takers.splice(0)) taker.settle(undefined);
  }
}

/** Waits in `line` until settled from there, or rejects with the signal's reason and leaves it. */
function waitIn<V, W extends Waiter<V>>(
  line: W[],
  make: (settle: (value: V) => void) => W,
  signal?: AbortSignal,
): Promise<V> {
  return new Promise<V>((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const leave = () => {
      const at = line.indexOf(waiter);
      if (at >= 0) line.splice(at, 1);
      reject(signal!.reason);
    };
    const waiter = make((value) => {
      signal?.removeEventListener("abort", leave);
      resolve(value);
    });
    signal?.addEventListener("abort", leave, { once: true });
    line.push(waiter);
  });
}
