/**
 * close, fsync and fsyncdir (law 7): rows into the WAL; then content, the first time its folder, and the
 * WAL onto the disk; and only then the answer. A failed sync is never later reported as success.
 */
import { Errno } from "../domain/errno.ts";
import type { FlushRequest, FsyncRequest, Parked, RequestHeader } from "../fuse/operations.ts";
import type { ContentFile } from "../content/content_store.ts";
import { FsError } from "../domain/errors.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Handle } from "./handle_table.ts";
import type { Inode } from "./inode.ts";

export class Syncer {
  readonly #core: Core;
  /** Requests whose sync is done: their next run answers. The value is what they answer. */
  readonly #finished = new WeakMap<RequestHeader, number>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** What a request that has been synced answers; undefined where its sync is still to be done. */
  finished(request: RequestHeader): number | undefined {
    const answer = this.#finished.get(request);
    if (answer !== undefined) this.#finished.delete(request);
    return answer;
  }

  /** fsync and fdatasync. */
  fsync(handle: Handle, request: FsyncRequest): void | Parked {
    if (this.finished(request) !== undefined) return;
    const core = this.#core;
    const { file } = handle;
    const { id } = file.inode;
    const { dataOnly } = request;
    const log = !(dataOnly && this.#rowsSuffice(file));
    // Times and generations can wait for the next flush: a kill may take the last second of those.
    if (log) core.flush(file);
    const contentIsDurable = !core.unsynced.has(id) && !core.unseen.has(id);
    if (contentIsDurable && (!log || this.#logIsDurable())) return;
    return this.parkUntilDurable(file, request, { operation: "fsync", answer: 0, dataOnly });
  }

  /** A directory's entries are rows: the WAL makes them durable. */
  fsyncdir(request: FsyncRequest): void | Parked {
    if (this.finished(request) !== undefined || this.#logIsDurable()) return;
    return this.parkUntilDurable(undefined, request, { operation: "fsyncdir", answer: 0 });
  }

  /**
   * By the rows that are on the disk its content could be read back, as far as the content is there. Where
   * something may be stored unseen, nobody knows.
   */
  #rowsSuffice(file: FileState): boolean {
    const core = this.#core;
    return file.layoutIsDurable && !core.suspect && !core.unseen.has(file.inode.id);
  }

  /** Everything that was done is on the disk, as far as it is rows. */
  #logIsDurable(): boolean {
    const core = this.#core;
    if (core.suspect) return false;
    core.database.commit();
    return core.log.complete;
  }

  /**
   * Parks until content (of `file`, if it has any that is not durable) and rows are durable; `dataOnly`:
   * only the rows that reading it back relies on.
   */
  parkUntilDurable(
    file: FileState | undefined,
    request: RequestHeader,
    options: { operation: string; answer: number; dataOnly?: boolean },
  ): Parked {
    const core = this.#core;
    if (core.suspect) throw new FsError(Errno.EIO, core.readOnlyReason);
    const log = !(options.dataOnly === true && file !== undefined && this.#rowsSuffice(file));
    // A full disk is the caller's to hear of, before anything waits.
    if (log) core.database.commit();
    if (file !== undefined) core.unseen.beforeSync(file.inode.id);
    const content = file === undefined ? undefined : this.#unsyncedContent(file.inode);
    const parked: Parked = core.lot.park(request, {
      operation: options.operation,
      reason: "sync",
    });
    const parking = core.lot.find(request.unique)!;
    if (file !== undefined) file.jobs++;
    const rowsSynced = log ? file?.beginLayoutSync() : undefined;
    this.#sync(file?.inode, { content, log }, (errno) => {
      if (errno === 0) rowsSynced?.();
      if (file !== undefined) {
        file.jobs--;
        core.files.dropIfIdle(file);
      }
      if (core.lot.find(request.unique) !== parking) return;
      if (errno !== 0) {
        core.lot.fail(parking, Errno.EIO);
        return;
      }
      this.#finished.set(request, options.answer);
      core.lot.resume(parking);
    });
    return parked;
  }

  #unsyncedContent(inode: Inode): ContentFile | undefined {
    const core = this.#core;
    if (!core.unsynced.has(inode.id)) return undefined;
    return core.content(inode, false);
  }

  #sync(
    inode: Inode | undefined,
    { content, log }: { content: ContentFile | undefined; log: boolean },
    done: (errno: number) => void,
  ): void {
    const core = this.#core;
    const first = content !== undefined && !content.entryDurable;
    const covered = content === undefined ? undefined : core.unsynced.beginSync(inode!.id);
    core.helper.sync({
      files: content === undefined ? [] : [content],
      folders: first ? core.store.foldersOf(inode!.id) : [],
      wal: log,
    }, (errno) => {
      if (errno !== 0) {
        core.syncFailed(errno, inode === undefined ? "the metadata" : `inode ${inode.id}`);
      } else if (content !== undefined) {
        content.entryDurable = true;
        core.store.foldersSynced(inode!.id);
        covered!();
      }
      // Another sync of the same file may have been told of the failure instead of this one.
      done(errno === 0 && core.suspect ? Errno.EIO : errno);
    });
  }

  /** Law 7: unsynced content of `source` becomes durable before it takes over another file's name. */
  beforeReplace(request: RequestHeader, source: Inode): void | Parked {
    if (this.finished(request) !== undefined) return;
    const core = this.#core;
    const open = core.files.peek(source.id);
    // Its rows come before the new name in the log: never the name without them.
    if (open !== undefined) core.flush(open);
    core.unseen.beforeSync(source.id);
    if (!core.unsynced.has(source.id)) return;
    const file = core.files.acquire(source);
    try {
      return this.parkUntilDurable(file, request, { operation: "rename", answer: 0 });
    } finally {
      core.files.dropIfIdle(file);
    }
  }

  /** close(2) of one descriptor: what was written is committed, and so survives a kill of this process. */
  flush(handle: Handle, request: FlushRequest): void | Parked {
    if (this.finished(request) !== undefined) return;
    const file = handle.file;
    this.#core.flush(file);
    if (!handle.writes || !file.truncated) return;
    // Replaced by truncation: like ext4, do not leave an empty file behind after a power cut. A shell
    // closes the first descriptor of `> file` before anything is written: that one does not count.
    if (!this.#core.unsynced.has(file.inode.id)) return;
    file.truncated = false;
    return this.parkUntilDurable(file, request, { operation: "close", answer: 0 });
  }
}
