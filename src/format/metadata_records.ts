/** Writes records of the metadata: one row, or its absence, each (docs/FORMAT.md, "Metadata"). Pure. */
import {
  type InodeRecord,
  type MetadataRecord,
  type PackChunk,
  RecordTable,
  type RecordTime,
  type VersionRecord,
} from "../domain/metadata_rows.ts";
import { unreachable } from "../domain/errors.ts";
import type { ByteWriter } from "./byte_writer.ts";
import { ABSENT, CONDEMNED, DIRTY, LOST, PINNED, PRESENT, VERIFIED } from "./metadata_layout.ts";

/** Appends one record. */
export function encodeRecord(into: ByteWriter, record: MetadataRecord): void {
  into.u8(record.table);
  into.u8(record.row === undefined ? ABSENT : PRESENT);
  into.u16(0);
  const lengthAt = into.length;
  into.u32(0);
  into.u64(record.key);
  const bodyAt = into.length;
  if (record.row !== undefined) encodeRow(into, record);
  into.patchU32(lengthAt, into.length - bodyAt);
}

function encodeRow(into: ByteWriter, record: MetadataRecord): void {
  switch (record.table) {
    case RecordTable.INODE:
      return encodeInode(into, record.row!);
    case RecordTable.DENTRY:
      into.u64(record.row!.parent);
      into.u64(record.row!.inode);
      return text(into, record.row!.name);
    case RecordTable.XATTR:
      into.u64(record.row!.inode);
      text(into, record.row!.name);
      into.u32(record.row!.value.length);
      return into.bytes(record.row!.value);
    case RecordTable.VERSION:
      return encodeVersion(into, record.row!);
    case RecordTable.VERSION_LIST:
      into.u32(record.row!.length);
      for (const run of record.row!) {
        into.u64(run.index);
        into.u64(run.chunk);
        into.u32(run.count);
        into.u32(run.length);
      }
      return;
    case RecordTable.PACK:
      into.bytes(record.row!.name);
      into.u64(record.row!.bytes);
      into.u64(Math.max(0, record.row!.createdMs));
      into.u32((record.row!.verified ? VERIFIED : 0) | (record.row!.condemned ? CONDEMNED : 0));
      return text(into, new TextEncoder().encode(record.row!.versionId));
    case RecordTable.PACK_LIST:
      into.u32(record.row!.length);
      for (const chunk of record.row!) encodeChunk(into, chunk);
      return;
    default:
      unreachable(record);
  }
}

function encodeInode(into: ByteWriter, row: InodeRecord): void {
  into.u32(row.mode);
  into.u32(row.uid);
  into.u32(row.gid);
  into.u32(row.nlink);
  into.u32(row.rdev);
  into.u32((row.dirty ? DIRTY : 0) | (row.pinned ? PINNED : 0));
  into.u64(row.size);
  into.u64(row.generation);
  into.u64(Math.max(0, row.changedMs));
  for (const each of [row.atime, row.mtime, row.ctime, row.btime]) time(into, each);
  optional(into, row.target);
}

function encodeVersion(into: ByteWriter, row: VersionRecord): void {
  into.u64(row.inode);
  into.u32(row.kind);
  into.u32(row.mode);
  into.u32(row.uid);
  into.u32(row.gid);
  into.u64(row.generation);
  into.u64(row.size);
  time(into, row.mtime);
  into.u64(Math.max(0, row.savedMs));
  // One more than the time, so that 0 can mean that there is none.
  into.u64(row.trashedMs === undefined ? 0 : Math.max(0, row.trashedMs) + 1);
  optional(into, row.path);
}

function encodeChunk(into: ByteWriter, chunk: PackChunk): void {
  into.u64(chunk.id);
  into.bytes(chunk.hash);
  into.u64(chunk.offset);
  into.u32(chunk.ordinal);
  into.u32(chunk.stored);
  into.u32(chunk.length);
  into.u16(chunk.codec);
  into.u16(chunk.lost ? LOST : 0);
}

function time(into: ByteWriter, [seconds, nanoseconds]: RecordTime): void {
  into.i64(seconds);
  into.u32(nanoseconds);
}

function text(into: ByteWriter, bytes: Uint8Array): void {
  into.u16(bytes.length);
  into.bytes(bytes);
}

function optional(into: ByteWriter, bytes: Uint8Array | undefined): void {
  into.u16(bytes === undefined ? 0 : 1);
  text(into, bytes ?? new Uint8Array());
}
