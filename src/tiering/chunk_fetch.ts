/**
 * Downloads many chunks: neighbours in a pack with one request, several requests at a time, verified.
 * Owns what is in flight, whose size is bounded; who adds more waits. A chunk that cannot be had is
 * told one by one; a store that fails as a whole ends everything. Reads only.
 */
import { packKey } from "../format/keys.ts";
import { FormatError } from "../format/format_error.ts";
import type { Secrets } from "../format/secrets.ts";
import type { ChunkRecord } from "../metadata/chunk_table.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import { decodeBytes } from "./compute_jobs.ts";

/** Chunks that are looked at together for neighbours, and their stored bytes. */
const WINDOW_CHUNKS = 1024;
const WINDOW_BYTES = 16 * 1024 ** 2;
/** Bytes between two chunks that are rather read than asked around. */
const GAP_BYTES = 64 * 1024;
/** Of one request for several chunks. */
const REQUEST_BYTES = 4 * 1024 ** 2;

export interface ChunkFetchOptions<T> {
  /** The bucket; asked for once, when something is first needed of it. */
  store: () => Promise<ObjectStore>;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  /** Requests at a time. */
  parallel: number;
  signal?: AbortSignal;
  /** Gets the plain bytes, verified, in no order. What it throws ends everything. */
  take: (owner: T, plain: Uint8Array) => void;
  /** The bucket does not have this chunk, or has other bytes. */
  failed: (owner: T, error: StoreError | FormatError) => void;
}

interface Wanted<T> {
  chunk: ChunkRecord;
  owner: T;
}

/** Chunks of one pack, in order of their places. */
interface Request<T> {
  chunks: Wanted<T>[];
  offset: number;
  end: number;
}

export class ChunkFetch<T> {
  readonly #options: ChunkFetchOptions<T>;
  readonly #running = new Set<Promise<void>>();
  #store: Promise<ObjectStore> | undefined;
  #window: Wanted<T>[] = [];
  #windowBytes = 0;
  #ended: { error: unknown } | undefined;
  /** Bytes that were read from the bucket. */
  bytes = 0;
  /** Requests that were made. */
  requests = 0;

  constructor(options: ChunkFetchOptions<T>) {
    this.#options = options;
  }

  /** Asks for a chunk; resolves when more may be asked for. Rejects where everything has ended. */
  async add(chunk: ChunkRecord, owner: T): Promise<void> {
    this.#throwIfEnded();
    this.#window.push({ chunk, owner });
    this.#windowBytes += chunk.stored;
    if (this.#window.length >= WINDOW_CHUNKS || this.#windowBytes >= WINDOW_BYTES) {
      await this.#dispatch();
    }
  }

  /** Resolves when all that was asked for has been taken, or has failed. */
  async finish(): Promise<void> {
    await this.#dispatch();
    await Promise.all(this.#running);
    this.#throwIfEnded();
  }

  /** Waits until nothing runs any more, without a word about how it went. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  #throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended.error;
    this.#options.signal?.throwIfAborted();
  }

  async #dispatch(): Promise<void> {
    const window = this.#window;
    this.#window = [];
    this.#windowBytes = 0;
    for (const request of planRequests(window)) {
      while (this.#running.size >= this.#options.parallel) await Promise.race(this.#running);
      this.#throwIfEnded();
      const running: Promise<void> = this.#run(request)
        .catch((error) => void (this.#ended ??= { error })) // told to whoever adds or finishes
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  async #run(request: Request<T>): Promise<void> {
    const { chunks, offset, end } = request;
    let bytes: Uint8Array;
    try {
      bytes = await this.#get(chunks[0].chunk, { offset, length: end - offset });
    } catch (error) {
      // One that lies beyond the end of a cut object must not fail its neighbours.
      if (chunks.length > 1 && isOfChunk(error)) return await this.#oneByOne(chunks);
      return this.#fail(chunks[0], error);
    }
    for (const wanted of chunks) {
      const { chunk } = wanted;
      const from = chunk.offset - offset;
      try {
        const plain = await this.#decode(bytes.subarray(from, from + chunk.stored), chunk);
        if (this.#ended === undefined) this.#options.take(wanted.owner, plain);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        // Once more: the bytes may have been harmed on their way.
        await this.#again(wanted);
      }
    }
  }

  async #oneByOne(chunks: Wanted<T>[]): Promise<void> {
    for (const wanted of chunks) await this.#again(wanted);
  }

  async #again(wanted: Wanted<T>): Promise<void> {
    const { chunk, owner } = wanted;
    let plain: Uint8Array;
    try {
      const bytes = await this.#get(chunk, { offset: chunk.offset, length: chunk.stored });
      plain = await this.#decode(bytes, chunk);
    } catch (error) {
      return this.#fail(wanted, error);
    }
    if (this.#ended === undefined) this.#options.take(owner, plain);
  }

  #decode(stored: Uint8Array, chunk: ChunkRecord): Promise<Uint8Array> {
    return decodeBytes(stored, chunk, this.#options.secrets);
  }

  #fail({ owner }: Wanted<T>, error: unknown): void {
    if (!isOfChunk(error)) throw error;
    if (this.#ended === undefined) this.#options.failed(owner, error);
  }

  async #get(
    chunk: ChunkRecord,
    range: { offset: number; length: number },
  ): Promise<Uint8Array> {
    const { signal } = this.#options;
    const store = await (this.#store ??= this.#options.store());
    const versionId = chunk.packVersion;
    this.requests++;
    const bytes = await store.get(packKey(chunk.pack), { versionId, range, signal });
    this.bytes += bytes.length;
    return bytes;
  }
}

/** Whether an error speaks of a chunk and not of the bucket. */
function isOfChunk(error: unknown): error is StoreError | FormatError {
  if (error instanceof FormatError) return true;
  return error instanceof StoreError &&
    (error.kind === "missing" || error.kind === "corrupt" || error.kind === "invalid");
}

function planRequests<T>(window: Wanted<T>[]): Request<T>[] {
  const packs = new Map<string, Wanted<T>[]>();
  for (const wanted of window) {
    const { pack, packVersion } = wanted.chunk;
    const key = `${hex(pack)} ${packVersion}`;
    const known = packs.get(key);
    if (known === undefined) packs.set(key, [wanted]);
    else known.push(wanted);
  }
  const requests: Request<T>[] = [];
  for (const chunks of packs.values()) {
    chunks.sort((a, b) => a.chunk.offset - b.chunk.offset);
    let last: Request<T> | undefined;
    for (const wanted of chunks) {
      const { offset, stored } = wanted.chunk;
      const end = offset + stored;
      const near = last !== undefined && offset <= last.end + GAP_BYTES &&
        end - last.offset <= REQUEST_BYTES;
      // The same chunk may be wanted by several files.
      if (last !== undefined && (near || end <= last.end)) {
        last.chunks.push(wanted);
        last.end = Math.max(last.end, end);
      } else {
        last = { chunks: [wanted], offset, end };
        requests.push(last);
      }
    }
  }
  return requests;
}
