/**
 * Reads the fields of one request. Owns the one request buffer. Every length is checked against the
 * request's own before anything is read; what does not fit is EINVAL. Values that JavaScript numbers
 * cannot hold are refused or, where Linux semantics allow it, clamped, never rounded.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { Timestamp } from "../runtime/clock.ts";
import { InHeader, MAX_NAME_BYTES } from "./abi.ts";
import { isDots, type RequestHeader } from "./operations.ts";

/** Requests begin here in the buffer, behind their header; all offsets below count from here. */
export const BODY = InHeader.SIZE;
const HIGH = 0x1_0000_0000;
/** A high word from here on makes a number of 2^53 or more. */
export const HIGH_LIMIT = 1 << 21;

const SLASH = 47;

export class RequestReader {
  opcode = 0;
  unique = 0;
  /** First byte behind the request proper, that is before its extensions. */
  #end = 0;
  readonly #view: DataView;

  constructor(readonly buffer: Uint8Array) {
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /**
   * Takes the `length` bytes that were read into the buffer as the next request. "ok"; "malformed"
   * where it can at least be answered (`unique` is good); "ignored" where not even that.
   */
  begin(length: number): "ok" | "malformed" | "ignored" {
    if (length < InHeader.inode) return "ignored";
    const view = this.#view;
    this.opcode = view.getUint32(InHeader.opcode, true);
    if (view.getUint32(InHeader.unique + 4, true) >= HIGH_LIMIT) return "ignored";
    this.unique = this.#raw64(InHeader.unique);
    if (length < BODY || view.getUint32(InHeader.length, true) !== length) return "malformed";
    this.#end = length - 8 * view.getUint16(InHeader.extensions, true);
    return this.#end < BODY ? "malformed" : "ok";
  }

  /** A request without a body, or whose body does not matter. */
  header(): RequestHeader {
    const view = this.#view;
    return {
      unique: this.unique,
      inode: this.headerInode(),
      uid: view.getUint32(InHeader.uid, true),
      gid: view.getUint32(InHeader.gid, true),
      pid: view.getUint32(InHeader.pid, true),
    };
  }

  /** Bytes behind the header, without extensions. */
  protected get bodyLength(): number {
    return this.#end - BODY;
  }

  protected need(bytes: number): void {
    if (this.bodyLength < bytes) {
      throw new FsError(Errno.EINVAL, `request of ${this.#end} bytes is too short`);
    }
  }

  protected u32(at: number): number {
    return this.#view.getUint32(BODY + at, true);
  }

  /** Exact below 2^53 only. */
  #raw64(position: number): number {
    return this.#view.getUint32(position, true) + this.#view.getUint32(position + 4, true) * HIGH;
  }

  protected headerInode(): number {
    if (this.#view.getUint32(InHeader.inode + 4, true) >= HIGH_LIMIT) {
      throw new FsError(Errno.EINVAL, "inode number above 2^53");
    }
    return this.#raw64(InHeader.inode);
  }

  /** An inode number, handle or cookie: ours, so below 2^53. */
  protected id(at: number): number {
    if (this.u32(at + 4) >= HIGH_LIMIT) throw new FsError(Errno.EINVAL, "number above 2^53");
    return this.#raw64(BODY + at);
  }

  /** A count or length that may be clamped. */
  protected count(at: number): number {
    return this.u32(at + 4) >= HIGH_LIMIT ? Number.MAX_SAFE_INTEGER : this.#raw64(BODY + at);
  }

  /** A place in a file that something is to be stored at. */
  protected fileOffset(at: number): number {
    if (this.u32(at + 4) >= HIGH_LIMIT) throw new FsError(Errno.EFBIG);
    return this.#raw64(BODY + at);
  }

  protected reach(offset: number, length: number): void {
    if (offset + length > Number.MAX_SAFE_INTEGER) throw new FsError(Errno.EFBIG);
  }

  /** Signed seconds, clamped to ±2^53 as Linux clamps times to what a file system can hold. */
  protected time(at: number, nanosecondsAt: number): Timestamp {
    const high = this.#view.getInt32(BODY + at + 4, true);
    const nanoseconds = this.u32(nanosecondsAt);
    if (nanoseconds > 999_999_999) throw new FsError(Errno.EINVAL, "nanoseconds");
    if (high >= HIGH_LIMIT) return { seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 0 };
    if (high < -HIGH_LIMIT) return { seconds: -Number.MAX_SAFE_INTEGER, nanoseconds: 0 };
    const seconds = high * HIGH + this.u32(at);
    return { seconds: Math.max(seconds, -Number.MAX_SAFE_INTEGER), nanoseconds };
  }

  /** Where the NUL behind the string at `at` is; EINVAL where there is none. */
  protected terminator(at: number): number {
    const found = this.buffer.indexOf(0, BODY + at);
    if (found < 0 || found >= this.#end) throw new FsError(Errno.EINVAL, "unterminated name");
    return found - BODY;
  }

  protected slice(from: number, to: number): Uint8Array {
    return this.buffer.slice(BODY + from, BODY + to);
  }

  protected name(at: number): Uint8Array {
    const name = this.nameOrDots(at);
    if (isDots(name)) throw new FsError(Errno.EINVAL, "not a file name");
    return name;
  }

  protected nameOrDots(at: number): Uint8Array {
    const name = this.slice(at, this.terminator(at));
    if (name.length > MAX_NAME_BYTES) throw new FsError(Errno.ENAMETOOLONG);
    if (name.length === 0 || name.includes(SLASH)) {
      throw new FsError(Errno.EINVAL, "not a file name");
    }
    return name;
  }

  protected xattrName(at: number): Uint8Array {
    const name = this.slice(at, this.terminator(at));
    if (name.length === 0 || name.length > MAX_NAME_BYTES) {
      throw new FsError(Errno.ERANGE, "not an attribute name");
    }
    return name;
  }
}
