/**
 * Bytes from the kernel → typed requests of `operations.ts`: one method per layout. Promises what
 * `request_reader.ts` promises. All names and values are copies; only `WriteRequest.data` points into
 * the buffer.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import {
  FSYNC_DATA_ONLY,
  GETATTR_HANDLE,
  InSize,
  OPEN_KILL_SUIDGID,
  SetattrFlag,
  SETXATTR_KILL_SGID,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
} from "./abi.ts";
import type {
  CopyFileRangeRequest,
  CreateRequest,
  FallocateRequest,
  FlushRequest,
  FsyncRequest,
  GetattrRequest,
  GetxattrRequest,
  LinkRequest,
  LookupRequest,
  LseekRequest,
  MkdirRequest,
  MknodRequest,
  OpenRequest,
  ReaddirRequest,
  ReadRequest,
  ReleaseRequest,
  RenameRequest,
  RequestHeader,
  SetattrRequest,
  SetxattrRequest,
  SymlinkRequest,
  WriteRequest,
} from "./operations.ts";
import { BODY, HIGH_LIMIT, RequestReader } from "./request_reader.ts";

/** Bytes that the caller has room for; the session answers within them. */
export interface Sized {
  readonly room: number;
}

/** What INIT brings. `flags2` is 0 where the kernel is older than 7.36. */
export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly flags2: number;
}

const EMPTY = new Uint8Array(0);

export class RequestDecoder extends RequestReader {
  /** SETXATTR carries the long struct: set when SETXATTR_EXT was negotiated. */
  extendedSetxattr = false;

  init(): InitRequest {
    this.need(InSize.INIT);
    const extended = this.bodyLength >= InSize.INIT_EXTENDED;
    return {
      major: this.u32(0),
      minor: this.u32(4),
      maxReadahead: this.u32(8),
      flags: this.u32(12),
      flags2: extended ? this.u32(16) : 0,
    };
  }

  /** The `unique` that an INTERRUPT names. */
  interrupt(): number {
    this.need(InSize.INTERRUPT);
    return this.id(0);
  }

  /** Calls `each` with every (inode, lookups) of a FORGET. */
  forget(each: (inode: number, count: number) => void): void {
    this.need(InSize.FORGET);
    each(this.headerInode(), this.count(0));
  }

  /** Calls `each` with every (inode, lookups) of a BATCH_FORGET. */
  batchForget(each: (inode: number, count: number) => void): void {
    this.need(InSize.BATCH_FORGET);
    const count = this.u32(0);
    this.need(InSize.BATCH_FORGET + count * InSize.FORGET_ONE);
    for (let i = 0; i < count; i++) {
      const at = InSize.BATCH_FORGET + i * InSize.FORGET_ONE;
      each(this.id(at), this.count(at + 8));
    }
  }

  /** LOOKUP: a name in the directory; `.` and `..` for whoever has a file handle (EXPORT_SUPPORT). */
  lookup(): LookupRequest {
    return { ...this.header(), name: this.nameOrDots(0) };
  }

  /** UNLINK, RMDIR: a name in the directory. */
  named(): LookupRequest {
    return { ...this.header(), name: this.name(0) };
  }

  getattr(): GetattrRequest {
    this.need(InSize.GETATTR);
    const handle = this.u32(0) & GETATTR_HANDLE ? this.id(8) : undefined;
    return { ...this.header(), handle };
  }

  setattr(): SetattrRequest {
    this.need(InSize.SETATTR);
    const valid = this.u32(0);
    const has = (flag: number) => (valid & flag) !== 0;
    const time = (flag: number, now: number, at: number, nanosecondsAt: number) =>
      has(now) ? "now" : has(flag) ? this.time(at, nanosecondsAt) : undefined;
    // The kernel asks to kill privileges by an empty SETATTR; a handle or lock owner sets nothing.
    const nothing = (valid & ~(SetattrFlag.HANDLE | SetattrFlag.LOCK_OWNER)) === 0;
    return {
      ...this.header(),
      handle: has(SetattrFlag.HANDLE) ? this.id(8) : undefined,
      size: has(SetattrFlag.SIZE) ? this.fileOffset(16) : undefined,
      atime: time(SetattrFlag.ATIME, SetattrFlag.ATIME_NOW, 32, 56),
      mtime: time(SetattrFlag.MTIME, SetattrFlag.MTIME_NOW, 40, 60),
      ctime: has(SetattrFlag.CTIME) ? this.time(48, 64) : undefined,
      mode: has(SetattrFlag.MODE) ? this.u32(68) : undefined,
      newOwner: has(SetattrFlag.UID) ? this.u32(76) : undefined,
      newGroup: has(SetattrFlag.GID) ? this.u32(80) : undefined,
      killPrivileges: nothing || has(SetattrFlag.KILL_SUIDGID),
    };
  }

  /** SYMLINK: the new name, then the target. */
  symlink(): SymlinkRequest {
    const nameEnd = this.terminator(0);
    const targetEnd = this.terminator(nameEnd + 1);
    const target = this.slice(nameEnd + 1, targetEnd);
    if (target.length === 0) throw new FsError(Errno.ENOENT, "empty link target");
    if (target.length > 4095) throw new FsError(Errno.ENAMETOOLONG, "link target");
    return { ...this.header(), name: this.name(0), target };
  }

  mknod(): MknodRequest {
    this.need(InSize.MKNOD);
    return {
      ...this.header(),
      mode: this.u32(0),
      rdev: this.u32(4),
      umask: this.u32(8),
      name: this.name(InSize.MKNOD),
    };
  }

  mkdir(): MkdirRequest {
    this.need(InSize.MKDIR);
    return {
      ...this.header(),
      mode: this.u32(0),
      umask: this.u32(4),
      name: this.name(InSize.MKDIR),
    };
  }

  /** RENAME (without flags) and RENAME2. */
  rename(withFlags: boolean): RenameRequest {
    const fixed = withFlags ? InSize.RENAME2 : InSize.RENAME;
    this.need(fixed);
    const newNameAt = this.terminator(fixed) + 1;
    return {
      ...this.header(),
      newParent: this.id(0),
      flags: withFlags ? this.u32(8) : 0,
      name: this.name(fixed),
      newName: this.name(newNameAt),
    };
  }

  link(): LinkRequest {
    this.need(InSize.LINK);
    return { ...this.header(), target: this.id(0), name: this.name(InSize.LINK) };
  }

  open(): OpenRequest {
    this.need(InSize.OPEN);
    const killPrivileges = (this.u32(4) & OPEN_KILL_SUIDGID) !== 0;
    return { ...this.header(), flags: this.u32(0), killPrivileges };
  }

  /** CREATE; TMPFILE has the same layout, but its name means nothing (the kernel sends `/`). */
  create(named: boolean): CreateRequest {
    this.need(InSize.CREATE);
    return {
      ...this.header(),
      flags: this.u32(0),
      mode: this.u32(4),
      umask: this.u32(8),
      killPrivileges: (this.u32(12) & OPEN_KILL_SUIDGID) !== 0,
      name: named ? this.name(InSize.CREATE) : EMPTY,
    };
  }

  /** An offset of 2^53 or more becomes Infinity: beyond every possible file, there is nothing to read. */
  read(): ReadRequest {
    this.need(InSize.READ);
    const offset = this.u32(12) >= HIGH_LIMIT ? Infinity : this.id(8);
    return { ...this.header(), handle: this.id(0), offset, size: this.u32(16) };
  }

  write(): WriteRequest {
    this.need(InSize.WRITE);
    const size = this.u32(16);
    this.need(InSize.WRITE + size);
    const offset = this.fileOffset(8);
    this.reach(offset, size);
    const flags = this.u32(20);
    const from = BODY + InSize.WRITE;
    return {
      ...this.header(),
      handle: this.id(0),
      offset,
      data: this.buffer.subarray(from, from + size),
      fromCache: (flags & WRITE_CACHE) !== 0,
      killPrivileges: (flags & WRITE_KILL_SUIDGID) !== 0,
    };
  }

  release(): ReleaseRequest {
    this.need(InSize.RELEASE);
    return { ...this.header(), handle: this.id(0), flags: this.u32(8) };
  }

  flush(): FlushRequest {
    this.need(InSize.FLUSH);
    return { ...this.header(), handle: this.id(0) };
  }

  /** FSYNC and FSYNCDIR. */
  fsync(): FsyncRequest {
    this.need(InSize.FSYNC);
    const dataOnly = (this.u32(8) & FSYNC_DATA_ONLY) !== 0;
    return { ...this.header(), handle: this.id(0), dataOnly };
  }

  /** READDIR and READDIRPLUS. `room` bytes of entries fit. */
  readdir(): ReaddirRequest & Sized {
    this.need(InSize.READ);
    return { ...this.header(), handle: this.id(0), cookie: this.id(8), room: this.u32(16) };
  }

  /** `room` 0 asks for the length only. */
  getxattr(): GetxattrRequest & Sized {
    this.need(InSize.GETXATTR);
    return { ...this.header(), room: this.u32(0), name: this.xattrName(InSize.GETXATTR) };
  }

  listxattr(): RequestHeader & Sized {
    this.need(InSize.GETXATTR);
    return { ...this.header(), room: this.u32(0) };
  }

  setxattr(): SetxattrRequest {
    const fixed = this.extendedSetxattr ? InSize.SETXATTR_EXTENDED : InSize.SETXATTR;
    this.need(fixed);
    const size = this.u32(0);
    const valueAt = this.terminator(fixed) + 1;
    this.need(valueAt + size);
    return {
      ...this.header(),
      name: this.xattrName(fixed),
      value: this.slice(valueAt, valueAt + size),
      flags: this.u32(4),
      killSetgid: this.extendedSetxattr && (this.u32(8) & SETXATTR_KILL_SGID) !== 0,
    };
  }

  removexattr(): GetxattrRequest {
    return { ...this.header(), name: this.xattrName(0) };
  }

  fallocate(): FallocateRequest {
    this.need(InSize.FALLOCATE);
    const offset = this.fileOffset(8);
    const length = this.fileOffset(16);
    this.reach(offset, length);
    return { ...this.header(), handle: this.id(0), offset, length, mode: this.u32(24) };
  }

  lseek(): LseekRequest {
    this.need(InSize.LSEEK);
    if (this.u32(12) >= HIGH_LIMIT) throw new FsError(Errno.ENXIO, "past every possible file");
    return { ...this.header(), handle: this.id(0), offset: this.id(8), whence: this.u32(16) };
  }

  /** COPY_FILE_RANGE and COPY_FILE_RANGE_64. The length is clamped: a short copy is allowed. */
  copyFileRange(): CopyFileRangeRequest {
    this.need(InSize.COPY_FILE_RANGE);
    const offset = this.fileOffset(8);
    const targetOffset = this.fileOffset(32);
    const most = Number.MAX_SAFE_INTEGER - Math.max(offset, targetOffset);
    return {
      ...this.header(),
      handle: this.id(0),
      offset,
      targetInode: this.id(16),
      targetHandle: this.id(24),
      targetOffset,
      length: Math.min(most, this.count(40)),
    };
  }
}
