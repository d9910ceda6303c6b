/**
 * An object store that counts what goes through it: calls by operation and price class, bytes in
 * both directions, failures by kind. Place it inside the retrying store, so that it sees attempts.
 */
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
  type StoreErrorKind,
} from "./object_store.ts";

export type MeteredOperation = "put" | "get" | "head" | "list" | "delete";

/** Keys on a page of a listing, which is what a store bills. */
const pageKeys = 1000;

/** What went through, since the store was opened. */
export interface StoreMeter {
  /** Attempts, failed ones included. A listing counts a call per page. */
  calls: Record<MeteredOperation, number>;
  /** Calls by B2's price classes: A put and delete, B get and head, C list. */
  classes: { a: number; b: number; c: number };
  failures: Record<StoreErrorKind, number>;
  /** Bytes of bodies that were sent, whether the store took them or not. */
  bytesUp: number;
  /** Bytes of bodies that arrived whole. */
  bytesDown: number;
}

export class MeteredObjectStore implements ObjectStore {
  readonly description: string;
  get listsAtOnce(): boolean {
    return this.#inner.listsAtOnce ?? false;
  }
  #inner: ObjectStore;
  #calls: Record<MeteredOperation, number> = { put: 0, get: 0, head: 0, list: 0, delete: 0 };
  #failures: Record<StoreErrorKind, number> = {
    missing: 0,
    denied: 0,
    "no-bucket": 0,
    unavailable: 0,
    corrupt: 0,
    invalid: 0,
  };
  #bytesUp = 0;
  #bytesDown = 0;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
    this.description = inner.description;
  }

  /** The counts as they are now. */
  get meter(): StoreMeter {
    const { put, get, head, list, delete: deletes } = this.#calls;
    return {
      calls: { ...this.#calls },
      classes: { a: put + deletes, b: get + head, c: list },
      failures: { ...this.#failures },
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
    };
  }

  put(key: string, body: Uint8Array, options?: CallOptions): Promise<PutResult> {
    this.#bytesUp += body.length;
    return this.#count("put", () => this.#inner.put(key, body, options));
  }

  async get(
    key: string,
    options?: CallOptions & { versionId?: string; range?: { offset: number; length: number } },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#count("get", () => this.#inner.get(key, options));
    this.#bytesDown += bytes.length;
    return bytes;
  }

  head(key: string, options?: CallOptions & { versionId?: string }): Promise<ObjectInfo> {
    return this.#count("head", () => this.#inner.head(key, options));
  }

  list(
    prefix: string,
    options?: CallOptions & { startAfter?: string },
  ): AsyncIterable<ObjectInfo> {
    return this.#pages(this.#inner.list(prefix, options));
  }

  listVersions(
    prefix: string,
    options?: CallOptions & { startAfter?: string },
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
    return this.#pages(this.#inner.listVersions(prefix, options));
  }

  delete(key: string, versionId: string, options?: CallOptions): Promise<void> {
    return this.#count("delete", () => this.#inner.delete(key, versionId, options));
  }

  close(): void {
    this.#inner.close();
  }

  async #count<T>(operation: MeteredOperation, action: () => Promise<T>): Promise<T> {
    this.#calls[operation]++;
    try {
      return await action();
    } catch (error) {
      if (error instanceof StoreError) this.#failures[error.kind]++;
      throw error;
    }
  }

  async *#pages<T>(items: AsyncIterable<T>): AsyncIterable<T> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (let given = 0;; given++) {
        const step = () => iterator.next();
        // The item after a full page costs the next page.
        const next = given % pageKeys === 0 ? await this.#count("list", step) : await step();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
}
