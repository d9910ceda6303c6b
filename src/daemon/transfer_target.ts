/**
 * The directory that an export or import fills: says whether what is there already is what belongs there, and
 * makes names. Never touches what is different, unless it was told to. Follows no links below its root.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { joinNames } from "../domain/name_text.ts";
import type { FileDetails, TreeEntry } from "../metadata/tree_reader.ts";
import * as libc from "../runtime/libc.ts";
import { type Actor, applyAttributes, type Attributes } from "./plain_attributes.ts";

/** What lies under a name. `same`: as far as type, size, time or target tell. */
export type Found = "absent" | "same" | "different";

/** What is to lie under a name, as far as it can be told without reading it. */
export type Wanted = Pick<TreeEntry, "mode" | "rdev" | "size" | "mtimeS" | "mtimeNs" | "target">;

/** Something about one name that could not be done: for the report. */
export class NameProblem extends Error {
  override readonly name = "NameProblem";
}

const { S } = libc;
const typeOf = (mode: number) => mode & S.IFMT;

export class TransferTarget {
  readonly #root: Uint8Array;
  readonly #base: number;
  readonly #single: boolean;
  readonly #force: boolean;
  readonly #actor: Actor;

  /** A single file keeps its name below `to`; of a directory, the content comes to lie there. */
  constructor(
    to: string,
    options: { start: Pick<TreeEntry, "names" | "mode">; force: boolean; actor: Actor },
  ) {
    this.#root = new TextEncoder().encode(to);
    this.#base = options.start.names.length;
    this.#single = !libc.isDirectory(options.start.mode);
    this.#force = options.force;
    this.#actor = options.actor;
  }

  path(names: Uint8Array[]): Uint8Array {
    const below = joinNames(names.slice(this.#single ? this.#base - 1 : this.#base));
    if (below.length === 0) return this.#root;
    const path = new Uint8Array(this.#root.length + 1 + below.length);
    path.set(this.#root);
    path[this.#root.length] = 0x2f;
    path.set(below, this.#root.length + 1);
    return path;
  }

  /** Throws NameProblem where it cannot be looked at. */
  look(path: Uint8Array, entry: Wanted): Found {
    const status = libc.lstat(path);
    if (status === -Errno.ENOENT) return "absent";
    if (typeof status === "number") throw new NameProblem(errnoName(-status));
    if (typeOf(status.mode) !== typeOf(entry.mode)) return "different";
    let same: boolean;
    switch (typeOf(entry.mode)) {
      case S.IFDIR:
        same = true;
        break;
      case S.IFREG:
        same = status.size === entry.size && sameTime(status.mtime, entry);
        break;
      case S.IFLNK:
        same = sameBytes(libc.readlink(path), entry.target!);
        break;
      default:
        same = status.rdev === entry.rdev;
    }
    return same ? "same" : "different";
  }

  /** Makes room for a name that is to be made. False where it is there as it should be. */
  prepare(path: Uint8Array, entry: Wanted): boolean {
    const found = this.look(path, entry);
    if (found === "same") return false;
    if (found === "different") {
      if (!this.#force) throw new NameProblem("something different is there; --force replaces it");
      checked("the old one cannot be removed", libc.unlink(path));
    }
    return true;
  }

  /** Throws NameProblem. */
  directory(path: Uint8Array, entry: Wanted): void {
    if (this.prepare(path, entry)) return void checked("mkdir", libc.mkdir(path, 0o700));
    if (this.#actor.uid === 0) return;
    // What is to be put into it must be possible; the permissions come last.
    const status = libc.lstat(path);
    if (typeof status === "number" || (status.mode & 0o700) === 0o700) return;
    checked("chmod", libc.chmod(path, (status.mode & 0o7777) | 0o700));
  }

  /** A link, FIFO, socket or device. Throws NameProblem; then nothing is there. */
  special(path: Uint8Array, entry: Wanted): void {
    if (typeOf(entry.mode) === S.IFLNK) {
      checked("symlink", libc.symlink(entry.target!, path));
    } else {
      checked("mknod", libc.mknod(path, typeOf(entry.mode) | 0o600, entry.rdev));
    }
  }

  /** Another name for a file that is there. Throws NameProblem. */
  link(first: Uint8Array, path: Uint8Array): boolean {
    const [wanted, found] = [libc.lstat(first), libc.lstat(path)];
    if (typeof wanted === "number") {
      throw new NameProblem("the file that it is a link to is not there");
    }
    if (typeof found !== "number") {
      if (found.inode === wanted.inode && found.device === wanted.device) return false;
      if (!this.#force) throw new NameProblem("something different is there; --force replaces it");
      checked("the old one cannot be removed", libc.unlink(path));
    }
    checked("link", libc.link(first, path));
    return true;
  }

  /** A part that has all its bytes gets its attributes, then its name. What could not be set. */
  publish(part: Uint8Array, path: Uint8Array, attributes: Attributes): string[] {
    const problems = applyAttributes(part, attributes, this.#actor);
    const there = libc.lstat(path);
    if (typeof there !== "number" && (libc.isDirectory(there.mode) || !this.#force)) {
      throw new NameProblem("something different is there");
    }
    checked("it cannot be given its name", libc.rename(part, path));
    return problems;
  }

  /** What could not be set. */
  attributes(path: Uint8Array, attributes: Attributes): string[] {
    return applyAttributes(path, attributes, this.#actor);
  }
}

export function attributesOf(
  entry: TreeEntry,
  options: { details: FileDetails; xattrs: Attributes["xattrs"] },
): Attributes {
  const { mode, uid, gid, mtimeS, mtimeNs } = entry;
  const { atimeS, atimeNs } = options.details;
  return {
    mode,
    uid,
    gid,
    atime: { seconds: atimeS, nanoseconds: atimeNs },
    mtime: { seconds: mtimeS, nanoseconds: mtimeNs },
    xattrs: options.xattrs,
  };
}

function checked(what: string, result: number): number {
  if (result < 0) throw new NameProblem(`${what}: ${errnoName(-result)}`);
  return result;
}

/** Some file systems keep whole seconds only. */
function sameTime(
  found: { seconds: number; nanoseconds: number },
  { mtimeS, mtimeNs }: Wanted,
): boolean {
  return found.seconds === mtimeS && (found.nanoseconds === mtimeNs || found.nanoseconds === 0);
}

function sameBytes(a: Uint8Array | number, b: Uint8Array): boolean {
  return typeof a !== "number" && a.length === b.length && a.every((byte, at) => byte === b[at]);
}
