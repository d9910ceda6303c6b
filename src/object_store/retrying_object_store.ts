/**
 * An object store that tries again: on top of the others, so that each attempt passes through limits
 * and meters anew.
 *
 * Promises: only what may succeed later is tried again (`unavailable`, and `corrupt` a few times),
 * with capped exponential pauses, full jitter and the store's own Retry-After, within the budget; all
 * calls share one gate, so waiting calls do not multiply an outage. Every attempt of a put sends the
 * same bytes. A put whose answer was lost may have made a version that is billed for ever, so what the
 * store holds is looked up before the next attempt: one version of the right length is the result,
 * surplus ones are deleted. (No key is ever put with other bytes, so any version serves.)
 */
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { type Backoff, checkBudget, retry, type RetryBudget } from "../runtime/retry.ts";
import { CallGate, type GateState } from "./call_gate.ts";
import { Closing } from "./closing.ts";
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
} from "./object_store.ts";

/** A failed attempt that will be followed by another. */
export interface RetryEvent {
  operation: string;
  key: string;
  /** The attempt that failed, from 1. */
  attempt: number;
  delayMs: number;
  error: unknown;
}

export interface RetryingOptions {
  clock: Clock;
  random: Random;
  /** How long, or how often, a call is tried; for ever unless given. */
  budget?: RetryBudget;
  /** Pauses; B2 asks for 1 s, doubling, and is back from maintenance after half an hour at most. */
  backoff?: Backoff;
  /** Attempts that may end in `corrupt`: an object may be truly damaged. 3 unless given. */
  corruptAttempts?: number;
  /** Failures in a row after which all calls wait for a probe. 4 unless given. */
  closeAfter?: number;
  onRetry?: (event: RetryEvent) => void;
  /** A surplus version could not be deleted; garbage collection will find it. */
  onSurplusLeft?: (event: { key: string; error: unknown }) => void;
}

const defaultBackoff: Backoff = { baseMs: 1000, capMs: 5 * 60_000 };

interface Call {
  operation: string;
  key: string;
  signal?: AbortSignal;
}

type Listed = ObjectInfo & { marker: boolean; latest: boolean };

export class RetryingObjectStore implements ObjectStore {
  readonly description: string;
  get listsAtOnce(): boolean {
    return this.#inner.listsAtOnce ?? false;
  }
  #inner: ObjectStore;
  #options: RetryingOptions;
  #gate: CallGate;
  #closing: Closing;

  constructor(
    inner: ObjectStore,
    options: RetryingOptions,
    shared?: { gate: CallGate; closing: Closing },
  ) {
    checkBudget(options.budget ?? {});
    this.#inner = inner;
    this.#options = options;
    this.description = inner.description;
    const { clock, random, backoff = defaultBackoff, closeAfter = 4 } = options;
    this.#gate = shared?.gate ?? new CallGate({ clock, random, backoff, closeAfter });
    this.#closing = shared?.closing ?? new Closing();
  }

  /** The same store and gate with another budget: reads that a program waits for give up sooner. */
  withBudget(budget: RetryBudget): RetryingObjectStore {
    const shared = { gate: this.#gate, closing: this.#closing };
    return new RetryingObjectStore(this.#inner, { ...this.#options, budget }, shared);
  }

  /** Whether the store answers, for status. */
  get state(): GateState {
    return this.#gate.state;
  }

  async put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<PutResult> {
    const { signal } = options;
    let ambiguous = false;
    return await this.#attempt({ operation: "put", key, signal }, async (merged) => {
      if (ambiguous) {
        const found = await this.#settle(key, { length: body.length, signal: merged });
        if (found !== undefined) return found;
      }
      try {
        const result = await this.#inner.put(key, body, { signal: merged });
        if (ambiguous) {
          const { versionId } = result;
          await this.#settleLate(key, { length: body.length, versionId, signal: merged });
        }
        return result;
      } catch (error) {
        ambiguous ||= mayHaveTakenEffect(error);
        throw error;
      }
    });
  }

  get(
    key: string,
    options: CallOptions & { versionId?: string; range?: { offset: number; length: number } } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const call = { operation: "get", key, signal: options.signal };
    return this.#attempt(call, (signal) => this.#inner.get(key, { ...options, signal }));
  }

  head(key: string, options: CallOptions & { versionId?: string } = {}): Promise<ObjectInfo> {
    const call = { operation: "head", key, signal: options.signal };
    return this.#attempt(call, (signal) => this.#inner.head(key, { ...options, signal }));
  }

  delete(key: string, versionId: string, options: CallOptions = {}): Promise<void> {
    const call = { operation: "delete", key, signal: options.signal };
    return this.#attempt(call, (signal) => this.#inner.delete(key, versionId, { signal }));
  }

  /** After a failure the listing goes on behind the last key that it gave. */
  list(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo> {
    return this.#resume({ operation: "list", key: prefix, signal: options.signal }, {
      startAfter: options.startAfter,
      open: (signal, startAfter) => this.#inner.list(prefix, { signal, startAfter }),
    });
  }

  /** After a failure the listing goes on with the versions of the last key that it had not given. */
  listVersions(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<Listed> {
    return this.#resume({ operation: "list", key: prefix, signal: options.signal }, {
      startAfter: options.startAfter,
      open: (signal, startAfter) => this.#inner.listVersions(prefix, { signal, startAfter }),
    });
  }

  close(): void {
    this.#closing.close();
    this.#inner.close();
  }

  async #attempt<T>(call: Call, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#closing.check(call.signal);
    const { clock, random, budget = {}, backoff = defaultBackoff } = this.#options;
    const signal = this.#closing.merge(call.signal);
    const startedMs = clock.monotonicMs();
    let corrupt = 0;
    return await retry(() =>
      this.#gate.through(() => action(signal), {
        urgent: call.operation === "get" || call.operation === "head",
        what: `${call.operation} ${call.key}`,
        signal,
        waitMs: budget.deadlineMs === undefined
          ? undefined
          : Math.max(0, startedMs + budget.deadlineMs - clock.monotonicMs()),
      }), {
      clock,
      random,
      backoff,
      budget,
      signal,
      verdict: (error) => {
        if (!(error instanceof StoreError) || !error.retryable) return { retry: false };
        if (error.kind === "corrupt" && ++corrupt >= (this.#options.corruptAttempts ?? 3)) {
          return { retry: false };
        }
        return { retry: true, afterMs: error.retryAfterMs };
      },
      onRetry: (event) => {
        const { operation, key } = call;
        this.#options.onRetry?.({ operation, key, ...event });
      },
    });
  }

  /**
   * What an earlier attempt may have stored: the version to use, after the others are deleted. The one
   * that was answered (`versionId`) is that, also where an earlier attempt has come in behind it.
   */
  async #settle(
    key: string,
    about: { length: number; versionId?: string; signal: AbortSignal },
  ): Promise<PutResult | undefined> {
    const { signal } = about;
    const stored: ObjectInfo[] = [];
    for await (const version of this.#inner.listVersions(key, { signal })) {
      if (version.key !== key) break;
      if (!version.marker && version.length === about.length) stored.push(version);
    }
    const wanted = about.versionId ?? stored[0]?.versionId;
    const kept = stored.find(({ versionId }) => versionId === wanted);
    // Where the listing does not show it yet, nothing says that the others are surplus.
    const surplus = kept === undefined ? [] : stored.filter((each) => each !== kept);
    for (const { versionId } of surplus) await this.#inner.delete(key, versionId, { signal });
    return kept && { versionId: kept.versionId, storeTimeMs: kept.modifiedMs };
  }

  /** The put succeeded; an earlier attempt that arrives late leaves a surplus version, not an error. */
  async #settleLate(
    key: string,
    about: { length: number; versionId: string; signal: AbortSignal },
  ): Promise<void> {
    try {
      await this.#settle(key, about);
    } catch (error) {
      about.signal.throwIfAborted();
      this.#options.onSurplusLeft?.({ key, error });
    }
  }

  async *#resume<T extends ObjectInfo>(
    call: Call,
    listing: {
      startAfter: string | undefined;
      open: (signal: AbortSignal, startAfter: string | undefined) => AsyncIterable<T>;
    },
  ): AsyncIterable<T> {
    let passed = listing.startAfter;
    let current: string | undefined;
    let given = new Set<string>();
    let items: AsyncIterator<T> | undefined;
    try {
      while (true) {
        const next = await this.#attempt(call, async (signal) => {
          items ??= listing.open(signal, passed)[Symbol.asyncIterator]();
          try {
            return await items.next();
          } catch (error) {
            items = undefined;
            throw error;
          }
        });
        if (next.done) return;
        const { key, versionId } = next.value;
        if (key !== current) {
          passed = current ?? passed;
          current = key;
          given = new Set();
        }
        if (given.has(versionId)) continue;
        given.add(versionId);
        yield next.value;
      }
    } finally {
      await items?.return?.();
    }
  }
}

/** Whether the store may have done what it reported as failed, or did not report. */
function mayHaveTakenEffect(error: unknown): boolean {
  if (!(error instanceof StoreError) || !error.retryable) return false;
  // Both say that the store was too busy to begin.
  return error.status !== 503 && error.status !== 429;
}
