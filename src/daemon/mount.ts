/**
 * One mounted file system: its parts, its state, what it can say of itself. Owns the parts from the
 * moment it is made until `close`, which takes them down in the one order that keeps everything safe.
 */
import { Errno } from "../domain/errno.ts";
import { ExitCode, InvariantError, UserError } from "../domain/errors.ts";
import { unmount } from "../fuse/mount.ts";
import type { Mounted } from "../fuse/mount.ts";
import type { FilesystemIsolate } from "../filesystem/port.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { OrphanTable } from "../metadata/orphan_table.ts";
import { TotalTable } from "../metadata/total_table.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import type { MetadataFollower } from "../tiering/metadata_follower.ts";
import type { Engine } from "../tiering/engine.ts";
import type { CacheDirectory } from "./cache_directory.ts";
import type { Care } from "./care.ts";
import type { StatusReport, UnsafeReport } from "./control_protocol.ts";
import type { LogFile } from "./log_file.ts";
import type { MountRequest } from "./mount_request.ts";
import type { PolicyInForce } from "./policy_in_force.ts";
import { explainSettings } from "./resolve_settings.ts";
import { byteClasses } from "./status.ts";
import { type StoreWatch, watchStore } from "./store_watch.ts";
import { VERSION } from "./version.ts";
import { printPath } from "./walk.ts";

export interface MountParts {
  request: MountRequest;
  fileSystem: string;
  encrypted: boolean;
  cache: CacheDirectory;
  store: ObjectStore;
  mounted: Mounted;
  filesystem: FilesystemIsolate;
  engine: Engine;
  /** Undefined where the mount only follows another one. */
  care: Care | undefined;
  follower?: MetadataFollower;
  policy: PolicyInForce;
  log: LogFile;
  /** Why no content is lent to the kernel; undefined where it is. */
  passthroughObstacle: string | undefined;
  /** Why the bucket cannot be used; undefined while it can. */
  offline: () => string | undefined;
  /** Lets go of what else was composed, once engine and filesystem isolate have ended. */
  letGo: () => Promise<void>;
}

export class Mount {
  readonly request: MountRequest;
  readonly filesystem: FilesystemIsolate;
  readonly engine: Engine;
  readonly log: LogFile;
  readonly #parts: MountParts;
  readonly #sinceMs = Date.now();
  /** Why the mount is read-only, as the filesystem isolate said. */
  readOnly: string | undefined;
  #unmounted = false;
  #filesystemEnded = false;
  #lastStoreError: { message: string; atMs: number } | undefined;

  constructor(parts: MountParts) {
    this.#parts = parts;
    this.request = parts.request;
    this.filesystem = parts.filesystem;
    this.engine = parts.engine;
    this.log = parts.log;
  }

  /** Throws UserError on a mount that only follows another one. */
  get care(): Care {
    const { care } = this.#parts;
    if (care !== undefined) return care;
    throw new UserError("this mount only follows another one, and cares for nothing", {
      hint: "ask the mount that writes",
      exitCode: ExitCode.refused,
    });
  }

  /** The kernel's number of this connection. */
  get connection(): number {
    return this.#parts.mounted.connection;
  }

  noteStoreError(message: string): void {
    this.#lastStoreError = { message, atMs: Date.now() };
  }

  /** Throws UserError where the store cannot be used at all now. */
  requireOnline(consequence: string): void {
    const reason = this.#parts.offline();
    if (reason === undefined) return;
    throw new UserError(`${this.#parts.store.description} is not reachable; ${consequence}`, {
      hint: reason,
      exitCode: ExitCode.store,
    });
  }

  /** Why the store cannot be used at all now; undefined while it can. */
  get offline(): string | undefined {
    const reason = this.#parts.offline();
    return reason && `${this.#parts.store.description} is not reachable: ${reason}`;
  }

  /** Watches whether the store answers; the caller stops it. */
  watchStore(options: { patienceMs: number; hint: string }): StoreWatch {
    return watchStore(this.#parts.store, { clock: systemClock, ...options });
  }

  async unsafe(): Promise<UnsafeReport> {
    const { unsafeFiles, unsafeBytes, etaMs } = await this.engine.status();
    return { files: unsafeFiles, bytes: unsafeBytes, etaMs };
  }

  /** Whether there is anything, content or metadata, that the bucket lacks and may be given. */
  async hasUnsent(): Promise<boolean> {
    if ((await this.unsafe()).files > 0) return true;
    const { readOnly } = await this.filesystem.call("statistics", {});
    return readOnly === undefined && await this.engine.shipper?.behind() === true;
  }

  /** A name of a file, for people. */
  async pathOf(inode: number): Promise<string> {
    const names = await this.filesystem.call("pathOf", { inode });
    return names === undefined ? `inode ${inode}` : printPath(names);
  }

  async status(): Promise<StatusReport> {
    const { request, fileSystem, encrypted, cache, store } = this.#parts;
    const filesystem = await this.filesystem.call("statistics", {});
    const engine = await this.engine.status();
    const writing = await Promise.all(
      (filesystem.writing ?? []).map(async ({ inode, sinceMs, savedMs }) => {
        return { path: await this.pathOf(inode), sinceMs, savedMs };
      }),
    );
    const waiting = await Promise.all(filesystem.waiting.map(async (each) => {
      const { operation, pid, reason } = each;
      // The report gives the age of the wait.
      const sinceMs = Date.now() - each.sinceMs;
      const path = await this.pathOf(each.inode);
      return { path, operation, pid, sinceMs, reason };
    }));
    if (engine.trouble !== undefined) this.noteStoreError(engine.trouble.message);
    const readOnly = filesystem.readOnly ?? this.readOnly;
    const offline = this.#parts.offline();
    return {
      version: VERSION,
      pid: Deno.pid,
      mountpoint: request.mountpoint,
      cache: cache.path,
      store: store.description,
      fileSystem,
      encrypted,
      sinceMs: this.#sinceMs,
      serving: {
        passthrough: this.#parts.passthroughObstacle === undefined,
        reason: this.#parts.passthroughObstacle,
        lent: filesystem.lentFiles,
      },
      state: readOnly !== undefined ? "read-only" : offline !== undefined ? "offline" : "mounted",
      stateReason: readOnly ?? offline,
      following: this.#parts.follower?.report,
      classes: byteClasses(filesystem),
      unsafe: { files: engine.unsafeFiles, bytes: engine.unsafeBytes, etaMs: engine.etaMs },
      filesystem,
      engine,
      waiting,
      writing,
      lastStoreError: this.#lastStoreError,
      policy: this.#parts.policy.report,
      settings: explainSettings(this.#parts.policy.effective),
    };
  }

  /** Takes the mount out of the tree. Not lazily: throws UserError where programs use it. */
  detach(options: { lazy: boolean }): void {
    if (this.#unmounted) return;
    const result = unmount(this.#parts.mounted, options);
    const { mountPoint } = this.#parts.mounted;
    if (result === 0 || result === -Errno.EINVAL) {
      this.#unmounted = true;
    } else if (!options.lazy && result === -Errno.EBUSY) {
      throw new UserError(
        `${mountPoint} is in use: files are open on it, or a shell stands in it`,
        {
          hint: `close them (fuser -vm '${mountPoint}' shows who), or umount -l '${mountPoint}'`,
        },
      );
    } else {
      throw new UserError(`${mountPoint} cannot be unmounted: errno ${-result}`, {
        hint: `umount -l '${mountPoint}'`,
      });
    }
  }

  noteFilesystemEnded(): void {
    this.#filesystemEnded = true;
  }

  /** The mount has gone by somebody else's hand. */
  noteUnmounted(): void {
    this.#unmounted = true;
  }

  /**
   * Stops the engine, writes what is in memory, ends the isolate, gives the lock back. Each step is
   * tried even where an earlier one failed. The mount must be detached, or going.
   */
  async close(reason: string): Promise<void> {
    const { filesystem, engine, store, log, letGo } = this.#parts;
    const step = async (what: string, action: () => void | Promise<unknown>) => {
      try {
        await action();
      } catch (error) {
        // Ended by the unmount, before it could be told to stop.
        if (error instanceof InvariantError && what === "filesystem") return;
        log.warn(`stopping: ${what}: ${error instanceof Error ? error.message : error}`);
      }
    };
    await step("engine", () => engine.stop());
    const stopped = this.#filesystemEnded
      ? Promise.resolve()
      : step("filesystem", () => filesystem.call("stop", { reason }));
    // An unmount ends it as well, and then the stop is not answered.
    await Promise.race([stopped, filesystem.ended]);
    await filesystem.ended;
    await step("lease", letGo);
    await step("store", () => store.close());
  }

  /** What is dirty in the closed databases: exact, because nobody writes any more. */
  unsafeAfterwards(): UnsafeReport {
    const database = MetadataDatabase.open({ directory: this.#parts.cache.path, readOnly: true });
    try {
      const totals = new TotalTable(database).read();
      const nameless = new OrphanTable(database).dirty();
      return {
        files: totals.dirtyFiles - totals.keptFiles - nameless.files,
        bytes: totals.local - totals.keptBytes - nameless.localBytes,
        etaMs: undefined,
      };
    } finally {
      database.close({ clean: false });
    }
  }
}
