/**
 * An object store with bounds on calls at once and on bytes per second.
 *
 * Reads, uploads and everything else have lanes of their own, so a read that a program waits for
 * never queues behind uploads. Bytes are paced per direction: a call begins when the bytes before it
 * are paid for, so the rate holds on average over a few objects, not within one.
 */
import { invariant } from "../domain/errors.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { Closing } from "./closing.ts";
import type { CallOptions, ObjectInfo, ObjectStore, PutResult } from "./object_store.ts";

export interface LimitOptions {
  clock: Clock;
  /** Calls at once: get and head. */
  reads: number;
  /** Calls at once: put. */
  writes: number;
  /** Calls at once: delete and listings. */
  others: number;
  /** Unlimited unless given. */
  uploadBytesPerSecond?: number;
  /** Unlimited unless given. */
  downloadBytesPerSecond?: number;
}

/** Lets so many in at once, the others in order of arrival. */
class Lane {
  #free: number;
  #queue: (() => void)[] = [];
  constructor(width: number) {
    invariant(Number.isInteger(width) && width > 0, () => `a lane for ${width} calls`);
    this.#free = width;
  }

  async run<T>(action: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    try {
      return await action();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  #enter(signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#queue = this.#queue.filter((each) => each !== enter);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#queue.push(enter);
    });
  }
}

/** Spreads bytes over time. */
class Pace {
  #paidUntilMs = -Infinity;
  constructor(
    private readonly clock: Clock,
    /** May change at any time; what is owed already stays owed. */
    public bytesPerSecond: number | undefined,
  ) {}

  /** Waits until earlier bytes are paid for, then owes `bytes`. */
  async begin(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.bytesPerSecond === undefined) return;
    const nowMs = this.clock.monotonicMs();
    const startMs = Math.max(nowMs, this.#paidUntilMs);
    this.#paidUntilMs = startMs;
    this.owe(bytes);
    if (startMs > nowMs) await sleep(this.clock, startMs - nowMs, signal);
  }

  /** Owes bytes whose number was not known before. */
  owe(bytes: number): void {
    if (this.bytesPerSecond === undefined) return;
    const fromMs = Math.max(this.clock.monotonicMs(), this.#paidUntilMs);
    this.#paidUntilMs = fromMs + (bytes * 1000) / this.bytesPerSecond;
  }
}

export class LimitedObjectStore implements ObjectStore {
  readonly description: string;
  get listsAtOnce(): boolean {
    return this.#inner.listsAtOnce ?? false;
  }
  #inner: ObjectStore;
  #closing = new Closing();
  #reads: Lane;
  #writes: Lane;
  #others: Lane;
  #up: Pace;
  #down: Pace;

  constructor(inner: ObjectStore, options: LimitOptions) {
    this.#inner = inner;
    this.description = inner.description;
    this.#reads = new Lane(options.reads);
    this.#writes = new Lane(options.writes);
    this.#others = new Lane(options.others);
    this.#up = new Pace(options.clock, options.uploadBytesPerSecond);
    this.#down = new Pace(options.clock, options.downloadBytesPerSecond);
  }

  /** Uploads at most at this rate from now on; undefined: without bound. */
  setUploadRate(bytesPerSecond: number | undefined): void {
    this.#up.bytesPerSecond = bytesPerSecond;
  }

  put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<PutResult> {
    return this.#in(this.#writes, options.signal, async (signal) => {
      await this.#up.begin(body.length, signal);
      return await this.#inner.put(key, body, { signal });
    });
  }

  get(
    key: string,
    options: CallOptions & { versionId?: string; range?: { offset: number; length: number } } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#in(this.#reads, options.signal, async (signal) => {
      const { range } = options;
      await this.#down.begin(range?.length ?? 0, signal);
      const bytes = await this.#inner.get(key, { ...options, signal });
      if (range === undefined) this.#down.owe(bytes.length);
      return bytes;
    });
  }

  head(key: string, options: CallOptions & { versionId?: string } = {}): Promise<ObjectInfo> {
    return this.#in(
      this.#reads,
      options.signal,
      (signal) => this.#inner.head(key, { ...options, signal }),
    );
  }

  list(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo> {
    return this.#each(
      (signal) => this.#inner.list(prefix, { ...options, signal }),
      options.signal,
    );
  }

  listVersions(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
    return this.#each(
      (signal) => this.#inner.listVersions(prefix, { ...options, signal }),
      options.signal,
    );
  }

  delete(key: string, versionId: string, options: CallOptions = {}): Promise<void> {
    return this.#in(
      this.#others,
      options.signal,
      (signal) => this.#inner.delete(key, versionId, { signal }),
    );
  }

  close(): void {
    this.#closing.close();
    this.#inner.close();
  }

  // deno-lint-ignore require-await -- a check that fails must reject, not throw
  async #in<T>(
    lane: Lane,
    caller: AbortSignal | undefined,
    action: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    this.#closing.check(caller);
    const signal = this.#closing.merge(caller);
    return lane.run(() => action(signal), signal);
  }

  /** A listing takes its place in the lane for each step, so a slow consumer holds none. */
  async *#each<T>(
    open: (signal: AbortSignal) => AsyncIterable<T>,
    caller: AbortSignal | undefined,
  ): AsyncIterable<T> {
    const items = open(this.#closing.merge(caller))[Symbol.asyncIterator]();
    try {
      while (true) {
        const next = await this.#in(this.#others, caller, () => items.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await items.return?.();
    }
  }
}
