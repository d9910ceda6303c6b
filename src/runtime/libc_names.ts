/**
 * System calls on names in a directory tree and on their attributes: links, special files, owners,
 * times, extended attributes, listings. None follows a symbolic link in the last name but `chmod`. The
 * same promises as `libc.ts`, which re-exports this: values >= 0 or a negative errno; names are bytes.
 */
import { Errno } from "../domain/errno.ts";
import type { Timestamp } from "./clock.ts";
import { checked, cstring, type PathLike, symbols } from "./libc_symbols.ts";

/** symlink(2): makes `path` a link to `target`. */
export function symlink(target: PathLike, path: PathLike): number {
  return checked(symbols.symlink(cstring(target), cstring(path)));
}

const targetBytes = new Uint8Array(4096);

/** readlink(2): where a symbolic link points; a negative errno where it fails. */
export function readlink(path: PathLike): Uint8Array<ArrayBuffer> | number {
  const length = checked(symbols.readlink(cstring(path), targetBytes, 4096n));
  return length < 0 ? length : targetBytes.slice(0, length);
}

/** link(2): another name, `path`, for what is called `from`. */
export function link(from: PathLike, path: PathLike): number {
  return checked(symbols.link(cstring(from), cstring(path)));
}

/** mknod(2). `mode` with the type of the file; `device` as `st_rdev` tells it, for devices. */
export function mknod(path: PathLike, mode: number, device: number): number {
  return checked(symbols.mknod(cstring(path), mode, BigInt(device)));
}

/** chmod(2), which follows symbolic links. */
export function chmod(path: PathLike, mode: number): number {
  return checked(symbols.chmod(cstring(path), mode));
}

export function lchown(path: PathLike, owner: { uid: number; gid: number }): number {
  return checked(symbols.lchown(cstring(path), owner.uid, owner.gid));
}

/** A time to set; undefined leaves it as it is. */
type NewTime = Timestamp | "now" | undefined;

const timesBytes = new Uint8Array(32);
const timesView = new DataView(timesBytes.buffer);
const UTIME_NOW = 0x3fffffffn;
const UTIME_OMIT = 0x3ffffffen;

/** Two `struct timespec`, in a buffer that the next call uses again. */
export function timespecs(times: { atime?: NewTime; mtime?: NewTime }): Uint8Array<ArrayBuffer> {
  let at = 0;
  for (const time of [times.atime, times.mtime]) {
    const fixed = typeof time === "object";
    timesView.setBigInt64(at, fixed ? BigInt(time.seconds) : 0n, true);
    const rest = fixed ? BigInt(time.nanoseconds) : time === "now" ? UTIME_NOW : UTIME_OMIT;
    timesView.setBigInt64(at + 8, rest, true);
    at += 16;
  }
  return timesBytes;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;

/** utimensat(2) of the name itself, not of what a link points to. */
export function lutimens(path: PathLike, times: { atime?: NewTime; mtime?: NewTime }): number {
  const name = cstring(path);
  return checked(symbols.utimensat(AT_FDCWD, name, timespecs(times), AT_SYMLINK_NOFOLLOW));
}

/** Names of the extended attributes, in no order; a negative errno where it fails. */
export function llistxattr(path: PathLike): Uint8Array<ArrayBuffer>[] | number {
  const name = cstring(path);
  for (let size = 1024;; size *= 4) {
    const list = new Uint8Array(size);
    const length = checked(symbols.llistxattr(name, list, BigInt(size)));
    if (length === -Errno.ERANGE && size < 1 << 22) continue;
    if (length < 0) return length;
    const names: Uint8Array<ArrayBuffer>[] = [];
    for (let from = 0, end; from < length; from = end + 1) {
      end = list.indexOf(0, from);
      names.push(list.slice(from, end));
    }
    return names;
  }
}

const VALUE_BYTES = 65_536;
const value = new Uint8Array(VALUE_BYTES);

/** lgetxattr(2); a negative errno where it fails, ENODATA where there is no such attribute. */
export function lgetxattr(path: PathLike, name: PathLike): Uint8Array<ArrayBuffer> | number {
  const length = checked(
    symbols.lgetxattr(cstring(path), cstring(name), value, BigInt(VALUE_BYTES)),
  );
  return length < 0 ? length : value.slice(0, length);
}

/** lsetxattr(2): creates or replaces. */
export function lsetxattr(path: PathLike, name: PathLike, bytes: Uint8Array): number {
  // A length of 0 must still come with an address.
  const from = bytes.length === 0 ? new Uint8Array(1) : new Uint8Array(bytes);
  const length = BigInt(bytes.length);
  return checked(symbols.lsetxattr(cstring(path), cstring(name), from, length, 0));
}

export function lremovexattr(path: PathLike, name: PathLike): number {
  return checked(symbols.lremovexattr(cstring(path), cstring(name)));
}

const LISTING_BYTES = 65_536;

/** Names in an open directory, `.` and `..` left out, a buffer at a time. */
export class DirectoryListing {
  readonly #fd: number;
  readonly #bytes = new Uint8Array(LISTING_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  /** `fd`: of the directory; it stays the caller's. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next names, at least one; none at the end; a negative errno where it fails. */
  next(): Uint8Array<ArrayBuffer>[] | number {
    for (;;) {
      const length = checked(symbols.getdents64(this.#fd, this.#bytes, BigInt(LISTING_BYTES)));
      if (length < 0) return length;
      const names: Uint8Array<ArrayBuffer>[] = [];
      // struct linux_dirent64: inode and place (8 bytes each), length (2), type (1), name.
      for (let at = 0; at < length; at += this.#view.getUint16(at + 16, true)) {
        const name = this.#bytes.slice(at + 19, this.#bytes.indexOf(0, at + 19));
        if (name.length <= 2 && name.every((byte) => byte === 0x2e)) continue;
        names.push(name);
      }
      if (names.length > 0 || length === 0) return names;
    }
  }
}
