/**
 * Numbers of the Linux system call interface that the wrappers in `libc.ts` take. Owns no state.
 * Sources: asm-generic/fcntl.h, linux/fs.h, linux/falloc.h, linux/mount.h, poll.h, time.h. Those that
 * differ between x86-64 and arm64 are chosen by the architecture this runs on.
 */
const arm = Deno.build.arch === "aarch64";

/** open(2). O_CLOEXEC is not here: `open` always sets it. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  ACCMODE: 3,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  SYNC: 0o4010000,
  DIRECT: arm ? 0o200000 : 0o40000,
  DIRECTORY: arm ? 0o40000 : 0o200000,
  NOFOLLOW: arm ? 0o100000 : 0o400000,
  NOATIME: 0o1000000,
  PATH: 0o10000000,
} as const;

/** fcntl(2) commands and the lease types of F_SETLEASE. */
export const F = {
  GETFD: 1,
  SETFD: 2,
  GETFL: 3,
  SETFL: 4,
  DUPFD_CLOEXEC: 1030,
  SETLEASE: 1024,
  GETLEASE: 1025,
  RDLCK: 0,
  WRLCK: 1,
  UNLCK: 2,
} as const;

/** F_SETFD: close on exec. */
export const FD_CLOEXEC = 1;

/** flock(2). */
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;

/** lseek(2). */
export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const;

/** fallocate(2) modes. */
export const FALLOC = {
  KEEP_SIZE: 1,
  PUNCH_HOLE: 2,
  COLLAPSE_RANGE: 8,
  ZERO_RANGE: 16,
  INSERT_RANGE: 32,
  UNSHARE_RANGE: 64,
} as const;

/** poll(2) events. */
export const POLL = { IN: 1, OUT: 4, ERR: 8, HUP: 16, NVAL: 32 } as const;

/** mount(2) flags. */
export const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8, NOATIME: 1024 } as const;

/** umount2(2) flags. */
export const UMOUNT = { FORCE: 1, DETACH: 2, NOFOLLOW: 8 } as const;

/** clock_gettime(2). BOOTTIME counts on while the machine sleeps. */
export const CLOCK = { REALTIME: 0, MONOTONIC: 1, BOOTTIME: 7 } as const;

/** st_mode: the type of a file. */
export const S = {
  IFMT: 0o170000,
  IFSOCK: 0o140000,
  IFLNK: 0o120000,
  IFREG: 0o100000,
  IFBLK: 0o060000,
  IFDIR: 0o040000,
  IFCHR: 0o020000,
  IFIFO: 0o010000,
  ISUID: 0o4000,
  ISGID: 0o2000,
  ISVTX: 0o1000,
} as const;
