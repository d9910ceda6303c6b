/** Small files of a cache that are replaced as a whole, and are on the disk when that returns. */
import { errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";

/** Replaces a private file (mode 600). Throws UserError; then the old one is still there. */
export function replaceFile(path: string, bytes: Uint8Array): void {
  const fresh = `${path}.new`;
  const flags = libc.O.WRONLY | libc.O.CREAT | libc.O.TRUNC | libc.O.NOFOLLOW;
  const fd = libc.open(fresh, flags, 0o600);
  const done = fd >= 0 && libc.write(fd, bytes) === bytes.length && libc.fsync(fd) >= 0;
  if (fd >= 0) libc.close(fd);
  const renamed = done ? libc.rename(fresh, path) : fd;
  const directory = libc.open(path.replace(/\/[^/]*$/, ""), libc.O.RDONLY);
  const synced = directory >= 0 && libc.fsync(directory) >= 0;
  if (directory >= 0) libc.close(directory);
  if (done && renamed >= 0 && synced) return;
  throw new UserError(`${path} cannot be written${fd < 0 ? `: ${errnoName(-fd)}` : ""}`, {
    hint: "the cache's disk must be writable and not full",
  });
}
