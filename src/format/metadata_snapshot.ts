/** The payload of a snapshot's manifest: which segments it has, and where in the chain it stands. */
import { type RecordTable } from "../domain/metadata_rows.ts";
import { ByteReader } from "./byte_reader.ts";
import { ByteWriter } from "./byte_writer.ts";
import { HASH_BYTES } from "./codec.ts";
import { wellFormed } from "./format_error.ts";

/** Rows of one table, keys `first` to `last`, in one object. */
export interface SegmentEntry {
  table: RecordTable;
  first: number;
  last: number;
  /** Rows. */
  count: number;
  /** Length of the object, bytes. */
  bytes: number;
  /** SHA-256 of the plain payload: the same rows, the same segment. */
  content: Uint8Array;
  /** Key of the object. */
  key: string;
}

export interface Manifest {
  /**
   * The segments were read one after another while others wrote. Changes after the object `base`
   * are to be applied to them; from the object `end` on all tables agree with each other.
   */
  base: Uint8Array;
  end: Uint8Array;
  segments: SegmentEntry[];
}

/** Bytes of an entry without its key, at least. */
const ENTRY_BYTES = 66;

export function encodeManifest(manifest: Manifest): Uint8Array<ArrayBuffer> {
  const into = new ByteWriter();
  into.bytes(manifest.base);
  into.bytes(manifest.end);
  into.u32(manifest.segments.length);
  for (const segment of manifest.segments) {
    const key = new TextEncoder().encode(segment.key);
    into.u32(segment.table);
    into.u64(segment.first);
    into.u64(segment.last);
    into.u32(segment.count);
    into.u64(segment.bytes);
    into.bytes(segment.content);
    into.u16(key.length);
    into.bytes(key);
  }
  return into.finish();
}

/** Throws FormatError. */
export function decodeManifest(payload: Uint8Array): Manifest {
  const from = new ByteReader(payload, "a snapshot's manifest");
  const base = from.bytes(HASH_BYTES);
  const end = from.bytes(HASH_BYTES);
  const count = from.u32();
  wellFormed(count * ENTRY_BYTES <= from.left, () => `a manifest of ${count} segments`);
  const segments: SegmentEntry[] = [];
  for (let i = 0; i < count; i++) {
    const table = from.u32();
    wellFormed(table >= 1 && table <= 7, () => `a segment of table ${table}`);
    segments.push({
      table: table as RecordTable,
      first: from.u64(),
      last: from.u64(),
      count: from.u32(),
      bytes: from.u64(),
      content: from.bytes(HASH_BYTES),
      key: new TextDecoder().decode(from.bytes(from.u16())),
    });
  }
  from.end();
  return { base, end, segments };
}
