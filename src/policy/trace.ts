/**
 * What was accessed when, in a ring of fixed size: the newest records replace the oldest. Owns the
 * layout of the bytes; where they are kept is the caller's matter. Holds no names.
 *
 * Little-endian. Header, 64 bytes: magic "ZEROTRC\\0", u32 version 1, u32 record size 24, u64 capacity
 * in records, u64 records ever written; the rest is zero. Records follow; record n stands in slot
 * n modulo capacity: u48 time (ms since 1970), u8 kind, u8 reader class, u64 inode, u64 size in bytes.
 */
import { invariant, UserError } from "../domain/errors.ts";
import type { ReaderClass } from "./readers.ts";

export const TraceKind = {
  /** Content was read. */
  READ: 0,
  /** Content or size changed. */
  WRITE: 1,
  /** The last name is gone. */
  REMOVE: 2,
} as const;
export type TraceKind = (typeof TraceKind)[keyof typeof TraceKind];

export interface TraceEvent {
  timeMs: number;
  inode: number;
  kind: TraceKind;
  reader: ReaderClass;
  /** Of the file after this, bytes. */
  size: number;
}

const MAGIC = "ZEROTRC\0";
const VERSION = 1;
const HEADER_BYTES = 64;
export const RECORD_BYTES = 24;
const TWO_32 = 0x1_0000_0000;

export class TraceRing {
  /** Header and records; changes with each record. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly capacity: number;
  readonly #view: DataView;
  #written: number;

  private constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.capacity = this.#get(16);
    this.#written = this.#get(24);
  }

  /** An empty ring for so many records. */
  static create(capacity: number): TraceRing {
    invariant(Number.isSafeInteger(capacity) && capacity > 0, `a ring of ${capacity} records`);
    const bytes = new Uint8Array(HEADER_BYTES + capacity * RECORD_BYTES);
    bytes.set(new TextEncoder().encode(MAGIC));
    const view = new DataView(bytes.buffer);
    view.setUint32(8, VERSION, true);
    view.setUint32(12, RECORD_BYTES, true);
    view.setUint32(16, capacity % TWO_32, true);
    view.setUint32(20, Math.floor(capacity / TWO_32), true);
    return new TraceRing(bytes);
  }

  /** A ring from its bytes, which it uses from then on. Throws UserError for anything else. */
  static open(bytes: Uint8Array<ArrayBuffer>): TraceRing {
    const wrong = (why: string) =>
      new UserError(`this is not a trace: ${why}`, { hint: "name a trace that Zero recorded" });
    if (bytes.length < HEADER_BYTES) throw wrong(`it has only ${bytes.length} bytes`);
    const magic = new TextDecoder().decode(bytes.subarray(0, 8));
    if (magic !== MAGIC) throw wrong("it does not begin like one");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const version = view.getUint32(8, true);
    if (version !== VERSION) throw wrong(`its version is ${version}, known is ${VERSION}`);
    if (view.getUint32(12, true) !== RECORD_BYTES) throw wrong("its records have another size");
    const ring = new TraceRing(bytes);
    if (ring.capacity < 1 || bytes.length !== HEADER_BYTES + ring.capacity * RECORD_BYTES) {
      throw wrong(`${bytes.length} bytes do not hold ${ring.capacity} records`);
    }
    return ring;
  }

  /** Records that the ring holds. */
  get length(): number {
    return Math.min(this.#written, this.capacity);
  }
  /** Records ever written. */
  get written(): number {
    return this.#written;
  }

  /** Adds a record; returns where in `bytes` it stands. The count in the header follows it. */
  append(event: TraceEvent): number {
    const at = HEADER_BYTES + (this.#written % this.capacity) * RECORD_BYTES;
    const view = this.#view;
    const time = Math.max(0, Math.floor(event.timeMs));
    view.setUint32(at, time % TWO_32, true);
    view.setUint16(at + 4, Math.floor(time / TWO_32), true);
    view.setUint8(at + 6, event.kind);
    view.setUint8(at + 7, event.reader);
    this.#set(at + 8, event.inode);
    this.#set(at + 16, event.size);
    this.#written++;
    this.#set(24, this.#written);
    return at;
  }

  /** The records, oldest first. Those with a kind that is not known are left out. */
  *records(): Generator<TraceEvent> {
    const view = this.#view;
    for (let n = this.#written - this.length; n < this.#written; n++) {
      const at = HEADER_BYTES + (n % this.capacity) * RECORD_BYTES;
      const kind = view.getUint8(at + 6);
      const reader = view.getUint8(at + 7);
      if (kind > TraceKind.REMOVE || reader > 3) continue;
      yield {
        timeMs: view.getUint32(at, true) + view.getUint16(at + 4, true) * TWO_32,
        kind: kind as TraceKind,
        reader: reader as ReaderClass,
        inode: this.#get(at + 8),
        size: this.#get(at + 16),
      };
    }
  }

  #get(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * TWO_32;
  }

  #set(at: number, value: number): void {
    this.#view.setUint32(at, value % TWO_32, true);
    this.#view.setUint32(at + 4, Math.floor(value / TWO_32), true);
  }
}
