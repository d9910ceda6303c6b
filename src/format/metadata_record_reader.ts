/** Reads records of the metadata (docs/FORMAT.md, "Metadata"). Pure; throws FormatError and nothing else. */
import {
  type ChunkRun,
  type InodeRecord,
  type MetadataRecord,
  type PackChunk,
  type PackRecord,
  RecordTable,
  type RecordTime,
  type VersionRecord,
} from "../domain/metadata_rows.ts";
import { unreachable } from "../domain/errors.ts";
import { ByteReader } from "./byte_reader.ts";
import { Codec, HASH_BYTES } from "./codec.ts";
import { FormatError, wellFormed } from "./format_error.ts";
import { ID_BYTES } from "./keys.ts";
import { MAX_CHUNK_BYTES, MAX_PACK_CHUNKS } from "./limits.ts";
import {
  CONDEMNED,
  DIRTY,
  LOST,
  MAX_RUN,
  MAX_VALUE,
  PINNED,
  PRESENT,
  VERIFIED,
} from "./metadata_layout.ts";

/** A record as it lies in a payload: what it speaks of, and its bytes, not yet looked into. */
export interface RawRecord {
  table: RecordTable;
  key: number;
  /** Undefined: there is no such row. */
  body: Uint8Array | undefined;
}

/** Reads the records of a payload one after another. Throws FormatError. */
export function* readRecords(payload: Uint8Array): Iterable<RawRecord> {
  const reader = new ByteReader(payload, "a metadata payload");
  while (reader.left > 0) {
    const table = reader.u8();
    const present = reader.u8();
    const reserved = reader.u16();
    const length = reader.u32();
    const key = reader.u64();
    if (table < RecordTable.INODE || table > RecordTable.PACK_LIST || present > 1 || reserved > 0) {
      throw new FormatError(
        "unknown",
        `a metadata record of table ${table}, kind ${present}, which this version cannot read`,
      );
    }
    wellFormed(present === PRESENT || length === 0, () => `an absent row of ${length} bytes`);
    const body = reader.view(length);
    yield { table: table as RecordTable, key, body: present === PRESENT ? body : undefined };
  }
}

/** What a record says. Throws FormatError. */
export function decodeRecord({ table, key, body }: RawRecord): MetadataRecord {
  if (body === undefined) return { table, key, row: undefined };
  const from = new ByteReader(body, `record ${key} of table ${table}`);
  const row = decodeRow(from, table);
  from.end();
  return { table, key, row } as MetadataRecord;
}

function decodeRow(from: ByteReader, table: RecordTable): MetadataRecord["row"] {
  switch (table) {
    case RecordTable.INODE:
      return decodeInode(from);
    case RecordTable.DENTRY:
      return { parent: from.u64(), inode: from.u64(), name: readText(from) };
    case RecordTable.XATTR: {
      const inode = from.u64();
      const name = readText(from);
      const length = from.u32();
      wellFormed(length <= MAX_VALUE, () => `an attribute of ${length} bytes`);
      return { inode, name, value: from.bytes(length) };
    }
    case RecordTable.VERSION:
      return decodeVersion(from);
    case RecordTable.VERSION_LIST:
      return decodeList(from, 24, decodeRun);
    case RecordTable.PACK:
      return decodePack(from);
    case RecordTable.PACK_LIST: {
      const chunks = decodeList(from, 64, decodeChunk);
      wellFormed(chunks.length <= MAX_PACK_CHUNKS, () => `a pack of ${chunks.length} chunks`);
      return chunks;
    }
    default:
      return unreachable(table);
  }
}

function decodeList<T>(from: ByteReader, each: number, decode: (from: ByteReader) => T): T[] {
  const count = from.u32();
  wellFormed(count * each === from.left, () => `${count} entries in ${from.left} bytes`);
  return Array.from({ length: count }, () => decode(from));
}

function decodeInode(from: ByteReader): InodeRecord {
  const [mode, uid, gid, nlink, rdev] = Array.from({ length: 5 }, () => from.u32());
  const flags = readFlags(from.u32(), DIRTY | PINNED);
  const [size, generation, changedMs] = Array.from({ length: 3 }, () => from.u64());
  const [atime, mtime, ctime, btime] = Array.from({ length: 4 }, () => readTime(from));
  const target = readOptional(from);
  return {
    mode,
    uid,
    gid,
    nlink,
    rdev,
    dirty: (flags & DIRTY) !== 0,
    pinned: (flags & PINNED) !== 0,
    size,
    generation,
    changedMs,
    atime,
    mtime,
    ctime,
    btime,
    target,
  };
}

function decodeVersion(from: ByteReader): VersionRecord {
  const inode = from.u64();
  const [kind, mode, uid, gid] = Array.from({ length: 4 }, () => from.u32());
  if (kind < 1 || kind > 3) throw new FormatError("unknown", `a version of kind ${kind}`);
  const generation = from.u64();
  const size = from.u64();
  const mtime = readTime(from);
  const savedMs = from.u64();
  const trashed = from.u64();
  const path = readOptional(from);
  const trashedMs = trashed === 0 ? undefined : trashed - 1;
  return { inode, kind, generation, size, mode, uid, gid, mtime, savedMs, trashedMs, path };
}

function decodeRun(from: ByteReader): ChunkRun {
  const run = { index: from.u64(), chunk: from.u64(), count: from.u32(), length: from.u32() };
  wellFormed(
    run.count >= 1 && run.count <= MAX_RUN && run.length >= 1 && run.length <= MAX_CHUNK_BYTES,
    () => `a run of ${run.count} chunks of ${run.length} bytes`,
  );
  return run;
}

function decodePack(from: ByteReader): PackRecord {
  const name = from.bytes(ID_BYTES);
  const bytes = from.u64();
  const createdMs = from.u64();
  const flags = readFlags(from.u32(), VERIFIED | CONDEMNED);
  const versionId = new TextDecoder().decode(readText(from));
  return {
    name,
    versionId,
    bytes,
    verified: (flags & VERIFIED) !== 0,
    condemned: (flags & CONDEMNED) !== 0,
    createdMs,
  };
}

function decodeChunk(from: ByteReader): PackChunk {
  const id = from.u64();
  const hash = from.bytes(HASH_BYTES);
  const offset = from.u64();
  const [ordinal, stored, length] = Array.from({ length: 3 }, () => from.u32());
  const codec = from.u16();
  if (codec > Codec.ZSTD) throw new FormatError("unknown", `a chunk with codec ${codec}`);
  const lost = readFlags(from.u16(), LOST) !== 0;
  wellFormed(length >= 1 && length <= MAX_CHUNK_BYTES, () => `a chunk of ${length} bytes`);
  return { id, hash, ordinal, offset, stored, length, codec, lost };
}

function readFlags(flags: number, known: number): number {
  if ((flags & ~known) !== 0) throw new FormatError("unknown", `flags ${flags.toString(16)}`);
  return flags;
}

function readTime(from: ByteReader): RecordTime {
  const at: RecordTime = [from.i64(), from.u32()];
  wellFormed(at[1] < 1e9, () => `${at[1]} nanoseconds`);
  return at;
}

function readText(from: ByteReader): Uint8Array<ArrayBuffer> {
  const length = from.u16();
  return from.bytes(length);
}

function readOptional(from: ByteReader): Uint8Array<ArrayBuffer> | undefined {
  const present = from.u16();
  wellFormed(present <= 1, () => `a text that is there ${present} times`);
  const bytes = readText(from);
  return present === 0 ? undefined : bytes;
}
