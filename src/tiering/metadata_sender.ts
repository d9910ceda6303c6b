/**
 * Puts metadata objects into the bucket: under a fresh key each time, only while this mount holds the
 * lease, again and again until the store confirms.
 */
import { metadataKey, type MetadataName } from "../format/keys.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { hex, type Random } from "../runtime/random.ts";
import type { HeadCheck } from "./metadata_head.ts";
import type { StoreTrouble } from "./store_trouble.ts";

/** The right to write, once it has settled. `Lease` is one. */
export interface WritingRight {
  readonly epoch: number;
  check(signal?: AbortSignal): Promise<void>;
  /** What the bucket turned out to hold when this mount began. */
  readonly found?: HeadCheck;
}

export class MetadataSender {
  readonly #parts: {
    store: ObjectStore;
    random: Random;
    right: WritingRight;
    trouble: StoreTrouble;
    signal: AbortSignal;
  };
  /** PUTs that were confirmed, and their bytes. */
  objects = 0;
  bytes = 0;

  constructor(parts: {
    store: ObjectStore;
    random: Random;
    right: WritingRight;
    trouble: StoreTrouble;
    /** Ends all tries. */
    signal: AbortSignal;
  }) {
    this.#parts = parts;
  }

  /** Answers the key. Rejects with UserError where the lease is lost, and with the signal's reason. */
  async put(name: MetadataName, bytes: Uint8Array): Promise<string> {
    const { store, random, right, trouble, signal } = this.#parts;
    for (;;) {
      // An earlier try may have arrived after all: then the same bytes lie there twice, as one object.
      const key = metadataKey(name, hex(random.bytes(16)));
      try {
        await trouble.run(async () => {
          await right.check(signal);
          await store.put(key, bytes, { signal });
        }, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof StoreError)) throw error;
        continue;
      }
      this.objects++;
      this.bytes += bytes.length;
      return key;
    }
  }

  /** One object. Rejects with StoreError. */
  get(key: string): Promise<Uint8Array> {
    const { store, trouble, signal } = this.#parts;
    return trouble.run(() => store.get(key, { signal }), signal);
  }
}
