/**
 * Is this a good place to mount? Looks at the mount table first and touches the directory only where no
 * file system of Zero is mounted on it. Heals what a crashed daemon left behind.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { ExitCode, UserError } from "../domain/errors.ts";
import { unmount } from "../fuse/mount.ts";
import { mountAt, type MountEntry, readMountTable } from "../fuse/mount_table.ts";
import * as libc from "../runtime/libc.ts";
import { isServed } from "./cache_directory.ts";
import { MOUNT_SOURCE_PREFIX, MOUNT_TYPE } from "./cache_layout.ts";

const decoder = new TextDecoder();

/** The cache directory of one of Zero's mounts; undefined for mounts of others. */
export function cacheOfMount(entry: MountEntry): string | undefined {
  if (entry.type !== MOUNT_TYPE) return undefined;
  const source = decoder.decode(entry.source);
  return source.startsWith(MOUNT_SOURCE_PREFIX)
    ? source.slice(MOUNT_SOURCE_PREFIX.length)
    : undefined;
}

/** Takes a mount away whose daemon is gone. True where there was one. */
export function clearStaleMount(mountpoint: string): boolean {
  const entry = mountAt(mountpoint);
  const cache = entry === undefined ? undefined : cacheOfMount(entry);
  if (cache === undefined || isServed(cache)) return false;
  const helper = libc.processIds().effectiveUid !== 0;
  const result = unmount({ mountPoint: mountpoint, helper }, { lazy: true });
  if (result < 0) {
    throw new UserError(
      `the mount at ${mountpoint}, whose process is gone, cannot be removed: ${errnoName(-result)}`,
      { hint: `sudo umount -l '${mountpoint}'` },
    );
  }
  return true;
}

/** The mount point with the links above it resolved; its last name is not followed, it may be stale. */
export function resolveMountpoint(path: string): string {
  const slash = path.lastIndexOf("/");
  const parent = path.slice(0, slash) || "/";
  try {
    const real = Deno.realPathSync(parent);
    return `${real === "/" ? "" : real}/${path.slice(slash + 1)}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw missing(path);
    throw error;
  }
}

function missing(path: string): UserError {
  return new UserError(`the mount point ${path} does not exist`, {
    hint: `mkdir -p '${path}'`,
    exitCode: ExitCode.usage,
  });
}

/** Checks a mount point and heals a stale one. Throws UserError that says what is in the way. */
export function prepareMountpoint(mountpoint: string): void {
  const usage = (message: string, hint: string) =>
    new UserError(message, { hint, exitCode: ExitCode.usage });
  clearStaleMount(mountpoint);
  const entry = mountAt(mountpoint, readMountTable());
  const cache = entry === undefined ? undefined : cacheOfMount(entry);
  if (cache !== undefined) {
    throw new UserError(`${mountpoint} is mounted already, from the cache ${cache}`, {
      hint: `zero status '${mountpoint}', or zero unmount '${mountpoint}'`,
      exitCode: ExitCode.refused,
    });
  }
  const status = libc.lstat(mountpoint);
  if (status === -Errno.ENOENT) throw missing(mountpoint);
  if (status === -Errno.ENOTCONN) {
    throw new UserError(`at ${mountpoint} hangs a mount whose process is gone; it is not Zero's`, {
      hint: `sudo umount -l '${mountpoint}'`,
      exitCode: ExitCode.refused,
    });
  }
  if (typeof status === "number") {
    throw usage(
      `the mount point ${mountpoint} cannot be looked at: ${errnoName(-status)}`,
      "check its permissions",
    );
  }
  if ((status.mode & libc.S.IFMT) === libc.S.IFLNK) {
    throw usage(`the mount point ${mountpoint} is a symbolic link`, "name the directory itself");
  }
  if (!libc.isDirectory(status.mode)) {
    throw usage(`the mount point ${mountpoint} is not a directory`, "choose an empty directory");
  }
  for (const _ of Deno.readDirSync(mountpoint)) {
    throw new UserError(`the mount point ${mountpoint} is not empty; its files would be hidden`, {
      hint: "choose an empty directory, or move the files away",
      exitCode: ExitCode.refused,
    });
  }
}
