/**
 * A store that fails by seed. Faults: a call is refused before it takes effect (503), or it takes effect
 * and its answer is lost; a listing breaks off with an error, or is stale: it shows the bucket as it was
 * at an earlier listing. With `damage`, too: a pack is stored twice, or in part, as if all were well, and
 * a read comes back with a wrong byte. With `denied` every call is refused (403), as where a cap has been
 * reached. Set `rate` to 0 and `denied` to false to heal it; packs that were stored in part stay so.
 */
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
} from "../../src/object_store/object_store.ts";
import type { SeededRandom } from "./seeded_random.ts";

type Listed = ObjectInfo & { marker: boolean; latest: boolean };

export class FaultyStore implements ObjectStore {
  readonly description = "memory:";
  readonly #inner: ObjectStore;
  readonly #random: SeededRandom;
  #earlier: Listed[] = [];
  rate = 0;
  damage = false;
  denied = false;
  /** Keys of packs that were stored in part while the store said that all was well. */
  readonly truncated = new Set<string>();
  /** How often each kind of fault struck. */
  readonly struck = {
    refused: 0,
    lost: 0,
    denied: 0,
    twice: 0,
    truncated: 0,
    corrupt: 0,
    stale: 0,
  };
  /** Keys and version ids, in order of deletion. */
  readonly deleted: { key: string; versionId: string }[] = [];
  /** Runs before a deletion takes effect; what it throws is the answer. */
  onDelete: (key: string, versionId: string) => void | Promise<void> = () => {};

  constructor(inner: ObjectStore, random: SeededRandom) {
    this.#inner = inner;
    this.#random = random;
  }

  #maybe(what: string, kind: "refused" | "lost" = "refused"): void {
    if (this.denied) {
      this.struck.denied++;
      throw new StoreError("denied", `${what}: 403`, { status: 403 });
    }
    if (this.#random.fraction() >= this.rate) return;
    this.struck[kind]++;
    throw new StoreError("unavailable", `${what}: 503`, { status: 503 });
  }

  async #faulty<T>(what: string, call: () => Promise<T>): Promise<T> {
    this.#maybe(what);
    const result = await call();
    this.#maybe(`${what}, its answer`, "lost");
    return result;
  }

  put(key: string, body: Uint8Array, options?: CallOptions): Promise<PutResult> {
    return this.#faulty(`put ${key}`, async () => {
      const fate = this.damage && key.startsWith("packs/") ? this.#random.fraction() : 1;
      if (fate < 0.1) {
        this.struck.truncated++;
        this.truncated.add(key);
        return await this.#inner.put(key, body.subarray(0, body.length >> 1), options);
      }
      if (fate < 0.2) {
        this.struck.twice++;
        await this.#inner.put(key, body, options);
      }
      return await this.#inner.put(key, body, options);
    });
  }

  get(
    key: string,
    options?: CallOptions & { versionId?: string; range?: { offset: number; length: number } },
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#faulty(`get ${key}`, async () => {
      const bytes = await this.#inner.get(key, options);
      // Metadata that comes back damaged ends what reads it; here reads of content are meant.
      if (!this.damage || !key.startsWith("packs/")) return bytes;
      if (this.#random.fraction() < 0.6 && bytes.length > 0) {
        this.struck.corrupt++;
        bytes[this.#random.below(bytes.length)] ^= 1 << this.#random.below(8);
      }
      return bytes;
    });
  }

  head(key: string, options?: CallOptions & { versionId?: string }): Promise<ObjectInfo> {
    return this.#faulty(`head ${key}`, () => this.#inner.head(key, options));
  }

  list(prefix: string, options?: CallOptions & { startAfter?: string }) {
    this.#maybe(`list ${prefix}`);
    return this.#inner.list(prefix, options);
  }

  async *listVersions(prefix: string, options?: CallOptions & { startAfter?: string }) {
    this.#maybe(`list versions ${prefix}`);
    const now: Listed[] = [];
    for await (const version of this.#inner.listVersions(prefix, options)) now.push(version);
    const stale = this.rate > 0 && this.#random.fraction() < 0.3;
    if (stale) this.struck.stale++;
    const shown = stale ? this.#earlier : now;
    this.#earlier = now;
    const breaksAt = this.#random.fraction() < this.rate / 2 ? shown.length / 2 : Infinity;
    for (const [at, version] of shown.entries()) {
      if (at > breaksAt) throw new StoreError("unavailable", "list: 503 on the second page");
      yield version;
    }
  }

  delete(key: string, versionId: string, options?: CallOptions): Promise<void> {
    return this.#faulty(`delete ${key}`, async () => {
      await this.onDelete(key, versionId);
      this.deleted.push({ key, versionId });
      await this.#inner.delete(key, versionId, options);
    });
  }

  close(): void {
    this.#inner.close();
  }
}
