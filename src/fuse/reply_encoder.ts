/**
 * Typed replies of `operations.ts` → bytes for the kernel, in one buffer that every reply reuses. Owns
 * that buffer; knows nothing of requests. 64-bit values are written exactly, negative seconds in two's
 * complement. Timeouts are milliseconds outside and seconds plus nanoseconds on the wire.
 */
import { invariant } from "../domain/errors.ts";
import type { Timestamp } from "../runtime/clock.ts";
import { MAJOR, OutHeader, OutSize } from "./abi.ts";
import type { Negotiated } from "./negotiation.ts";
import type {
  AttributeReply,
  Attributes,
  CreateReply,
  Entry,
  FilesystemStatistics,
  NegativeEntry,
  OpenReply,
} from "./operations.ts";

const BODY = OutHeader.SIZE;
const HIGH = 0x1_0000_0000;
/** About 68 years: longer timeouts mean the same and must fit the kernel's arithmetic. */
const LONGEST_TIMEOUT_SECONDS = 0x7fff_ffff;

export class ReplyEncoder {
  /** Bytes of the body so far. */
  length = 0;
  readonly buffer: Uint8Array;
  readonly #view: DataView;
  /** The buffer by eights of bytes. */
  readonly #eights: Float64Array;

  /** A buffer for bodies of up to `room` bytes. */
  constructor(readonly room: number) {
    this.buffer = new Uint8Array(BODY + room);
    this.#view = new DataView(this.buffer.buffer);
    this.#eights = new Float64Array(this.buffer.buffer, 0, this.buffer.length >> 3);
  }

  /** Starts a reply without a body; the methods below give it one. */
  begin(): void {
    this.length = 0;
  }

  /** Writes the header of a successful reply. Returns the bytes to send. */
  finish(unique: number): number {
    return writeHeader(this.#view, { length: this.length, error: 0, unique });
  }

  /** Where up to `size` bytes of content may be put; then `filled` says how many there are. */
  window(size: number): Uint8Array {
    return this.buffer.subarray(BODY, BODY + size);
  }

  /** The body is the first `length` bytes of the window. */
  filled(length: number): void {
    this.length = length;
  }

  bytes(data: Uint8Array): void {
    this.buffer.set(data, BODY);
    this.length = data.length;
  }

  entry(reply: Entry | NegativeEntry): void {
    this.putEntry(0, reply);
    this.length = OutSize.ENTRY;
  }

  attributes(reply: AttributeReply): void {
    this.#timeout(0, 8, reply.attributeTimeoutMs);
    this.#u32(12, 0);
    this.#attributes(16, reply.attributes);
    this.length = OutSize.GETATTR;
  }

  open(reply: OpenReply): void {
    this.#open(0, reply);
    this.length = OutSize.OPEN;
  }

  create(reply: CreateReply): void {
    this.putEntry(0, reply.entry);
    this.#open(OutSize.ENTRY, reply.open);
    this.length = OutSize.ENTRY + OutSize.OPEN;
  }

  /** WRITE and COPY_FILE_RANGE: how many bytes. */
  written(count: number): void {
    this.#u32(0, count);
    this.#u32(4, 0);
    this.length = OutSize.WRITE;
  }

  /** LSEEK: an offset; COPY_FILE_RANGE_64: a count. */
  offset(value: number): void {
    this.#u64(0, value);
    this.length = OutSize.LSEEK;
  }

  /** GETXATTR and LISTXATTR that ask for the length only. */
  xattrSize(size: number): void {
    this.#u32(0, size);
    this.#u32(4, 0);
    this.length = OutSize.XATTR_SIZE;
  }

  statfs(reply: FilesystemStatistics): void {
    this.buffer.fill(0, BODY, BODY + OutSize.STATFS);
    this.#u64(0, reply.blocks);
    this.#u64(8, reply.freeBlocks);
    this.#u64(16, reply.availableBlocks);
    this.#u64(24, reply.files);
    this.#u64(32, reply.freeFiles);
    this.#u32(40, reply.blockSize);
    this.#u32(44, reply.maximumNameLength);
    this.#u32(48, reply.blockSize);
    this.length = OutSize.STATFS;
  }

  init(negotiated: Negotiated): void {
    this.buffer.fill(0, BODY, BODY + OutSize.INIT);
    this.#u32(0, MAJOR);
    this.#u32(4, negotiated.minor);
    this.#u32(8, negotiated.maxReadaheadBytes);
    this.#u32(12, negotiated.flags);
    this.#u16(16, negotiated.maxBackground);
    this.#u16(18, negotiated.congestionThreshold);
    this.#u32(20, negotiated.maxWriteBytes);
    this.#u32(24, negotiated.timeGranularityNs);
    this.#u16(28, negotiated.maxPages);
    this.#u32(32, negotiated.flags2);
    this.#u32(36, negotiated.maxStackDepth);
    this.length = OutSize.INIT;
  }

  /** Puts an entry at `at`; the whole of it is written, so nothing of earlier replies shows through. */
  putEntry(at: number, reply: Entry | NegativeEntry): void {
    if ("negative" in reply) {
      this.buffer.fill(0, BODY + at, BODY + at + OutSize.ENTRY);
      this.#timeout(at + 16, at + 32, reply.entryTimeoutMs);
      return;
    }
    const inode = reply.attributes.inode;
    invariant(inode > 0, "an entry must name an inode; 0 would tell the kernel that there is none");
    this.#u64(at, inode);
    this.#u64(at + 8, reply.generation);
    this.#timeout(at + 16, at + 32, reply.entryTimeoutMs);
    this.#timeout(at + 24, at + 36, reply.attributeTimeoutMs);
    this.#attributes(at + 40, reply.attributes);
  }

  /** Puts an entry that READDIRPLUS takes for "name only": nothing is looked up. `at` is a multiple of 8. */
  putNoEntry(at: number): void {
    // Of so few bytes, a call of fill would cost more than the bytes.
    const from = (BODY + at) >> 3;
    for (let i = 0; i < OutSize.ENTRY >> 3; i++) this.#eights[from + i] = 0;
  }

  /** Puts a directory entry of `size` bytes (padding included) at `at`. A name that is text is ASCII. */
  putName(
    at: number,
    name: string | Uint8Array,
    entry: { inode: number; type: number; cookie: number; size: number },
  ): void {
    this.#u64(at, entry.inode);
    this.#u64(at + 8, entry.cookie);
    this.#u32(at + 16, name.length);
    this.#u32(at + 20, entry.type);
    const nameAt = BODY + at + OutSize.DIRENT;
    // Of so few bytes, calling anything for them would cost more than the bytes.
    if (typeof name !== "string") this.buffer.set(name, nameAt);
    else for (let i = 0; i < name.length; i++) this.buffer[nameAt + i] = name.charCodeAt(i);
    for (let i = nameAt + name.length; i < BODY + at + entry.size; i++) this.buffer[i] = 0;
  }

  #attributes(at: number, attributes: Attributes): void {
    this.#u64(at, attributes.inode);
    this.#u64(at + 8, attributes.size);
    this.#u64(at + 16, attributes.blocks);
    this.#time(at + 24, at + 48, attributes.atime);
    this.#time(at + 32, at + 52, attributes.mtime);
    this.#time(at + 40, at + 56, attributes.ctime);
    this.#u32(at + 60, attributes.mode);
    this.#u32(at + 64, attributes.nlink);
    this.#u32(at + 68, attributes.uid);
    this.#u32(at + 72, attributes.gid);
    this.#u32(at + 76, attributes.rdev);
    this.#u32(at + 80, attributes.blockSize);
    this.#u32(at + 84, 0);
  }

  #open(at: number, reply: OpenReply): void {
    this.#u64(at, reply.handle);
    this.#u32(at + 8, reply.flags);
    this.#u32(at + 12, reply.backingId ?? 0);
  }

  #timeout(secondsAt: number, nanosecondsAt: number, milliseconds: number): void {
    const bounded = Math.min(Math.max(milliseconds, 0), LONGEST_TIMEOUT_SECONDS * 1000);
    const seconds = Math.floor(bounded / 1000);
    this.#u64(secondsAt, seconds);
    this.#u32(nanosecondsAt, Math.floor((bounded - seconds * 1000) * 1e6));
  }

  #time(secondsAt: number, nanosecondsAt: number, time: Timestamp): void {
    this.#u64(secondsAt, time.seconds);
    this.#u32(nanosecondsAt, time.nanoseconds);
  }

  #u16(at: number, value: number): void {
    this.#view.setUint16(BODY + at, value, true);
  }

  #u32(at: number, value: number): void {
    this.#view.setUint32(BODY + at, value, true);
  }

  /** Any integer below 2^53 in size, negative ones in two's complement. */
  #u64(at: number, value: number): void {
    this.#view.setUint32(BODY + at, value, true);
    this.#view.setInt32(BODY + at + 4, Math.floor(value / HIGH), true);
  }
}

/** Writes the header of a reply or notification; `error` as the wire wants it. Returns the bytes to send. */
export function writeHeader(
  view: DataView,
  header: { length: number; error: number; unique: number },
): number {
  const total = BODY + header.length;
  view.setUint32(OutHeader.length, total, true);
  view.setInt32(OutHeader.error, header.error, true);
  view.setUint32(OutHeader.unique, header.unique, true);
  view.setUint32(OutHeader.unique + 4, Math.floor(header.unique / HIGH), true);
  return total;
}
