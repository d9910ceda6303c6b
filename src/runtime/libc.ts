/**
 * System calls on files, with thin types. Every wrapper returns a value >= 0, or a negative errno; none
 * throws for an errno. Paths are bytes or text (NUL is added here); descriptors are always
 * close-on-exec. Blocking calls only: those that run beside the isolate stand in
 * `libc_background.ts`, those on processes and mounts in `libc_process.ts`, those on names and their
 * attributes in `libc_names.ts`, leases in `libc_lease.ts` (all re-exported here).
 */
import { Errno } from "../domain/errno.ts";
import type { Timestamp } from "./clock.ts";
import { S } from "./libc_constants.ts";
import { timespecs } from "./libc_names.ts";
import { buffer, checked, cstring, errno, type PathLike, symbols } from "./libc_symbols.ts";

export * from "./libc_background.ts";
export * from "./libc_constants.ts";
export * from "./libc_lease.ts";
export * from "./libc_names.ts";
export * from "./libc_process.ts";
export { cstring, type PathLike } from "./libc_symbols.ts";

const O_CLOEXEC = 0o2000000;

/** open(2) with O_CLOEXEC. `mode` matters with O.CREAT only. */
export function open(path: PathLike, flags: number, mode = 0): number {
  const name = cstring(path);
  for (;;) {
    const fd = checked(symbols.open(name, flags | O_CLOEXEC, mode));
    if (fd !== -Errno.EINTR) return fd;
  }
}

/** close(2). Never repeated: Linux has released the descriptor even where it reports an error. */
export function close(fd: number): number {
  return checked(symbols.close(fd));
}

/** read(2) into all of `into`; bytes read. */
export function read(fd: number, into: Uint8Array): number {
  for (;;) {
    const n = checked(symbols.read(fd, buffer(into), BigInt(into.length)));
    if (n !== -Errno.EINTR) return n;
  }
}

/** write(2) of the first `length` bytes of `from`; bytes written. */
export function write(fd: number, from: Uint8Array, length = from.length): number {
  for (;;) {
    const n = checked(symbols.write(fd, buffer(from), BigInt(length)));
    if (n !== -Errno.EINTR) return n;
  }
}

/** pread(2) into all of `into`; bytes read, fewer at the end of the file. */
export function pread(fd: number, into: Uint8Array, offset: number): number {
  for (;;) {
    const n = checked(symbols.pread(fd, buffer(into), BigInt(into.length), BigInt(offset)));
    if (n !== -Errno.EINTR) return n;
  }
}

/** pwrite(2) of all of `from`; bytes written, possibly fewer. */
export function pwrite(fd: number, from: Uint8Array, offset: number): number {
  for (;;) {
    const n = checked(symbols.pwrite(fd, buffer(from), BigInt(from.length), BigInt(offset)));
    if (n !== -Errno.EINTR) return n;
  }
}

/** lseek(2); the resulting offset. ENXIO for SEEK.DATA and SEEK.HOLE past the end. */
export function lseek(fd: number, offset: number, whence: number): number {
  const at = symbols.lseek(fd, BigInt(offset), whence);
  return at < 0n ? -errno() : Number(at);
}

export function ftruncate(fd: number, size: number): number {
  return checked(symbols.ftruncate(fd, BigInt(size)));
}

/** fallocate(2): `mode` of FALLOC bits over `length` bytes from `offset`. */
export function fallocate(
  fd: number,
  range: { mode: number; offset: number; length: number },
): number {
  for (;;) {
    const n = checked(
      symbols.fallocate(fd, range.mode, BigInt(range.offset), BigInt(range.length)),
    );
    if (n !== -Errno.EINTR) return n;
  }
}

export function fdatasync(fd: number): number {
  return checked(symbols.fdatasync(fd));
}

export function fsync(fd: number): number {
  return checked(symbols.fsync(fd));
}

/** syncfs(2): the whole file system that holds `fd`. */
export function syncfs(fd: number): number {
  return checked(symbols.syncfs(fd));
}

/** What fstat tells. `size` in bytes, `blocks` in units of 512 bytes. */
export interface FileStatus {
  device: number;
  inode: number;
  mode: number;
  links: number;
  uid: number;
  gid: number;
  /** Devices only: which. */
  rdev: number;
  size: number;
  blocks: number;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
}

// struct stat: 144 bytes on x86-64, 128 on arm64, which differ in the order of mode and nlink.
const arm = Deno.build.arch === "aarch64";
const modeAt = arm ? 16 : 24;
const linksAt = arm ? 20 : 16;
const ownerAt = arm ? 24 : 28;
const rdevAt = arm ? 32 : 40;
const statBytes = new Uint8Array(144);
const statView = new DataView(statBytes.buffer);

function u64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

function timestamp(view: DataView, offset: number): Timestamp {
  return {
    seconds: view.getUint32(offset, true) + view.getInt32(offset + 4, true) * 0x1_0000_0000,
    nanoseconds: view.getUint32(offset + 8, true),
  };
}

function status(result: number): FileStatus | number {
  if (result < 0) return -errno();
  return {
    device: u64(statView, 0),
    inode: u64(statView, 8),
    mode: statView.getUint32(modeAt, true),
    links: statView.getUint32(linksAt, true),
    uid: statView.getUint32(ownerAt, true),
    gid: statView.getUint32(ownerAt + 4, true),
    rdev: u64(statView, rdevAt),
    size: u64(statView, 48),
    blocks: u64(statView, 64),
    atime: timestamp(statView, 72),
    mtime: timestamp(statView, 88),
    ctime: timestamp(statView, 104),
  };
}

/** fstat(2); a negative errno where it fails. */
export function fstat(fd: number): FileStatus | number {
  return status(symbols.fstat(fd, statBytes));
}

/** stat(2), following symbolic links; a negative errno where it fails. */
export function stat(path: PathLike): FileStatus | number {
  return status(symbols.stat(cstring(path), statBytes));
}

/** lstat(2), not following a symbolic link; a negative errno where it fails. */
export function lstat(path: PathLike): FileStatus | number {
  return status(symbols.lstat(cstring(path), statBytes));
}

/** True for the mode of a directory. */
export function isDirectory(mode: number): boolean {
  return (mode & S.IFMT) === S.IFDIR;
}

/** What statvfs tells of the file system that holds a file; all in bytes but the inode counts. */
export interface VolumeStatus {
  blockSize: number;
  totalBytes: number;
  /** Free, including what is reserved for root. */
  freeBytes: number;
  /** Free to everybody. */
  availableBytes: number;
  totalInodes: number;
  freeInodes: number;
}

const volumeBytes = new Uint8Array(112);
const volumeView = new DataView(volumeBytes.buffer);

function volume(result: number): VolumeStatus | number {
  if (result < 0) return -errno();
  const unit = u64(volumeView, 8);
  return {
    blockSize: unit,
    totalBytes: u64(volumeView, 16) * unit,
    freeBytes: u64(volumeView, 24) * unit,
    availableBytes: u64(volumeView, 32) * unit,
    totalInodes: u64(volumeView, 40),
    freeInodes: u64(volumeView, 48),
  };
}

/** statvfs(3) of the file system that holds `fd`; a negative errno where it fails. */
export function fstatvfs(fd: number): VolumeStatus | number {
  return volume(symbols.fstatvfs(fd, volumeBytes));
}

/** statvfs(3) of the file system that holds `path`; a negative errno where it fails. */
export function statvfs(path: PathLike): VolumeStatus | number {
  return volume(symbols.statvfs(cstring(path), volumeBytes));
}

/** futimens(3). An undefined time stays as it is. */
export function futimens(
  fd: number,
  times: { atime?: Timestamp | "now"; mtime?: Timestamp | "now" },
): number {
  return checked(symbols.futimens(fd, timespecs(times)));
}

export function fchmod(fd: number, mode: number): number {
  return checked(symbols.fchmod(fd, mode));
}

export function unlink(path: PathLike): number {
  return checked(symbols.unlink(cstring(path)));
}

export function mkdir(path: PathLike, mode: number): number {
  return checked(symbols.mkdir(cstring(path), mode));
}

export function rmdir(path: PathLike): number {
  return checked(symbols.rmdir(cstring(path)));
}

export function rename(from: PathLike, to: PathLike): number {
  return checked(symbols.rename(cstring(from), cstring(to)));
}

/** flock(2) with LOCK bits. EAGAIN where LOCK.NB was given and somebody else holds it. */
export function flock(fd: number, operation: number): number {
  for (;;) {
    const n = checked(symbols.flock(fd, operation));
    if (n !== -Errno.EINTR) return n;
  }
}

/** fcntl(2) with an integer argument (F commands). */
export function fcntl(fd: number, command: number, argument = 0): number {
  return checked(symbols.fcntl(fd, command, argument));
}

/** copy_file_range(2) between the same places of two files. Bytes copied, perhaps fewer; 0: `from` ends there. */
export function copyFileRange(
  from: number,
  to: number,
  { offset, length }: { offset: number; length: number },
): number {
  copyOffsets[0] = copyOffsets[1] = BigInt(offset);
  return checked(
    symbols.copy_file_range(
      from,
      copyFrom,
      to,
      copyTo,
      BigInt(Math.min(length, 0x40000000)),
      0,
    ),
  );
}
const copyOffsets = new BigInt64Array(2);
const copyFrom = new Uint8Array(copyOffsets.buffer, 0, 8);
const copyTo = new Uint8Array(copyOffsets.buffer, 8, 8);

/** ioctl(2) whose argument is a struct in `argument`. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  return checked(symbols.ioctl(fd, BigInt(request), buffer(argument)));
}
