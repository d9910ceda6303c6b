/**
 * A disk helper (Worker): syncs, unlinks and checkpoints on order of the filesystem isolate, on
 * threads of its own. Owns no state but the descriptors of the WAL and of the disk. Syncs of the WAL
 * that are asked for while one is under way share the next one.
 *
 * The WAL is opened beside SQLite only to be synced: SQLite's locks are on the database and its shm
 * file, so closing this descriptor drops none of them.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { Checkpointer } from "../metadata/checkpointer.ts";
import * as libc from "../runtime/libc.ts";
import type { DiskHelperStart, DiskReply, DiskRequest } from "./disk_messages.ts";

type SyncRequest = Extract<DiskRequest, { kind: "sync" }>;

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<DiskHelperStart>) => void) | null;
};

class WalSync {
  #fd = -1;
  #running: Promise<number> | undefined;
  #next: Promise<number> | undefined;

  /** Resolves with 0 or an errno once everything written to the WAL before this call is durable. */
  sync(path: string): Promise<number> {
    if (this.#running === undefined) return this.#start(path);
    this.#next ??= this.#running.then(() => this.#start(path));
    return this.#next;
  }

  /** The same on this thread, at once: for somebody whom nobody else waits with. Any failure is EIO. */
  syncHere(path: string): number {
    const fd = this.#open(path);
    return fd < 0 ? -fd : libc.fdatasync(fd) < 0 ? Errno.EIO : 0;
  }

  #open(path: string): number {
    if (this.#fd < 0) this.#fd = libc.open(path, libc.O.RDWR | libc.O.NOFOLLOW);
    return this.#fd;
  }

  #start(path: string): Promise<number> {
    this.#next = undefined;
    const fd = this.#open(path);
    if (fd < 0) return Promise.resolve(-fd);
    const running = libc.fdatasyncInBackground(fd).then((result) => {
      if (this.#running === running) this.#running = undefined;
      return result < 0 ? -result : 0;
    });
    this.#running = running;
    return running;
  }
}

/**
 * From so many files on one sync of the whole disk takes less than one of each (measured, 1,024 new files
 * of 4 KiB: 40 ms instead of 130, and no thread for each).
 */
const MANY_FILES = 128;

async function syncFolder(path: string): Promise<number> {
  const fd = libc.open(path, libc.O.RDONLY | libc.O.DIRECTORY);
  if (fd < 0) return fd;
  const result = await libc.fsyncInBackground(fd);
  libc.close(fd);
  return result;
}

const firstError = (results: number[]) => -(results.find((result) => result < 0) ?? 0);

class DiskWorker {
  readonly #start: DiskHelperStart;
  readonly #wal = new WalSync();
  /** On the cache's disk. Open all the time, so that it hears of each failed write-back. */
  readonly #disk: number;
  #checkpointer: Checkpointer | undefined;

  constructor(start: DiskHelperStart) {
    this.#start = start;
    this.#disk = libc.open(start.cacheDirectory, libc.O.RDONLY | libc.O.DIRECTORY);
    start.port.onmessage = ({ data }: MessageEvent<DiskRequest>) => {
      this.#run(data).then((errno): DiskReply => ({ id: data.id, errno })).catch((error) => ({
        id: data.id,
        errno: error instanceof FsError ? error.errno : Errno.EIO,
        message: `${data.kind} failed: ${error instanceof Error ? error.message : error}`,
      })).then((reply: DiskReply) => {
        start.port.postMessage(reply);
        libc.signalEventfd(start.wake);
      });
    };
  }

  async #syncContent({ files, folders }: SyncRequest): Promise<number> {
    if (files.length >= MANY_FILES && this.#disk >= 0) {
      return firstError([await libc.syncfsInBackground(this.#disk)]);
    }
    // Together, so that the disk's file system writes its journal once for all.
    const content = files.map(libc.fdatasyncInBackground);
    return firstError(await Promise.all([...content, ...folders.map(syncFolder)]));
  }

  async #sync(request: SyncRequest): Promise<number> {
    const { files, folders, wal, alone } = request;
    if (wal === undefined && alone && files.length === 1 && folders.length === 0) {
      // To wake a thread for it takes as long again as a quick disk does.
      return libc.fdatasync(files[0]) < 0 ? Errno.EIO : 0;
    }
    const content = this.#syncContent(request);
    if (wal === undefined) return await content;
    const log = alone ? this.#wal.syncHere(wal) : await this.#wal.sync(wal);
    return await content || log;
  }

  async #run(request: DiskRequest): Promise<number> {
    switch (request.kind) {
      case "sync":
        return await this.#sync(request);
      case "unlink": {
        const results = await Promise.all(
          request.paths.map((path) => libc.unlinkInBackground(libc.cstring(path))),
        );
        return firstError(results.filter((result) => result !== -Errno.ENOENT));
      }
      case "syncAll": {
        const fd = libc.open(this.#start.cacheDirectory, libc.O.RDONLY | libc.O.DIRECTORY);
        if (fd < 0) return -fd;
        const result = libc.syncfs(fd);
        libc.close(fd);
        return result < 0 ? -result : 0;
      }
      case "checkpoint":
        this.#checkpointer ??= new Checkpointer(this.#start.cacheDirectory);
        this.#checkpointer.run();
        return 0;
    }
  }
}

scope.onmessage = ({ data }) => {
  new DiskWorker(data);
};
