/**
 * Reads packs back and verifies every chunk that something refers to, at a bounded pace, in the order of
 * their rows, so that a run that was stopped goes on where it was. A chunk that fails is read once more
 * on its own before it counts as damaged. Deletes nothing.
 */
import { hex } from "../runtime/random.ts";
import type { Clock } from "../runtime/clock.ts";
import { decodeChunk } from "../format/codec.ts";
import { FormatError } from "../format/format_error.ts";
import { packKey } from "../format/keys.ts";
import { openChunk, readSealedPack } from "../format/pack_cipher.ts";
import { readPack } from "../format/pack_reader.ts";
import type { Secrets } from "../format/secrets.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import { type ChunkToVerify, type PackToVerify, VerifyTable } from "../metadata/verify_table.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import type { DeepReport } from "./fsck_report.ts";
import { Pace } from "./pace.ts";

export interface DeepOptions {
  store: ObjectStore;
  database: MetadataDatabase;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  clock: Clock;
  /** Share of the packs that is read, 0 to 1; which ones is up to `pick`. */
  share: number;
  /** A number in [0, 1) for each pack. */
  pick: () => number;
  /** Bytes per second; undefined: as fast as it goes. */
  bytesPerSecond: number | undefined;
  /** Id of the last pack that an earlier run has verified. */
  after: number;
  /** Called after each pack; durable enough to go on from. */
  onVerified: (pack: number) => void;
  /** Rows of chunks whose bytes in a pack are wrong or gone, what was found, and the pack's row. */
  onDamage: (chunks: number[], what: string, pack: number) => void;
  onProgress?: (text: string) => void;
  signal: AbortSignal;
}

const PAGE_PACKS = 100;

/** Rejects with StoreError where the store cannot be asked, and with the signal's reason. */
export async function verifyPacks(options: DeepOptions): Promise<DeepReport> {
  const { clock, share, pick, signal, onProgress } = options;
  const table = new VerifyTable(options.database);
  const report: DeepReport = { packs: 0, chunks: 0, bytes: 0, damaged: 0 };
  const pace = new Pace({ clock, bytesPerSecond: options.bytesPerSecond, signal });
  let after = options.after;
  while (true) {
    const page = table.packs({ after, limit: PAGE_PACKS });
    for (const pack of page) {
      signal.throwIfAborted();
      after = pack.pack;
      if (pick() < share) {
        const before = report.bytes;
        await verifyPack(pack, { ...options, table, chunks: table.chunks(pack.pack), report });
        report.packs++;
        onProgress?.(`verified ${report.packs} packs`);
        await pace.spent(report.bytes - before);
      }
      options.onVerified(after);
    }
    if (page.length < PAGE_PACKS) return report;
  }
}

async function verifyPack(
  pack: PackToVerify,
  options: DeepOptions & { table: VerifyTable; chunks: ChunkToVerify[]; report: DeepReport },
): Promise<void> {
  const { store, secrets, chunks, report, signal } = options;
  const key = packKey(pack.name);
  const damaged = (ids: number[], what: string) => {
    // Copied into another pack meanwhile, or needed by nothing any more: this one was to go.
    const needed = new Set(options.table.chunks(pack.pack).map(({ chunk }) => chunk));
    const left = ids.filter((id) => needed.has(id));
    if (left.length === 0 && ids.length > 0) return;
    report.damaged += left.length;
    options.onDamage(left, `${key}: ${what}`, pack.pack);
  };
  let object: Uint8Array | undefined;
  try {
    object = await store.get(key, { versionId: pack.versionId, signal });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.kind !== "missing") throw error;
    return damaged(chunks.map(({ chunk }) => chunk), "it is not in the bucket");
  }
  report.bytes += object.length;
  const structure = await structureFault(object, { pack, secrets });
  for (const chunk of chunks) {
    report.chunks++;
    const bytes = object.subarray(chunk.offset, chunk.offset + chunk.stored);
    const fault = await faultOf(bytes, { chunk, pack, secrets });
    if (fault !== undefined && await failsAgain(key, { chunk, pack, store, secrets, signal })) {
      damaged([chunk.chunk], `chunk ${chunk.ordinal}: ${fault}`);
    }
  }
  if (structure !== undefined) damaged([], structure);
}

/** What is wrong with header, index or footer; the rows say where the chunks are, so they may be whole. */
async function structureFault(
  object: Uint8Array,
  { pack, secrets }: { pack: PackToVerify; secrets: Secrets | undefined },
): Promise<string | undefined> {
  try {
    const { header } = secrets === undefined
      ? readPack(object)
      : await readSealedPack(object, secrets);
    return hex(header.pack) === hex(pack.name) ? undefined : "it holds another pack";
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}

async function faultOf(stored: Uint8Array, place: {
  chunk: ChunkToVerify;
  pack: PackToVerify;
  secrets: Secrets | undefined;
}): Promise<string | undefined> {
  const { chunk, pack, secrets } = place;
  if (stored.length !== chunk.stored) return `${stored.length} bytes instead of ${chunk.stored}`;
  try {
    const encoded = secrets === undefined
      ? stored
      : await openChunk(stored, { ...chunk, pack: pack.name }, secrets);
    decodeChunk(encoded, chunk, secrets);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}

async function failsAgain(
  key: string,
  options: {
    chunk: ChunkToVerify;
    pack: PackToVerify;
    store: ObjectStore;
    secrets: Secrets | undefined;
    signal: AbortSignal;
  },
): Promise<boolean> {
  const { chunk, pack, store, signal } = options;
  const range = { offset: chunk.offset, length: chunk.stored };
  try {
    const stored = await store.get(key, { versionId: pack.versionId, range, signal });
    return await faultOf(stored, options) !== undefined;
  } catch (error) {
    // A range beyond the object's end is "corrupt": the object is too short.
    if (error instanceof StoreError && ["corrupt", "missing"].includes(error.kind)) return true;
    throw error;
  }
}
