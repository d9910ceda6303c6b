/**
 * The layout of the access trace: what was used when, in a ring of fixed size whose newest records
 * replace the oldest. One side writes it as programs use files, the other reads it to replay policies.
 * Owns the bytes of header and records; where they are kept is the caller's matter. Holds no names.
 *
 * Little-endian. Header, 64 bytes: magic "ZEROTRC\\0", u32 version 1, u32 record size 24, u64 capacity
 * in records, u64 records ever written; the rest is zero. Records follow; record n stands in slot
 * n modulo capacity: u48 time (ms since 1970), u8 kind, u8 reader class, u64 inode, u64 size in bytes.
 */
import { UserError } from "./errors.ts";

export const TraceKind = {
  /** Content was read. */
  READ: 0,
  /** Content or size changed. */
  WRITE: 1,
  /** The last name is gone. */
  REMOVE: 2,
} as const;
export type TraceKind = (typeof TraceKind)[keyof typeof TraceKind];

/** How whoever reads is treated. The numbers stand in traces. */
export const ReaderClass = {
  /** Brings content back, and counts as use. */
  USER: 0,
  /** Brings content back, but does not count as use. */
  UNCOUNTED: 1,
  /** Is served, keeps nothing, is no use. */
  STREAM: 2,
  /** Is refused on evicted files, is no use. */
  DENY: 3,
} as const;
export type ReaderClass = (typeof ReaderClass)[keyof typeof ReaderClass];

export interface TraceEvent {
  /** Wall clock, milliseconds. */
  timeMs: number;
  inode: number;
  kind: TraceKind;
  reader: ReaderClass;
  /** Of the file after this, bytes. */
  size: number;
}

const MAGIC = "ZEROTRC\0";
const VERSION = 1;
export const HEADER_BYTES = 64;
export const RECORD_BYTES = 24;
const TWO_32 = 0x1_0000_0000;

/** Bytes of a trace of so many records. */
export const traceBytes = (capacity: number) => HEADER_BYTES + capacity * RECORD_BYTES;

/** Where record number `n` stands. */
export const placeOf = (n: number, capacity: number) => traceBytes(n % capacity);

export interface TraceHeader {
  /** In records. */
  capacity: number;
  /** Records ever written. */
  written: number;
}

export function encodeHeader({ capacity, written }: TraceHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES);
  bytes.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, RECORD_BYTES, true);
  setNumber(view, 16, capacity);
  setNumber(view, 24, written);
  return bytes;
}

/** The header of a trace of `length` bytes. Throws UserError where that is none. */
export function decodeHeader(bytes: Uint8Array, length: number): TraceHeader {
  const wrong = (why: string) =>
    new UserError(`this is not a trace: ${why}`, { hint: "name a trace that Zero recorded" });
  if (bytes.length < HEADER_BYTES) throw wrong(`it has only ${bytes.length} bytes`);
  const magic = new TextDecoder().decode(bytes.subarray(0, 8));
  if (magic !== MAGIC) throw wrong("it does not begin like one");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== VERSION) throw wrong(`its version is ${version}, known is ${VERSION}`);
  if (view.getUint32(12, true) !== RECORD_BYTES) throw wrong("its records have another size");
  const header = { capacity: getNumber(view, 16), written: getNumber(view, 24) };
  if (header.capacity < 1 || length !== traceBytes(header.capacity)) {
    throw wrong(`${length} bytes do not hold ${header.capacity} records`);
  }
  return header;
}

export function writeRecord(view: DataView, at: number, event: TraceEvent): void {
  const time = Math.max(0, Math.floor(event.timeMs));
  view.setUint32(at, time % TWO_32, true);
  view.setUint16(at + 4, Math.floor(time / TWO_32), true);
  view.setUint8(at + 6, event.kind);
  view.setUint8(at + 7, event.reader);
  setNumber(view, at + 8, event.inode);
  setNumber(view, at + 16, event.size);
}

/** The record there; undefined for one of a kind that is not known, and for one that was never written. */
export function readRecord(view: DataView, at: number): TraceEvent | undefined {
  const kind = view.getUint8(at + 6);
  const reader = view.getUint8(at + 7);
  const inode = getNumber(view, at + 8);
  if (kind > TraceKind.REMOVE || reader > ReaderClass.DENY || inode === 0) return undefined;
  return {
    timeMs: view.getUint32(at, true) + view.getUint16(at + 4, true) * TWO_32,
    kind: kind as TraceKind,
    reader: reader as ReaderClass,
    inode,
    size: getNumber(view, at + 16),
  };
}

export function getNumber(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
}

export function setNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, Math.floor(value / TWO_32), true);
}
