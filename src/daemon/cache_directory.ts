/**
 * The cache directory: private, ours, and served by one process at a time. Owns the lock. Reads nothing
 * in the directory before the lock is held, and changes nothing when it refuses.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { ExitCode, UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";
import { type CacheLayout, cacheLayout } from "./cache_layout.ts";
import { isWithin } from "./user_directories.ts";

function refused(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.refused });
}

/** Refuses a directory that others could read, write or swap. True where it exists. */
function checkDirectory(path: string): boolean {
  const status = libc.lstat(path);
  if (status === -Errno.ENOENT) return false;
  if (typeof status === "number") {
    throw new UserError(`the cache directory ${path} cannot be looked at: ${errnoName(-status)}`, {
      hint: "check the permissions of the directories above it",
    });
  }
  if ((status.mode & libc.S.IFMT) === libc.S.IFLNK) {
    throw refused(
      `the cache directory ${path} is a symbolic link`,
      `name the directory itself: ${realPathOr(path)}`,
    );
  }
  if (!libc.isDirectory(status.mode)) {
    throw refused(`the cache ${path} is not a directory`, "choose another --cache");
  }
  const { effectiveUid } = libc.processIds();
  if (status.uid !== effectiveUid) {
    throw refused(
      `the cache directory ${path} belongs to user ${status.uid}, not to you (${effectiveUid})`,
      "run zero as its owner, or choose another --cache",
    );
  }
  if ((status.mode & 0o022) !== 0) {
    const mode = (status.mode & 0o7777).toString(8);
    throw refused(
      `others may write to the cache directory ${path} (mode ${mode})`,
      `chmod 700 '${path}'`,
    );
  }
  return true;
}

function realPathOr(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw error;
  }
}

/** Who holds the lock of a cache, as its holder wrote it; undefined where it cannot be told. */
export interface LockHolder {
  pid: number;
  mountpoint: string | undefined;
}

function readHolder(path: string): LockHolder | undefined {
  const [pid, mountpoint] = Deno.readTextFileSync(path).split("\n");
  if (!/^\d+$/.test(pid)) return undefined;
  return { pid: Number(pid), mountpoint: mountpoint || undefined };
}

/** A cache directory that this process has locked. */
export class CacheDirectory {
  readonly layout: CacheLayout;
  readonly #lock: number;

  readonly #created: boolean;

  private constructor(readonly path: string, options: { lock: number; created: boolean }) {
    this.layout = cacheLayout(path);
    this.#lock = options.lock;
    this.#created = options.created;
  }

  /**
   * Makes the directory where there is none (mode 700), checks it, and locks it. Throws UserError:
   * not private, not ours, or in use (with the process that holds it). `path` is absolute.
   */
  static open(path: string): CacheDirectory {
    const created = !checkDirectory(path);
    if (created) {
      Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
      checkDirectory(path);
    }
    const layout = cacheLayout(path);
    const flags = libc.O.RDWR | libc.O.CREAT | libc.O.NOFOLLOW;
    const lock = libc.open(layout.lock, flags, 0o600);
    if (lock < 0) {
      throw new UserError(`the lock ${layout.lock} cannot be opened: ${errnoName(-lock)}`, {
        hint: "the cache directory must be writable, and its disk must not be full",
      });
    }
    const result = libc.flock(lock, libc.LOCK.EX | libc.LOCK.NB);
    if (result < 0) {
      libc.close(lock);
      if (result !== -Errno.EAGAIN) {
        throw new UserError(`${layout.lock} cannot be locked: ${errnoName(-result)}`, {
          hint: "the cache must lie on a local disk",
        });
      }
      throw inUse(path, readHolder(layout.lock));
    }
    return new CacheDirectory(path, { lock, created });
  }

  /** Whether a file system has been created here. */
  get holdsFilesystem(): boolean {
    return holdsFilesystem(this.path);
  }

  /** Says in the lock file who holds it. */
  announce(mountpoint: string): void {
    const text = new TextEncoder().encode(`${Deno.pid}\n${mountpoint}\n`);
    // Room on a full disk is not needed to serve: who holds the lock is for messages only.
    if (libc.ftruncate(this.#lock, 0) >= 0) libc.pwrite(this.#lock, text, 0);
  }

  /** Gives the lock back, and removes what was made only for a start that then failed. */
  closeAfterFailure(): void {
    if (this.#created && !this.holdsFilesystem) {
      const { log, ballast, lock, trace, key } = this.layout;
      for (const path of [log, ballast, trace, key, lock]) {
        libc.unlink(path);
      }
      libc.rmdir(this.layout.content);
      // Not empty where something of worth was begun: then it stays.
      libc.rmdir(this.path);
    }
    this.close();
  }

  /** Gives the lock back. */
  close(): void {
    libc.ftruncate(this.#lock, 0);
    libc.close(this.#lock);
  }
}

function inUse(path: string, holder: LockHolder | undefined): UserError {
  const who = holder === undefined ? "another process" : `process ${holder.pid}`;
  const where = holder?.mountpoint === undefined ? "" : `, mounted at ${holder.mountpoint}`;
  return refused(
    `the cache ${path} is in use by ${who}${where}`,
    holder?.mountpoint === undefined
      ? "wait until it ends, or choose another --cache"
      : `zero unmount '${holder.mountpoint}', or choose another --cache`,
  );
}

/** Whether a file system lies in a cache directory. Touches nothing. */
export function holdsFilesystem(path: string): boolean {
  return typeof libc.lstat(cacheLayout(path).metadata) !== "number";
}

/** Whether some process serves this cache now. Touches nothing but the lock. */
export function isServed(path: string): boolean {
  const lock = libc.open(cacheLayout(path).lock, libc.O.RDWR | libc.O.NOFOLLOW);
  if (lock < 0) return false;
  try {
    return libc.flock(lock, libc.LOCK.SH | libc.LOCK.NB) === -Errno.EAGAIN;
  } finally {
    libc.close(lock);
  }
}

/** A path with the links in it followed, as far as it exists. */
function withoutLinks(path: string): string {
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    try {
      const real = Deno.realPathSync(path.slice(0, end));
      return `${real === "/" ? "" : real}${path.slice(end)}` || "/";
    } catch {
      // Not there yet, not ours to see, or on a dead mount: what is above it tells enough.
    }
  }
  return path;
}

/**
 * Refuses places that would contain each other, by whatever names. All absolute; `store` only where it is
 * a directory.
 */
export function refuseNesting(
  places: { cache: string; mountpoint?: string; store: string | undefined },
): void {
  const cache = withoutLinks(places.cache);
  const mountpoint = places.mountpoint && withoutLinks(places.mountpoint);
  const store = places.store && withoutLinks(places.store);
  const refuse = (what: string) =>
    refused(what, "keep cache, mount point and store in separate directories");
  if (mountpoint !== undefined) {
    if (isWithin(cache, mountpoint)) {
      throw refuse(`the cache ${cache} would lie inside the mount point ${mountpoint}`);
    }
    if (isWithin(mountpoint, cache)) {
      throw refuse(`the mount point ${mountpoint} lies inside the cache ${cache}`);
    }
    if (store !== undefined && (isWithin(store, mountpoint) || isWithin(mountpoint, store))) {
      throw refuse(`the store ${store} and the mount point ${mountpoint} contain each other`);
    }
  }
  if (store !== undefined && (isWithin(store, cache) || isWithin(cache, store))) {
    throw refuse(`the store ${store} and the cache ${cache} contain each other`);
  }
}

/** Refuses to put files where a cache or a store keeps its own, or around them. All absolute. */
export function refuseTarget(
  to: string,
  places: { cache?: string; store: string | undefined },
): void {
  const target = withoutLinks(to);
  for (const [what, place] of [["cache", places.cache], ["store", places.store]]) {
    if (place === undefined) continue;
    const real = withoutLinks(place);
    if (isWithin(target, real) || isWithin(real, target)) {
      throw refused(
        `the directory ${target} and the ${what} ${real} contain each other`,
        "choose another directory",
      );
    }
  }
}
