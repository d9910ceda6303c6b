/**
 * What operations have written since the last commit, kept in a file that outlives this process: the
 * statements and their values, in order. A kill of the process loses nothing that stands here, because
 * they are run again on the same rows, with the same result. Owns the file; knows no SQLite.
 *
 * The file is allocated once and written from its start for every group, so an append never needs
 * space. It is never synced: what must survive a power cut is committed first. Each record carries its
 * group's number and a checksum that goes on from the record before, so that what a power cut leaves
 * of it is read up to the first byte that is not right, and never beyond.
 */
import { crc32 } from "node:zlib";
import { FsError, invariant } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";

/** What a statement's parameter may be. */
export type Parameter = null | number | bigint | string | Uint8Array;

/** A statement to be run again. */
export interface Redo {
  readonly sql: string;
  readonly parameters: Parameter[];
}

/** Bytes of the file. A group that outgrows it is committed. */
export const REDO_BYTES = 1 << 20;

/** Header of a record: its whole length, checksum of what follows, number of the group (float64). */
const LENGTH_AT = 0;
const CHECKSUM_AT = 4;
const GROUP_AT = 8;
const HEADER_BYTES = 16;

const Kind = { DEFINE: 1, RUN: 2 } as const;
const Type = { NULL: 0, NUMBER: 1, INTEGER: 2, TEXT: 3, BYTES: 4 } as const;

const encoder = new TextEncoder();

export class RedoLog {
  readonly #fd: number;
  readonly #bytes = new Uint8Array(REDO_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  /** Statements that this group's records define, by their number. */
  readonly #defined = new Set<number>();
  /** Of the record that is being made. */
  readonly #definedHere: number[] = [];
  /** End of the complete records, and of the one that is being made. */
  #end = 0;
  #at = 0;
  #checksum = 0;
  #overflow = false;

  /** Makes the file, empty, in place of any other. Throws FsError where its space cannot be had. */
  constructor(path: string) {
    const fd = libc.open(path, libc.O.RDWR | libc.O.CREAT | libc.O.NOFOLLOW, 0o600);
    if (fd < 0) throw new FsError(-fd, "open the redo log");
    this.#fd = fd;
    for (
      const result of [
        libc.ftruncate(fd, 0),
        libc.fallocate(fd, { mode: 0, offset: 0, length: REDO_BYTES }),
      ]
    ) {
      if (result >= 0) continue;
      libc.close(fd);
      throw new FsError(-result, "allocate the redo log");
    }
  }

  /** Bytes of this group's records. */
  get length(): number {
    return this.#end;
  }

  /** The next record begins; one that was begun and not sealed never happened. */
  begin(): void {
    for (const statement of this.#definedHere) this.#defined.delete(statement);
    this.#definedHere.length = 0;
    this.#at = this.#end + HEADER_BYTES;
    this.#overflow = false;
  }

  /** Adds a statement to the record. `number` stands for `sql` within this process. */
  add(number: number, sql: string, parameters: readonly Parameter[]): void {
    if (this.#overflow) return;
    if (!this.#defined.has(number)) {
      const text = encoder.encode(sql);
      if (!this.#room(8 + text.length)) return;
      this.#bytes[this.#at] = Kind.DEFINE;
      this.#view.setUint16(this.#at + 1, number, true);
      this.#at += 3;
      this.#put(text);
      this.#defined.add(number);
      this.#definedHere.push(number);
    }
    if (!this.#room(4)) return;
    this.#bytes[this.#at] = Kind.RUN;
    this.#view.setUint16(this.#at + 1, number, true);
    this.#bytes[this.#at + 3] = parameters.length;
    this.#at += 4;
    for (const parameter of parameters) this.#parameter(parameter);
  }

  #room(bytes: number): boolean {
    if (this.#at + bytes > REDO_BYTES) this.#overflow = true;
    return !this.#overflow;
  }

  #put(data: Uint8Array): void {
    this.#view.setUint32(this.#at, data.length, true);
    this.#bytes.set(data, this.#at + 4);
    this.#at += 4 + data.length;
  }

  #parameter(value: Parameter): void {
    const data = typeof value === "string" ? encoder.encode(value) : value;
    if (!this.#room(16 + (data instanceof Uint8Array ? data.length : 0))) return;
    const at = this.#at++;
    if (typeof data === "number") {
      this.#bytes[at] = Type.NUMBER;
      this.#view.setFloat64(this.#at, data, true);
      this.#at += 8;
    } else if (data === null) {
      this.#bytes[at] = Type.NULL;
    } else if (typeof data === "bigint") {
      this.#bytes[at] = Type.INTEGER;
      this.#view.setBigInt64(this.#at, data, true);
      this.#at += 8;
    } else {
      this.#bytes[at] = typeof value === "string" ? Type.TEXT : Type.BYTES;
      this.#put(data);
    }
  }

  /**
   * Completes the record of group `group` and writes it to the file: from here on a kill of this
   * process does not lose it. False where it does not fit; then the group must be committed. Throws
   * FsError where the disk fails, and the record counts for nothing.
   */
  seal(group: number): boolean {
    if (this.#overflow) return false;
    if (this.#at === this.#end + HEADER_BYTES) return true; // Nothing was written.
    const start = this.#end;
    const view = this.#view;
    view.setUint32(start + LENGTH_AT, this.#at - start, true);
    view.setFloat64(start + GROUP_AT, group, true);
    const checksum = crc32(this.#bytes.subarray(start + GROUP_AT, this.#at), this.#checksum);
    view.setUint32(start + CHECKSUM_AT, checksum, true);
    for (let at = start; at < this.#at;) {
      const written = libc.pwrite(this.#fd, this.#bytes.subarray(at, this.#at), at);
      if (written < 0) throw new FsError(-written, "write the redo log");
      at += written;
    }
    this.#checksum = checksum;
    this.#end = this.#at;
    this.#definedHere.length = 0;
    return true;
  }

  /** What the sealed records of group `group` say, oldest first. */
  statements(group: number): Redo[] {
    return decode(this.#bytes.subarray(0, this.#end), group);
  }

  /** The group is committed: its records are of no more use. */
  reset(): void {
    this.#defined.clear();
    this.#definedHere.length = 0;
    this.#end = this.#at = this.#checksum = 0;
    this.#overflow = false;
  }

  close(): void {
    libc.close(this.#fd);
  }
}

/** What a file says that some process has left: the statements of group `group`; none where there is no file. */
export function readRedo(path: string, group: number): Redo[] {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  return decode(bytes, group);
}

/** Reads records until one is not whole, or of another group. */
function decode(bytes: Uint8Array, group: number): Redo[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const redo: Redo[] = [];
  const texts = new Map<number, string>();
  let checksum = 0;
  for (let start = 0; start + HEADER_BYTES <= bytes.length;) {
    const length = view.getUint32(start + LENGTH_AT, true);
    if (length <= HEADER_BYTES || start + length > bytes.length) break;
    const body = bytes.subarray(start + GROUP_AT, start + length);
    checksum = crc32(body, checksum);
    if (view.getUint32(start + CHECKSUM_AT, true) !== checksum) break;
    if (view.getFloat64(start + GROUP_AT, true) !== group) break;
    decodeRecord(bytes.subarray(start + HEADER_BYTES, start + length), { texts, redo });
    start += length;
  }
  return redo;
}

function decodeRecord(
  bytes: Uint8Array,
  { texts, redo }: { texts: Map<number, string>; redo: Redo[] },
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder();
  let at = 0;
  const data = () => {
    const length = view.getUint32(at, true);
    at += 4 + length;
    return bytes.slice(at - length, at);
  };
  const parameter = (): Parameter => {
    const type = bytes[at++];
    switch (type) {
      case Type.NULL:
        return null;
      case Type.NUMBER:
        return view.getFloat64((at += 8) - 8, true);
      case Type.INTEGER:
        return view.getBigInt64((at += 8) - 8, true);
      case Type.TEXT:
        return decoder.decode(data());
    }
    invariant(type === Type.BYTES, () => `the redo log holds a value of type ${type}`);
    return data();
  };
  while (at < bytes.length) {
    const kind = bytes[at];
    const number = view.getUint16(at + 1, true);
    at += 3;
    if (kind === Kind.DEFINE) {
      texts.set(number, decoder.decode(data()));
      continue;
    }
    invariant(kind === Kind.RUN, () => `the redo log holds something of kind ${kind}`);
    const sql = texts.get(number);
    invariant(
      sql !== undefined,
      () => `the redo log runs statement ${number}, which it never names`,
    );
    const count = bytes[at++];
    redo.push({ sql, parameters: Array.from({ length: count }, parameter) });
  }
}
