/**
 * Copies what is still referenced out of packs that are mostly garbage. Each chunk is read, verified,
 * and put into a new pack; once that is confirmed and verified, the rows switch in one transaction, and
 * the old packs die as any others do. Deletes nothing. What cannot be verified stays where it is.
 */
import type { FilesystemPort } from "../filesystem/port.ts";
import type { ChunkLocation } from "../filesystem/protocol.ts";
import { FormatError } from "../format/format_error.ts";
import { packKey } from "../format/keys.ts";
import { PackWriter } from "../format/pack_writer.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import type { Random } from "../runtime/random.ts";
import { COLLECTION_LIMITS } from "./collection_limits.ts";
import type { CollectionReport } from "./collection_report.ts";
import type { ComputePort } from "./compute_port.ts";
import { describe, type Log } from "./context.ts";

export interface RepackerOptions {
  filesystem: FilesystemPort;
  store: ObjectStore;
  compute: ComputePort;
  random: Random;
  log: Log;
  /** File system id, 16 bytes. */
  fileSystem: Uint8Array;
}

interface Copied {
  chunk: number;
  from: number;
}

export class Repacker {
  readonly #options: RepackerOptions;

  constructor(options: RepackerOptions) {
    this.#options = options;
  }

  /** Repacks these packs, up to REPACK_BYTES. Rejects with StoreError; what was moved before stays moved. */
  async repack(
    packs: number[],
    context: {
      report: CollectionReport;
      checkLease: (signal: AbortSignal) => Promise<void>;
      signal: AbortSignal;
    },
  ): Promise<void> {
    const { report, checkLease, signal } = context;
    let writer = this.#newWriter();
    let copied: Copied[] = [];
    let left = COLLECTION_LIMITS.REPACK_BYTES as number;
    const close = async () => {
      if (copied.length === 0) return;
      await checkLease(signal);
      report.repacked.chunks += await this.#store(writer, copied, signal);
      report.repacked.objects++;
      report.repacked.bytes += writer.payload;
      writer = this.#newWriter();
      copied = [];
    };
    for (const pack of packs) {
      if (left <= 0) {
        report.notes.push("more packs are mostly garbage; they are left to the next run");
        break;
      }
      for (const run of runs(await this.#options.filesystem.call("liveChunks", { pack }))) {
        signal.throwIfAborted();
        for (const { location, encoded } of await this.#read(run, { pack, signal })) {
          if (!writer.hasRoom(encoded.length)) await close();
          writer.add({ ...location, stored: encoded });
          copied.push({ chunk: location.chunk, from: pack });
          left -= encoded.length;
        }
      }
    }
    await close();
  }

  #newWriter(): PackWriter {
    const { fileSystem, random, compute } = this.#options;
    return new PackWriter({ fileSystem, pack: random.bytes(16), encrypted: compute.encrypted });
  }

  /** Encoded bytes of chunks that lie next to each other; those that are what their ids say. */
  async #read(
    run: ChunkLocation[],
    { pack, signal }: { pack: number; signal: AbortSignal },
  ): Promise<{ location: ChunkLocation; encoded: Uint8Array<ArrayBuffer> }[]> {
    const { store, compute, log, filesystem } = this.#options;
    const [first] = run;
    const length = run.reduce((sum, { stored }) => sum + stored, 0);
    const key = packKey(first.pack);
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      const range = { offset: first.offset, length };
      bytes = await store.get(key, { versionId: first.packVersion, range, signal });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.kind === "corrupt") {
        // Other packs are not kept from being repacked by one that is shorter than was stored.
        log("error", "a pack in the bucket is damaged; it is not repacked", {
          pack: key,
          error: describe(error),
        });
        return [];
      }
      if (error.kind !== "missing") throw error;
      log("error", "a pack that files need is missing in the bucket", { pack: key });
      await filesystem.call("markLost", { pack, chunks: run.map(({ chunk }) => chunk) });
      return [];
    }
    const good = await Promise.all(run.map(async (location) => {
      const start = location.offset - first.offset;
      const stored = bytes.slice(start, start + location.stored);
      try {
        return [{ location, encoded: await compute.reopen(stored, location) }];
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        log("error", "a chunk in the bucket is damaged; its pack is not repacked", {
          pack: key,
          error: describe(error),
        });
        return [];
      }
    }));
    return good.flat();
  }

  /** PUT, HEAD, and then the rows. An object without rows is garbage for a later run. */
  async #store(writer: PackWriter, copied: Copied[], signal: AbortSignal): Promise<number> {
    const { store, filesystem, compute } = this.#options;
    const key = packKey(writer.pack);
    const finished = writer.finish();
    const body = compute.encrypted ? await compute.seal(finished) : finished;
    const { versionId } = await store.put(key, body, { signal });
    const { length } = await store.head(key, { versionId, signal });
    if (length !== body.length) {
      throw new StoreError(
        "corrupt",
        `${key} was put with ${body.length} bytes, and then the store shows ${length}`,
      );
    }
    return await filesystem.call("relocate", {
      pack: {
        name: writer.pack,
        versionId,
        bytes: body.length,
        verified: true,
        chunks: writer.entries,
      },
      chunks: copied,
    });
  }
}

/** Chunks in runs of neighbours. */
function runs(chunks: ChunkLocation[]): ChunkLocation[][] {
  const found: ChunkLocation[][] = [];
  let end = -1;
  let length = 0;
  for (const chunk of chunks) {
    const joins = chunk.offset === end &&
      length + chunk.stored <= COLLECTION_LIMITS.REPACK_RANGE_BYTES;
    if (joins) found[found.length - 1].push(chunk);
    else found.push([chunk]);
    length = joins ? length + chunk.stored : chunk.stored;
    end = chunk.offset + chunk.stored;
  }
  return found;
}
