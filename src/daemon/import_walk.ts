/**
 * Walks a plain directory for an import: names as bytes, each with what can be seen of it, directories
 * before what is in them. Follows no links. Holds a buffer of names and a path per level, however large a
 * directory is. What cannot be looked at is told and left out.
 */
import { errnoName } from "../domain/errno.ts";
import * as libc from "../runtime/libc.ts";
import type { Wanted } from "./transfer_target.ts";

export interface SourceEntry extends Wanted {
  /** Below the directory that is walked. */
  names: Uint8Array[];
  path: Uint8Array;
  status: libc.FileStatus;
}

export interface SourceOptions {
  /** Directories alone, after those in them. */
  leaving?: boolean;
  /** Whether to go into a directory; asked after it was given out. */
  enter?: (directory: SourceEntry) => boolean;
  /** Something cannot be looked at. */
  problem: (names: Uint8Array[], reason: string) => void;
}

/** Everything at and below a directory. */
export function* walkSource(root: Uint8Array, options: SourceOptions): Iterable<SourceEntry> {
  const entry = look(root, []);
  if (typeof entry === "number") return options.problem([], errnoName(-entry));
  yield* below(entry, options);
}

function* below(entry: SourceEntry, options: SourceOptions): Iterable<SourceEntry> {
  const directory = libc.isDirectory(entry.mode);
  if (!options.leaving) yield entry;
  if (!directory || options.enter?.(entry) === false) return;
  yield* inside(entry, options);
  if (options.leaving) yield entry;
}

function* inside(directory: SourceEntry, options: SourceOptions): Iterable<SourceEntry> {
  const flags = libc.O.RDONLY | libc.O.DIRECTORY | libc.O.NOFOLLOW;
  const fd = libc.open(directory.path, flags);
  if (fd < 0) return options.problem(directory.names, `not readable: ${errnoName(-fd)}`);
  try {
    const listing = new libc.DirectoryListing(fd);
    for (;;) {
      const names = listing.next();
      if (typeof names === "number") {
        return options.problem(directory.names, `not readable: ${errnoName(-names)}`);
      }
      if (names.length === 0) return;
      for (const name of names) {
        const entry = look(joined(directory.path, name), [...directory.names, name]);
        if (typeof entry === "number") {
          options.problem([...directory.names, name], errnoName(-entry));
        } else if (!options.leaving || libc.isDirectory(entry.mode)) yield* below(entry, options);
      }
    }
  } finally {
    libc.close(fd);
  }
}

/** A negative errno where it cannot be looked at. */
function look(path: Uint8Array, names: Uint8Array[]): SourceEntry | number {
  const status = libc.lstat(path);
  if (typeof status === "number") return status;
  const link = (status.mode & libc.S.IFMT) === libc.S.IFLNK ? libc.readlink(path) : undefined;
  if (typeof link === "number") return link;
  const { mode, rdev, size, mtime } = status;
  const { seconds: mtimeS, nanoseconds: mtimeNs } = mtime;
  return { names, path, status, mode, rdev, size, mtimeS, mtimeNs, target: link };
}

function joined(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const path = new Uint8Array(directory.length + 1 + name.length);
  path.set(directory);
  path[directory.length] = 0x2f;
  path.set(name, directory.length + 1);
  return path;
}
