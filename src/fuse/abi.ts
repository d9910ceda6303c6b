/**
 * Numbers and layouts of the kernel's FUSE protocol, versions 7.31 to 7.45, little-endian. Only what
 * this folder reads or writes. Source: Linux uapi fuse.h; what the kernel does with them is described
 * where they are used.
 */

/** The only major version there is. */
export const MAJOR = 7;
/** Older kernels (before Linux 5.4) are refused: their structs differ. */
export const OLDEST_MINOR = 31;
/** Newest minor version whose layouts are known here; a newer kernel speaks this one with us. */
export const NEWEST_MINOR = 45;

/** The mount's root directory. */
export const ROOT_INODE = 1;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

const opcodeNames = new Map<number, string>(
  Object.entries(Opcode).map(([name, value]) => [value, name]),
);

/** `LOOKUP`, or `opcode 99` for one that is not in the table. */
export function opcodeName(opcode: number): string {
  return opcodeNames.get(opcode) ?? `opcode ${opcode}`;
}

/** INIT flags, bits 0 to 31 (`flags`). */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  FLOCK_LOCKS: 1 << 10,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  PARALLEL_DIROPS: 1 << 18,
  HANDLE_KILLPRIV: 1 << 19,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  NO_OPENDIR_SUPPORT: 1 << 24,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** INIT flags, bits 32 to 63, as they stand in `flags2`. */
export const InitFlag2 = {
  SECURITY_CTX: 1 << 0,
  CREATE_SUPP_GROUP: 1 << 2,
  HAS_EXPIRE_ONLY: 1 << 3,
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
  PASSTHROUGH: 1 << 5,
  HAS_RESEND: 1 << 7,
  REQUEST_TIMEOUT: 1 << 10,
  OVER_IO_URING: 1 << 9,
} as const;

/** SETATTR: which fields are valid. */
export const SetattrFlag = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  HANDLE: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCK_OWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

export const GETATTR_HANDLE = 1 << 0;
export const OPEN_KILL_SUIDGID = 1 << 0;
export const WRITE_CACHE = 1 << 0;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const FSYNC_DATA_ONLY = 1 << 0;
export const SETXATTR_KILL_SGID = 1 << 0;

/** Notification codes, which stand where a reply has its error. */
export const NOTIFY_INVAL_INODE = 2;

/** struct fuse_in_header: in front of every request. */
export const InHeader = {
  length: 0,
  opcode: 4,
  unique: 8,
  inode: 16,
  uid: 24,
  gid: 28,
  pid: 32,
  /** Length of the extensions at the end of the request, in units of 8 bytes (u16). */
  extensions: 36,
  SIZE: 40,
} as const;

/** struct fuse_out_header: in front of every reply. */
export const OutHeader = { length: 0, error: 4, unique: 8, SIZE: 16 } as const;

/** Sizes of the fixed parts of requests, behind the header. */
export const InSize = {
  FORGET: 8,
  BATCH_FORGET: 8,
  FORGET_ONE: 16,
  GETATTR: 16,
  SETATTR: 88,
  MKNOD: 16,
  MKDIR: 8,
  RENAME: 8,
  RENAME2: 16,
  LINK: 8,
  OPEN: 8,
  CREATE: 16,
  READ: 40,
  WRITE: 40,
  RELEASE: 24,
  FLUSH: 24,
  FSYNC: 16,
  SETXATTR: 8,
  /** With SETXATTR_EXT. */
  SETXATTR_EXTENDED: 16,
  GETXATTR: 8,
  FALLOCATE: 32,
  LSEEK: 24,
  COPY_FILE_RANGE: 56,
  INTERRUPT: 8,
  /** Before 7.36; since then 64, with flags2 at 16. */
  INIT: 16,
  INIT_EXTENDED: 20,
} as const;

/** Sizes of replies, behind the header. */
export const OutSize = {
  ATTRIBUTES: 88,
  ENTRY: 128,
  GETATTR: 104,
  OPEN: 16,
  WRITE: 8,
  STATFS: 80,
  XATTR_SIZE: 8,
  LSEEK: 8,
  COPY_FILE_RANGE_64: 8,
  INIT: 64,
  DIRENT: 24,
  DIRENTPLUS: 152,
  INVAL_INODE: 24,
} as const;

/** ioctl(2) requests on /dev/fuse. Need CAP_SYS_ADMIN. */
export const BACKING_OPEN = 0x4010e501;
export const BACKING_CLOSE = 0x4004e502;

/** Largest read or write in one request, in bytes. */
export const MAX_WRITE_BYTES = 1024 * 1024;
/** Room in front of a WRITE's bytes: 40 + 40, and the kernel wants at least 4 KiB more than max_write. */
export const REQUEST_OVERHEAD_BYTES = 8192;
/** Longest file name in bytes, as Linux programs expect it. */
export const MAX_NAME_BYTES = 255;
