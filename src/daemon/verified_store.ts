/**
 * Stores that wait for something before they pass a call on: `LateStore` until the store can be opened
 * (a folder whose disk is not mounted yet), `VerifiedStore` until the bucket is known to be the right
 * one (a mount that began offline). Object stores around an object store.
 */
import type {
  CallOptions,
  ObjectInfo,
  ObjectStore,
  PutResult,
} from "../object_store/object_store.ts";
import { StoreError } from "../object_store/object_store.ts";

abstract class ForwardingStore implements ObjectStore {
  constructor(readonly description: string) {}

  abstract get listsAtOnce(): boolean;

  /** The store behind, when it may be asked. Rejects with StoreError while it may not. */
  protected abstract ready(): Promise<ObjectStore>;
  abstract close(): void;

  async put(key: string, body: Uint8Array, options?: CallOptions): Promise<PutResult> {
    return await (await this.ready()).put(key, body, options);
  }

  async get(
    key: string,
    options?: CallOptions & { versionId?: string; range?: { offset: number; length: number } },
  ): Promise<Uint8Array<ArrayBuffer>> {
    return await (await this.ready()).get(key, options);
  }

  async head(key: string, options?: CallOptions & { versionId?: string }): Promise<ObjectInfo> {
    return await (await this.ready()).head(key, options);
  }

  async *list(
    prefix: string,
    options?: CallOptions & { startAfter?: string },
  ): AsyncIterable<ObjectInfo> {
    yield* (await this.ready()).list(prefix, options);
  }

  async *listVersions(
    prefix: string,
    options?: CallOptions,
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
    yield* (await this.ready()).listVersions(prefix, options);
  }

  async delete(key: string, versionId: string, options?: CallOptions): Promise<void> {
    await (await this.ready()).delete(key, versionId, options);
  }
}

/** Opens the store at the first call, and again at later ones while that fails. */
export class LateStore extends ForwardingStore {
  readonly #open: () => Promise<ObjectStore>;
  #opening: Promise<ObjectStore> | undefined;
  #store: ObjectStore | undefined;
  #closed = false;

  constructor(description: string, open: () => Promise<ObjectStore>) {
    super(description);
    this.#open = open;
  }

  get listsAtOnce(): boolean {
    return this.#store?.listsAtOnce ?? false;
  }

  /** Opens now. Rejects with whatever opening rejects with. */
  ready(): Promise<ObjectStore> {
    this.#opening ??= this.#open().then((store) => {
      this.#store = store;
      if (this.#closed) store.close();
      return store;
    }).catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  close(): void {
    this.#closed = true;
    this.#store?.close();
  }
}

/** Passes nothing on before `check` has found that the bucket is the right one. */
export class VerifiedStore extends ForwardingStore {
  readonly #inner: ObjectStore;
  readonly #check: () => Promise<boolean>;
  #verified: boolean;
  #asking: Promise<void> | undefined;

  /** `check` resolves with whether the bucket answered and is right; it rejects where it is wrong. */
  constructor(inner: ObjectStore, options: { verified: boolean; check: () => Promise<boolean> }) {
    super(inner.description);
    this.#inner = inner;
    this.#verified = options.verified;
    this.#check = options.check;
  }

  get listsAtOnce(): boolean {
    return this.#inner.listsAtOnce ?? false;
  }

  get verified(): boolean {
    return this.#verified;
  }

  protected async ready(): Promise<ObjectStore> {
    if (!this.#verified) {
      this.#asking ??= this.#ask().finally(() => this.#asking = undefined);
      await this.#asking;
    }
    return this.#inner;
  }

  async #ask(): Promise<void> {
    let good: boolean;
    try {
      good = await this.#check();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new StoreError("denied", message, { cause: error });
    }
    if (!good) {
      throw new StoreError("unavailable", `${this.description} has not answered since the mount`);
    }
    this.#verified = true;
  }

  close(): void {
    this.#inner.close();
  }
}
