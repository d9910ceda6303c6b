/**
 * A bucket in a directory: another disk, an NFS export, a folder for a demonstration.
 *
 * Every object is one file that never changes: written under a temporary name, synced, renamed to
 * its key and a fresh version id, and the directory synced, so a confirmed put survives a power cut.
 * A directory that vanished is `no-bucket`, never `missing` (directory_identity.ts). A full disk is
 * `unavailable`: nothing was stored, and the same call succeeds once there is room. Symbolic links
 * inside the store are refused (`denied`): it never writes one. There are no hide markers.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../runtime/clock.ts";
import { hex, type Random } from "../runtime/random.ts";
import { Closing } from "./closing.ts";
import { DirectoryErrors } from "./directory_errors.ts";
import { codeOf, DirectoryIdentity, syncDirectory } from "./directory_identity.ts";
import { listDirectory } from "./directory_listing.ts";
import { isLocalDisk } from "./local_disk.ts";
import { namesOfKey, objectOfName, ownDirectory, versionPattern } from "./directory_paths.ts";
import { checkKey, checkRange } from "./keys.ts";
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
} from "./object_store.ts";

/** Between two looks at the signal, bytes. */
const sliceBytes = 4 * 1024 * 1024;
/** Files of writers that died are removed when they are older than this. */
const leftoverAgeMs = 24 * 3600 * 1000;

interface DirectoryOptions {
  clock: Clock;
  random: Random;
  /** Makes the names in a directory durable; another one is for tests of disks that fail. */
  syncDirectory?: (path: string) => Promise<void>;
}

export class DirectoryObjectStore implements ObjectStore {
  readonly description: string;
  /** Where the directory lies on a disk of this machine: other machines' writes come by no other way. */
  listsAtOnce = false;
  #root: string;
  #clock: Clock;
  #random: Random;
  #closing = new Closing();
  #identity: DirectoryIdentity;
  #errors: DirectoryErrors;
  /** Directories whose names are known to be durable. */
  #durable = new Set<string>();
  #syncDirectory: (path: string) => Promise<void>;
  #lastStamp = { ms: 0, sequence: 0 };

  private constructor(root: string, options: DirectoryOptions) {
    this.#root = root;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#syncDirectory = options.syncDirectory ?? syncDirectory;
    this.description = `file://${root}`;
    this.#identity = new DirectoryIdentity(root);
    this.#errors = new DirectoryErrors(this.#identity);
  }

  /**
   * Opens the store in directory `root`. With `create`, an empty or absent directory becomes a
   * store; without, calls on one that is no store fail with `no-bucket`.
   */
  static async open(
    root: string,
    options: DirectoryOptions & { create?: boolean },
  ): Promise<DirectoryObjectStore> {
    const store = new DirectoryObjectStore(root, options);
    await store.#errors.around({ operation: "open", key: root }, async () => {
      if (options.create) await store.#identity.create(options.random);
      await store.#removeLeftovers();
      store.listsAtOnce = await isLocalDisk(root);
    });
    return store;
  }

  put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<PutResult> {
    return this.#call({ operation: "put", key, options }, async () => {
      const { directories, file } = namesOfKey(key);
      await this.#identity.check(`put ${key}`);
      const temporary = join(this.#root, ownDirectory, "tmp", hex(this.#random.bytes(16)));
      let modifiedMs: number;
      try {
        modifiedMs = await this.#write(temporary, body, options);
        const directory = await this.#makeDirectories(directories);
        const versionId = this.#nextVersion();
        this.#closing.check(options.signal);
        const path = join(directory, `${file}@${versionId}`);
        await rename(temporary, path);
        await this.#nameDurably(path, directory);
        return { versionId, storeTimeMs: modifiedMs };
      } catch (error) {
        // Whatever went wrong is reported; a temporary file that stays goes with the next open.
        await unlink(temporary).catch(() => {});
        throw error;
      }
    });
  }

  get(
    key: string,
    options: CallOptions & { versionId?: string; range?: { offset: number; length: number } } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { range } = options;
    return this.#find({ operation: "get", key, options }, async () => {
      if (range !== undefined) checkRange(key, range);
      const handle = await this.#openObject(key, options.versionId);
      try {
        const { size } = await handle.stat();
        const { offset, length } = range ?? { offset: 0, length: size };
        if (offset + length > size) {
          throw new StoreError(
            "corrupt",
            `get ${key}: ${length} bytes at offset ${offset} were asked for, ` +
              `the object holds ${size}`,
          );
        }
        return await this.#read(handle, { key, offset, length, signal: options.signal });
      } finally {
        await handle.close();
      }
    });
  }

  head(key: string, options: CallOptions & { versionId?: string } = {}): Promise<ObjectInfo> {
    return this.#find({ operation: "head", key, options }, async () => {
      const { path, versionId } = await this.#locate(key, options.versionId);
      const { size, mtimeMs } = this.#regular(key, await lstat(path));
      return { key, length: size, versionId, modifiedMs: Math.floor(mtimeMs) };
    });
  }

  async *list(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo> {
    for await (const version of this.listVersions(prefix, options)) {
      if (!version.latest) continue;
      const { marker: _marker, latest: _latest, ...current } = version;
      yield current;
    }
  }

  async *listVersions(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
    const call = { operation: "list", key: prefix };
    this.#closing.check(options.signal);
    const root = await this.#errors.around(call, () => this.#identity.hold("list"));
    try {
      const pages = listDirectory(root.path, { prefix, startAfter: options.startAfter });
      while (true) {
        this.#closing.check(options.signal);
        const page = await this.#errors.around(call, () => pages.next());
        if (page.done) break;
        yield* page.value;
      }
      // What vanished on the way must not pass for a shorter listing.
      await this.#errors.around(call, () => this.#identity.check("list", root.path));
    } finally {
      await root.close();
    }
  }

  delete(key: string, versionId: string, options: CallOptions = {}): Promise<void> {
    return this.#call({ operation: "delete", key, options }, async () => {
      await this.#identity.check(`delete ${key}`);
      try {
        const { path } = await this.#locate(key, versionId);
        await unlink(path);
        await this.#syncDirectory(join(path, ".."));
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
        // Gone already, unless only its disk was.
        const root = await this.#identity.hold(`delete ${key}`);
        try {
          await this.#look(key, versionId, root.path);
        } catch (failure) {
          if (codeOf(failure) === "ENOENT") return;
          throw failure;
        } finally {
          await root.close();
        }
        throw new StoreError("unavailable", `delete ${key}: the store was away for a moment`);
      }
    });
  }

  close(): void {
    this.#closing.close();
  }

  #call<T>(
    call: { operation: string; key: string; options: CallOptions },
    action: () => Promise<T>,
    again?: (root: string) => Promise<unknown>,
  ): Promise<T> {
    return this.#errors.around(call, async () => {
      checkKey(call.key);
      this.#closing.check(call.options.signal);
      const result = await action();
      this.#closing.check(call.options.signal);
      return result;
    }, again);
  }

  /** A call that is about an object: it says that there is none only where that is so. */
  #find<T>(
    call: { operation: string; key: string; options: CallOptions & { versionId?: string } },
    action: () => Promise<T>,
  ): Promise<T> {
    const { key, options } = call;
    return this.#call(call, action, (root) => this.#look(key, options.versionId, root));
  }

  /** Rejects with the system's ENOENT where there is no such object below `root`. */
  async #look(key: string, versionId: string | undefined, root: string): Promise<void> {
    await lstat((await this.#locate(key, versionId, root)).path);
  }

  /**
   * A name that could not be made durable goes: whoever tries again looks for what an attempt without
   * an answer has stored, and must not find what a power cut would take.
   */
  async #nameDurably(path: string, directory: string): Promise<void> {
    try {
      await this.#syncDirectory(directory);
    } catch (error) {
      // Where that fails too, the store's disk is beyond any promise; the error is told either way.
      await unlink(path).catch(() => {});
      throw error;
    }
  }

  /** Newer than every version that this process made, also when the clock was set back. */
  #nextVersion(): string {
    const last = this.#lastStamp;
    const nowMs = Math.floor(this.#clock.wallMs());
    this.#lastStamp = nowMs > last.ms
      ? { ms: nowMs, sequence: 0 }
      : last.sequence < 0xffff
      ? { ms: last.ms, sequence: last.sequence + 1 }
      : { ms: last.ms + 1, sequence: 0 };
    const { ms, sequence } = this.#lastStamp;
    return ms.toString(16).padStart(12, "0") + sequence.toString(16).padStart(4, "0") +
      hex(this.#random.bytes(8));
  }

  /** Writes and syncs a new file. Returns its time of modification: the clock of that disk. */
  async #write(path: string, body: Uint8Array, options: CallOptions): Promise<number> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const handle = await open(path, flags, 0o600);
    try {
      for (let offset = 0; offset < body.length;) {
        this.#closing.check(options.signal);
        const length = Math.min(sliceBytes, body.length - offset);
        offset += (await handle.write(body, offset, length, offset)).bytesWritten;
      }
      await handle.sync();
      return Math.floor((await handle.stat()).mtimeMs);
    } finally {
      await handle.close();
    }
  }

  async #read(
    handle: FileHandle,
    what: { key: string; offset: number; length: number; signal?: AbortSignal },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(what.length);
    for (let done = 0; done < what.length;) {
      this.#closing.check(what.signal);
      const length = Math.min(sliceBytes, what.length - done);
      const { bytesRead } = await handle.read(bytes, done, length, what.offset + done);
      if (bytesRead === 0) {
        throw new StoreError("corrupt", `get ${what.key}: the object became shorter while read`);
      }
      done += bytesRead;
    }
    return bytes;
  }

  async #openObject(key: string, versionId: string | undefined): Promise<FileHandle> {
    const { path } = await this.#locate(key, versionId);
    // A FIFO planted here must not block the open.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await open(path, flags);
    try {
      this.#regular(key, await handle.stat());
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle;
  }

  #regular<T extends { isFile(): boolean }>(key: string, stat: T): T {
    if (!stat.isFile()) {
      throw new StoreError("denied", `${key}: what stands in the store is no regular file`);
    }
    return stat;
  }

  /** The path of a version, or of the newest one. Rejects with the system's ENOENT where there is none. */
  async #locate(
    key: string,
    versionId: string | undefined,
    root = this.#root,
  ): Promise<{ path: string; versionId: string }> {
    const { directories, file } = namesOfKey(key);
    const directory = await this.#enterDirectories(directories, root);
    if (versionId !== undefined) {
      if (!versionPattern.test(versionId)) {
        throw new StoreError("invalid", `${key}: '${versionId}' is no version id of this store`);
      }
      return { path: join(directory, `${file}@${versionId}`), versionId };
    }
    let newest = "";
    for (const name of await readdir(directory)) {
      const found = name.startsWith(`${file}@`) ? objectOfName(name) : undefined;
      if (found !== undefined && found.versionId > newest) newest = found.versionId;
    }
    if (newest === "") throw Object.assign(new Error("no version"), { code: "ENOENT" });
    return { path: join(directory, `${file}@${newest}`), versionId: newest };
  }

  /** The path of existing directories, none of which may be a link to elsewhere. */
  async #enterDirectories(names: string[], root = this.#root): Promise<string> {
    let path = root;
    for (const name of names) path = await this.#enter(join(path, name));
    return path;
  }

  async #enter(path: string): Promise<string> {
    if ((await lstat(path)).isDirectory()) return path;
    throw new StoreError("denied", `${path}: a directory was expected in the store`);
  }

  /** The same, making those that are not there; each is durable when this returns. */
  async #makeDirectories(names: string[]): Promise<string> {
    let path = this.#root;
    for (const name of names) {
      const parent = path;
      path = join(parent, name);
      if (this.#durable.has(path)) continue;
      try {
        await mkdir(path, { mode: 0o700 });
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
      }
      // Also one that was there: whoever made it may not have come to this line yet.
      await this.#syncDirectory(parent);
      await this.#enter(path);
      this.#durable.add(path);
    }
    return await this.#enterDirectories(names);
  }

  async #removeLeftovers(): Promise<void> {
    const directory = join(this.#root, ownDirectory, "tmp");
    let names: string[];
    try {
      names = await readdir(directory);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return; // no store yet: calls will say so
      throw error;
    }
    for (const name of names) {
      const path = join(directory, name);
      const { mtimeMs } = await lstat(path);
      if (this.#clock.wallMs() - mtimeMs > leftoverAgeMs) await unlink(path);
    }
  }
}
