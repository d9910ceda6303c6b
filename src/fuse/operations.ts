/**
 * What a file system must answer, as typed requests and replies: the seam between the kernel's
 * protocol (this folder) and whoever implements a file system. Nothing here knows of Zero, and
 * nothing here needs a kernel.
 *
 * Rules of the seam
 * - Every method is synchronous. It returns its reply, throws `FsError` (the errno goes to the
 *   caller), or returns `PARKED`: the request stays unanswered until the file system gives it back
 *   to the session with `resume(request)` (the method runs again) or `fail(request, errno)`.
 * - Request objects are the file system's to keep while parked; everything in them is its own copy,
 *   but `WriteRequest.data`, which points into the session's buffer: `park` replaces it by a copy.
 * - Names are bytes: 1 to 255 of them, never `/` nor NUL, never `.` nor `..` (the session refuses
 *   others with EINVAL or ENAMETOOLONG before it calls).
 * - Offsets, sizes, inode numbers and handles are numbers below 2^53; the session answers EFBIG or
 *   EINVAL for anything the kernel sends above that.
 */
import type { Timestamp } from "../runtime/clock.ts";

/** The method has kept the request and will resume or fail it later. */
export const PARKED: unique symbol = Symbol("parked");
export type Parked = typeof PARKED;

/** Who asks. `pid` is the thread id in the daemon's pid namespace; 0 when the kernel itself asks. */
export interface RequestHeader {
  /** The kernel's id of the request; what INTERRUPT names. */
  readonly unique: number;
  /** The inode that is asked about. */
  readonly inode: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** Attributes of an inode, as `stat` shows them. */
export interface Attributes {
  inode: number;
  /** File type and permission bits, as st_mode. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** Device number of a device node, in the kernel's 32-bit encoding (new_encode_dev); else 0. */
  rdev: number;
  /** Bytes. */
  size: number;
  /** Units of 512 bytes. */
  blocks: number;
  /** Preferred I/O size in bytes. */
  blockSize: number;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
}

/** Reply to whatever makes the kernel know an inode: the lookup count of `attributes.inode` goes up by one. */
export interface Entry {
  attributes: Attributes;
  /** Distinguishes reuses of an inode number; constant 1 where numbers are never reused. */
  generation: number;
  /** Milliseconds for which the kernel may trust the name → inode mapping. */
  entryTimeoutMs: number;
  /** Milliseconds for which the kernel may trust the attributes. */
  attributeTimeoutMs: number;
}

/** "There is no such name, and you may believe that for `entryTimeoutMs`." */
export interface NegativeEntry {
  negative: true;
  entryTimeoutMs: number;
}

export interface AttributeReply {
  attributes: Attributes;
  attributeTimeoutMs: number;
}

/** FOPEN_* flags, Linux uapi fuse.h. */
export const OpenFlag = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  NONSEEKABLE: 1 << 2,
  CACHE_DIR: 1 << 3,
  STREAM: 1 << 4,
  NOFLUSH: 1 << 5,
  PARALLEL_DIRECT_WRITES: 1 << 6,
  PASSTHROUGH: 1 << 7,
} as const;

export interface OpenReply {
  /** The file system's own number of this open file description, below 2^53. */
  handle: number;
  /** OpenFlag bits. */
  flags: number;
  /** From `Session.openBacking`, where flags hold PASSTHROUGH. */
  backingId?: number;
}

export interface CreateReply {
  entry: Entry;
  open: OpenReply;
}

/** `name` may be `.` or `..`: see `FilesystemOperations.lookup`. */
export interface LookupRequest extends RequestHeader {
  readonly name: Uint8Array;
}

const DOT = ".".charCodeAt(0);

/** Whether a name is `.` or `..`. */
export const isDots = (name: Uint8Array): boolean =>
  name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));

export interface GetattrRequest extends RequestHeader {
  /** The handle, where the kernel asks through an open file. */
  readonly handle: number | undefined;
}

/** What to set; an undefined field stays as it is. */
export interface SetattrRequest extends RequestHeader {
  readonly handle: number | undefined;
  readonly mode: number | undefined;
  readonly newOwner: number | undefined;
  readonly newGroup: number | undefined;
  readonly size: number | undefined;
  readonly atime: Timestamp | "now" | undefined;
  readonly mtime: Timestamp | "now" | undefined;
  readonly ctime: Timestamp | undefined;
  /** Clear setuid, and setgid if group-executable (also set by an empty SETATTR under HANDLE_KILLPRIV_V2). */
  readonly killPrivileges: boolean;
}

export interface MkdirRequest extends RequestHeader {
  readonly name: Uint8Array;
  /** Permission bits, before the umask is applied. */
  readonly mode: number;
  readonly umask: number;
}

export interface MknodRequest extends RequestHeader {
  readonly name: Uint8Array;
  /** File type and permission bits, before the umask is applied. */
  readonly mode: number;
  readonly umask: number;
  readonly rdev: number;
}

export interface SymlinkRequest extends RequestHeader {
  readonly name: Uint8Array;
  /** The target, any bytes but NUL, 1 to 4095. */
  readonly target: Uint8Array;
}

export interface LinkRequest extends RequestHeader {
  /** `inode` is the new parent; `target` the inode that gets another name. */
  readonly target: number;
  readonly name: Uint8Array;
}

export interface UnlinkRequest extends RequestHeader {
  readonly name: Uint8Array;
}

/** RENAME_* flags, Linux uapi fs.h. */
export const RenameFlag = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

export interface RenameRequest extends RequestHeader {
  readonly name: Uint8Array;
  readonly newParent: number;
  readonly newName: Uint8Array;
  /** RenameFlag bits; WHITEOUT is refused by the session with EINVAL. */
  readonly flags: number;
}

export interface OpenRequest extends RequestHeader {
  /** O_* flags of open(2), as Linux x86-64 has them. */
  readonly flags: number;
  /** Clear setuid/setgid: the opener truncates and is not privileged. */
  readonly killPrivileges: boolean;
}

export interface CreateRequest extends RequestHeader {
  readonly name: Uint8Array;
  readonly flags: number;
  /** Permission bits, before the umask is applied. */
  readonly mode: number;
  readonly umask: number;
  readonly killPrivileges: boolean;
}

export interface ReadRequest extends RequestHeader {
  readonly handle: number;
  readonly offset: number;
  readonly size: number;
}

export interface WriteRequest extends RequestHeader {
  readonly handle: number;
  readonly offset: number;
  /** The bytes; valid during the call only, see `park`. */
  data: Uint8Array;
  /** Written by the page cache on behalf of some process (mmap), not by a write(2) of `pid`. */
  readonly fromCache: boolean;
  readonly killPrivileges: boolean;
}

export interface ReleaseRequest extends RequestHeader {
  readonly handle: number;
  readonly flags: number;
}

export interface FlushRequest extends RequestHeader {
  readonly handle: number;
}

export interface FsyncRequest extends RequestHeader {
  readonly handle: number;
  /** fdatasync: attributes that are not needed to read the data may stay behind. */
  readonly dataOnly: boolean;
}

export interface ReaddirRequest extends RequestHeader {
  readonly handle: number;
  /** The cookie of the last entry that was delivered; 0 at the start. */
  readonly cookie: number;
}

/** Takes directory entries until the kernel's buffer is full. */
export interface DirectoryFiller {
  /** True for READDIRPLUS: `addEntry` is then wanted, and each entry added counts as a lookup. */
  readonly plus: boolean;
  /** About how many more entries fit, never less than a few: what is to be read ahead of `add`. */
  readonly room: number;
  /**
   * Adds one name, as bytes or as text that stands for its UTF-8. `type` is st_mode >> 12. `cookie`
   * identifies the place after it. False when it did not fit: it was not added, stop.
   */
  add(name: string | Uint8Array, inode: number, type: number, cookie: number): boolean;
  /** READDIRPLUS: the same with attributes. The lookup count goes up only when true is returned. */
  addEntry(name: string | Uint8Array, entry: Entry, cookie: number): boolean;
}

export interface GetxattrRequest extends RequestHeader {
  readonly name: Uint8Array;
}

export interface SetxattrRequest extends RequestHeader {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  /** XATTR_CREATE (1), XATTR_REPLACE (2), or 0. */
  readonly flags: number;
  readonly killSetgid: boolean;
}

export interface FallocateRequest extends RequestHeader {
  readonly handle: number;
  readonly offset: number;
  readonly length: number;
  /** FALLOC_FL_* bits. */
  readonly mode: number;
}

export interface LseekRequest extends RequestHeader {
  readonly handle: number;
  readonly offset: number;
  /** SEEK_DATA (3) or SEEK_HOLE (4). */
  readonly whence: number;
}

export interface CopyFileRangeRequest extends RequestHeader {
  readonly handle: number;
  readonly offset: number;
  readonly targetInode: number;
  readonly targetHandle: number;
  readonly targetOffset: number;
  readonly length: number;
}

/** What statfs(2) shows; sizes in units of `blockSize`. */
export interface FilesystemStatistics {
  blocks: number;
  freeBlocks: number;
  availableBlocks: number;
  files: number;
  freeFiles: number;
  blockSize: number;
  maximumNameLength: number;
}

/**
 * A file system. A method that is absent answers ENOSYS (which the kernel remembers: for OPENDIR and
 * FSYNC that means "succeeds without asking", so absence is a decision).
 */
export interface FilesystemOperations {
  /**
   * For a file handle of something that the kernel has forgotten it asks for `.` of that inode, of
   * whatever type, and for `..` of a directory; ENOENT makes the handle stale.
   */
  lookup(request: LookupRequest): Entry | NegativeEntry | Parked;
  /** The kernel drops `count` lookups of `inode`. Never answered. */
  forget(inode: number, count: number): void;
  getattr(request: GetattrRequest): AttributeReply | Parked;
  setattr(request: SetattrRequest): AttributeReply | Parked;
  readlink(request: RequestHeader): Uint8Array | Parked;
  symlink(request: SymlinkRequest): Entry | Parked;
  mknod(request: MknodRequest): Entry | Parked;
  mkdir(request: MkdirRequest): Entry | Parked;
  unlink(request: UnlinkRequest): void | Parked;
  rmdir(request: UnlinkRequest): void | Parked;
  rename(request: RenameRequest): void | Parked;
  link(request: LinkRequest): Entry | Parked;
  open(request: OpenRequest): OpenReply | Parked;
  create(request: CreateRequest): CreateReply | Parked;
  /** Anonymous file (O_TMPFILE) in directory `request.inode`; `name` is empty. */
  tmpfile(request: CreateRequest): CreateReply | Parked;
  /** Fills `into` (as long as the read) and returns how many bytes; fewer only at the end of the file. */
  read(request: ReadRequest, into: Uint8Array): number | Parked;
  /** Returns how many bytes were written: all, or fewer (then at least 1). */
  write(request: WriteRequest): number | Parked;
  flush(request: FlushRequest): void | Parked;
  release(request: ReleaseRequest): void | Parked;
  fsync(request: FsyncRequest): void | Parked;
  fsyncdir(request: FsyncRequest): void | Parked;
  readdir(request: ReaddirRequest, filler: DirectoryFiller): void | Parked;
  statfs(request: RequestHeader): FilesystemStatistics;
  /** Undefined: there is no such attribute (ENODATA). The kernel asks for many that are not there. */
  getxattr(request: GetxattrRequest): Uint8Array | undefined | Parked;
  setxattr(request: SetxattrRequest): void | Parked;
  /** The names, each followed by a NUL byte. The session answers size queries and ERANGE. */
  listxattr(request: RequestHeader): Uint8Array | Parked;
  removexattr(request: GetxattrRequest): void | Parked;
  fallocate(request: FallocateRequest): void | Parked;
  /** Returns the offset found; ENXIO past the end. */
  lseek(request: LseekRequest): number | Parked;
  copyFileRange?(request: CopyFileRangeRequest): number | Parked;
  /** syncfs(2) of the whole mount. Linux sends it for few kinds of mounts only. */
  syncfs?(request: RequestHeader): void | Parked;
  /**
   * The process behind parked request `unique` was signalled. The file system decides whether to
   * fail it with EINTR. Requests that are not parked any more are not announced.
   */
  interrupt(unique: number): void;
  /** The kernel has unmounted; no further call comes. */
  destroy(): void;
}

/** Makes a write's bytes the request's own, so that it may be parked. Idempotent. */
export function keepData(request: WriteRequest): void {
  request.data = request.data.slice();
}

/** What a file system may ask of the session that serves it (implemented by `session.ts`). */
export interface SessionPort {
  /** Runs a parked request again. It may park again. */
  resume(request: RequestHeader): void;
  /** Answers a parked request with an errno. */
  fail(request: RequestHeader, errno: number): void;
  /** Tells the kernel to forget cached attributes of `inode` (the only invalidation that never deadlocks). */
  invalidateAttributes(inode: number): void;
  /** Registers an open file for OpenFlag.PASSTHROUGH. Its id (> 0), or a negative errno. */
  openBacking(fd: number): number;
  /** Gives back the id of `openBacking`. 0, or a negative errno. */
  closeBacking(id: number): number;
  /** Whether the kernel has agreed to passthrough. */
  readonly passthrough: boolean;
  /** Whether files that are open with OpenFlag.DIRECT_IO can be mapped, shared, all the same. */
  readonly mapsDirect: boolean;
  /** Requests that are parked now. */
  readonly parked: number;
}
