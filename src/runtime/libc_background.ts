/**
 * System calls that run on another thread while the isolate goes on: they return promises of a value
 * >= 0 or a negative errno. For disk helpers; the filesystem isolate never awaits.
 *
 * The errno of such a call stays behind in the thread that ran it. So where a call failed, the errno
 * is found by asking again in this thread, which is safe for unlink, ftruncate and pread; a second
 * fsync could report success after a failed write-back, so a failed fsync, fdatasync or syncfs is always EIO.
 */
import { Errno } from "../domain/errno.ts";
import { buffer, cstring, errno, type PathLike, symbols } from "./libc_symbols.ts";

/** fdatasync(2). Any failure is reported as EIO. */
export async function fdatasyncInBackground(fd: number): Promise<number> {
  return (await symbols.background_fdatasync(fd)) < 0 ? -Errno.EIO : 0;
}

/** fsync(2). Any failure is reported as EIO. */
export async function fsyncInBackground(fd: number): Promise<number> {
  return (await symbols.background_fsync(fd)) < 0 ? -Errno.EIO : 0;
}

/**
 * syncfs(2): the whole file system that holds `fd`. Any failure is reported as EIO, and so is one of
 * before, since the descriptor was opened.
 */
export async function syncfsInBackground(fd: number): Promise<number> {
  return (await symbols.background_syncfs(fd)) < 0 ? -Errno.EIO : 0;
}

/** unlink(2) of a NUL-terminated path (`cstring`). Deleting a large file takes long; the name goes first. */
export async function unlinkInBackground(path: Uint8Array): Promise<number> {
  if (await symbols.background_unlink(buffer(path)) >= 0) return 0;
  return symbols.unlink(buffer(path)) < 0 ? -errno() : 0;
}

/** ftruncate(2). */
export async function ftruncateInBackground(fd: number, size: number): Promise<number> {
  if (await symbols.background_ftruncate(fd, BigInt(size)) >= 0) return 0;
  return symbols.ftruncate(fd, BigInt(size)) < 0 ? -errno() : 0;
}

/** pread(2) into all of `into`, which nobody else may touch meanwhile; bytes read. */
export async function preadInBackground(
  fd: number,
  into: Uint8Array,
  offset: number,
): Promise<number> {
  const length = BigInt(into.length);
  const at = BigInt(offset);
  const n = await symbols.background_pread(fd, buffer(into), length, at);
  if (n >= 0) return n;
  const again = symbols.pread(fd, buffer(into), length, at);
  return again < 0 ? -errno() : again;
}

/**
 * Whether statvfs(3) of `path` succeeds. It is the one call that a FUSE mount cannot answer from a
 * cache, so it tells whether its server lives; where that hangs, the promise stays open.
 */
export async function statvfsWorksInBackground(path: PathLike): Promise<boolean> {
  const name = cstring(path);
  const into = new Uint8Array(112);
  const result = await symbols.background_statvfs(name, into);
  // Both buffers are used here, so that neither is collected while the call runs.
  return result >= 0 && name.length > 0 && into.length > 0;
}
