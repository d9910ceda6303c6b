/**
 * Files that are lent and that a program has opened for reading and writing: it may map them, and what
 * it stores there reaches the content file without a request, even after close(2) and after the daemon
 * has gone. Owns the list of such files, durable before their OPEN is answered, and what is done when a
 * lease probe says that the last writer has gone.
 *
 * Promises: until then nothing of the file is saved, staged or dropped, whatever its rows say; and
 * afterwards the rows claim nothing that was not read again. Times follow what is stored.
 */
import { PARKED, type Parked, type RequestHeader } from "../fuse/operations.ts";
import { MappedTable } from "../metadata/mapped_table.ts";
import type { MapRow } from "../metadata/map_table.ts";
import type { Timestamp } from "../runtime/clock.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Inode } from "./inode.ts";
import { storedChunks } from "./stored_chunks.ts";

const SLICE_ROWS = 1000;
/** How soon after a refused probe the next one comes, at first and at most, milliseconds. */
const RETRY_MS = 250;
const RETRY_MAX_MS = 30_000;
/** A page, in units of st_blocks. */
const UNCOUNTED_BLOCKS = 8;

interface Unseen {
  readonly inode: number;
  /** Handles through which a program can map it for storing. */
  handles: number;
  /** The mark is on the disk. */
  durable: boolean;
  syncing: boolean;
  /** Something was stored, or may have been. */
  touched: boolean;
  /** When the content file was changed last, as far as it was looked at; undefined: never. */
  seen: Timestamp | undefined;
  retryMs: number;
  retry: (() => void) | undefined;
  /** Rows are being marked local. */
  marking: boolean;
}

const same = (a: Timestamp, b: Timestamp) =>
  a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;

export class UnseenWriters {
  readonly #core: Core;
  readonly #table: MappedTable;
  readonly #files = new Map<number, Unseen>();

  constructor(core: Core) {
    this.#core = core;
    this.#table = new MappedTable(core.database);
  }

  get size(): number {
    return this.#files.size;
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  /**
   * Whether the content file says more than rows do: somebody may store into what rows call holes, or
   * behind the valid bytes of a chunk. Then it is the file, but for what `leftover` tells.
   */
  outrunsRows({ serving, inode }: FileState): boolean {
    return serving === "passthrough" && this.#files.has(inode.id);
  }

  /**
   * Before a first open: where something was stored and the last writer has gone, rows are to say so.
   * True: that is under way, and whoever opens it waits.
   */
  catchUp(inode: Inode): boolean {
    const unseen = this.#files.get(inode.id);
    if (unseen === undefined) return false;
    this.refresh(inode);
    // Otherwise it may have been marked for this very open.
    if (unseen.touched) this.settle(inode.id);
    return unseen.marking;
  }

  /**
   * The file begins to be served visibly, and nobody has its content file: a mark for an open that came
   * to nothing goes, or what is written and taken away visibly would pass for what was stored.
   */
  servedVisibly(inode: Inode): void {
    const unseen = this.#files.get(inode.id);
    if (unseen === undefined || this.#core.readOnlyReason !== undefined) return;
    // No program had it open for storing before its mark was durable.
    if (!unseen.durable || !unseen.touched) this.#forget(unseen);
  }

  /** After mount: of what an earlier one left nobody knows what was stored. */
  resume(): void {
    for (const inode of this.#table.list()) {
      this.#core.lending.suspect(inode);
      const unseen = this.#add(inode);
      unseen.durable = unseen.touched = true;
      this.#tryLater(unseen);
    }
  }

  #add(inode: number): Unseen {
    const unseen: Unseen = {
      inode,
      handles: 0,
      durable: false,
      syncing: false,
      touched: false,
      seen: undefined,
      retryMs: RETRY_MS,
      retry: undefined,
      marking: false,
    };
    this.#files.set(inode, unseen);
    return unseen;
  }

  /** Before the file is opened so that it can be stored into unseen: the mark is durable. Undefined: it is. */
  prepare(request: RequestHeader, file: FileState): Parked | undefined {
    const core = this.#core;
    const { inode } = file;
    let unseen = this.#files.get(inode.id);
    if (unseen?.durable) return undefined;
    if (unseen === undefined) {
      core.flush(file);
      core.database.transaction(() => this.#table.insert(inode.id));
      unseen = this.#add(inode.id);
      file.snapshot?.abandon("open");
      unseen.seen = this.#changedAt(inode);
    }
    core.lot.park(request, { operation: "open", reason: "sync", file });
    if (!unseen.syncing) this.#makeDurable(unseen, file);
    return PARKED;
  }

  /** With the mark the file itself: msync(2) makes content durable, and asks nobody for the rest. */
  #makeDurable(unseen: Unseen, file: FileState): void {
    const core = this.#core;
    const content = core.content(file.inode, false);
    const covered = core.unsynced.beginSync(unseen.inode);
    unseen.syncing = true;
    file.jobs++;
    core.helper.sync({
      files: content === undefined ? [] : [content],
      folders: content === undefined ? [] : core.store.foldersOf(unseen.inode),
      wal: true,
    }, (errno) => {
      unseen.syncing = false;
      file.jobs--;
      if (errno !== 0) {
        core.syncFailed(errno, `the mark of inode ${unseen.inode}`);
      } else {
        unseen.durable = true;
        if (content !== undefined) content.entryDurable = true;
        covered();
        // Whoever wanted to open it may have gone.
        this.#tryLater(unseen);
      }
      core.lot.wake(file, "sync");
      core.files.dropIfIdle(file);
    });
  }

  #changedAt(inode: Inode): Timestamp | undefined {
    const content = this.#core.content(inode, false);
    return content === undefined ? undefined : this.#core.store.changedAt(content);
  }

  opened(inode: Inode): void {
    const unseen = this.#files.get(inode.id)!;
    unseen.handles++;
    unseen.retry?.();
    unseen.retry = undefined;
    // What the kernel believes of its times it would believe for a day.
    this.#core.session().invalidateAttributes(inode.id);
  }

  closed(inode: Inode): void {
    const unseen = this.#files.get(inode.id)!;
    unseen.handles--;
    unseen.retryMs = RETRY_MS;
    this.settle(inode.id);
  }

  /** We ourselves have just changed the content file. */
  wrote(inode: Inode): void {
    if (this.#files.size === 0) return;
    const unseen = this.#files.get(inode.id);
    if (unseen === undefined) return;
    this.#look(unseen, inode);
    unseen.touched = true;
  }

  #look(unseen: Unseen, inode: Inode): boolean {
    const now = this.#changedAt(inode);
    if (now === undefined) return false;
    const moved = unseen.seen !== undefined && !same(unseen.seen, now);
    unseen.seen = now;
    return moved;
  }

  /** Times follow what was stored. */
  refresh(inode: Inode): void {
    const unseen = this.#files.get(inode.id);
    if (unseen === undefined || !this.#look(unseen, inode)) return;
    unseen.touched = true;
    this.#stored(inode, unseen.seen!);
  }

  refreshAll(): void {
    for (const id of this.#files.keys()) {
      const inode = this.#core.inodes.get(id);
      if (inode !== undefined) this.refresh(inode);
    }
  }

  #stored(inode: Inode, at: Timestamp): void {
    const core = this.#core;
    // The sums are written below: rows that they count must not be in memory only.
    const file = core.files.peek(inode.id);
    if (file !== undefined && !core.database.inTransaction) core.flush(file);
    core.changed(inode);
    inode.mtimeS = inode.ctimeS = at.seconds;
    inode.mtimeNs = inode.ctimeNs = at.nanoseconds;
    core.markUnsynced(inode.id);
    if (!core.database.inTransaction) {
      core.database.transaction(() => {
        core.inodes.write(inode);
        core.inodes.writeContent(inode);
      });
    } else core.inodes.touch(inode);
    core.emit({ event: "changed", inode: inode.id });
  }

  /**
   * What st_blocks is at least: something may have been stored into a hole, which rows do not count yet,
   * and tar takes a file without blocks for one hole.
   */
  blocks({ id, size }: Pick<Inode, "id" | "size">): number {
    if (this.#files.size === 0 || size === 0) return 0;
    return this.#files.get(id)?.touched ? UNCOUNTED_BLOCKS : 0;
  }

  /** fsync(2) covers what was stored, too. */
  beforeSync(inode: number): void {
    if (this.#files.has(inode)) this.#core.markUnsynced(inode);
  }

  #tryLater(unseen: Unseen): void {
    unseen.retry ??= this.#core.timers.after(unseen.retryMs, () => {
      unseen.retry = undefined;
      unseen.retryMs = Math.min(2 * unseen.retryMs, RETRY_MAX_MS);
      this.settle(unseen.inode);
    });
  }

  /** Law 2: tries to end it. The kernel is asked, and asked again later where somebody still maps it. */
  settle(id: number): void {
    const unseen = this.#files.get(id);
    if (unseen === undefined || !unseen.durable || unseen.handles > 0 || unseen.marking) return;
    const core = this.#core;
    const inode = core.inodes.get(id);
    if (inode === undefined) return this.#forget(unseen);
    if (core.readOnlyReason !== undefined) return;
    if (!core.store.isUnused(id, inode.incarnation, "writers")) return this.#tryLater(unseen);
    this.refresh(inode);
    if (!unseen.touched) return this.#forget(unseen);
    unseen.marking = true;
    const file = core.files.acquire(inode);
    file.jobs++;
    this.#mark(unseen, file, 0);
  }

  #forget(unseen: Unseen): void {
    const inode = this.#core.inodes.get(unseen.inode);
    this.#core.database.transaction(() => this.#table.delete(unseen.inode));
    this.#drop(unseen);
    if (inode !== undefined) this.#core.session().invalidateAttributes(inode.id);
  }

  #drop(unseen: Unseen): void {
    unseen.retry?.();
    this.#files.delete(unseen.inode);
  }

  /** Nothing may be taken for what the bucket has before it was read again. */
  #mark(unseen: Unseen, file: FileState, from: number): void {
    const core = this.#core;
    let next: number | undefined = from;
    let failed = true;
    core.guard(() => {
      next = unseen.handles > 0 ? undefined : this.#markSlice(unseen, file, from);
      failed = false;
    });
    if (!failed && next !== undefined) {
      core.timers.after(0, () => this.#mark(unseen, file, next!));
      return;
    }
    unseen.marking = false;
    file.jobs--;
    core.lot.wake(file, "slices");
    if (failed) this.#tryLater(unseen);
    core.files.dropIfIdle(file);
  }

  /** Where to go on; undefined: all rows are marked, and the file is like any other again. */
  #markSlice(unseen: Unseen, file: FileState, from: number): number | undefined {
    const core = this.#core;
    const { inode } = file;
    core.flush(file);
    const { chunks, next } = storedChunks(core, inode, { from, limit: SLICE_ROWS });
    const changed: MapRow[] = [];
    let grown = 0;
    core.database.transaction(() => {
      for (const { index, row, length } of chunks) {
        const before = row === undefined ? 0 : core.charge(row.length);
        const growth = core.charge(length) - before;
        inode.allocated += growth;
        inode.resident += growth;
        // What only stood in the bucket's name is local now.
        inode.local += growth + (row === undefined || row.chunk === 0 ? 0 : before);
        grown += growth;
        const generation = core.database.nextGeneration();
        const local = { index, chunk: 0, length, resident: true, generation };
        core.maps.put(inode.id, local);
        changed.push(local);
      }
      inode.dirty = true;
      inode.generation = core.database.nextGeneration();
      core.inodes.writeContent(inode);
      if (next === undefined) this.#table.delete(inode.id);
    });
    core.space.resident += grown;
    for (const row of changed) file.putStored(row.index, row);
    core.markUnsynced(inode.id);
    if (next !== undefined) return next;
    this.#drop(unseen);
    core.session().invalidateAttributes(inode.id);
    core.emit({ event: "changed", inode: inode.id });
    core.dirtyNews.tell();
    return undefined;
  }
}
