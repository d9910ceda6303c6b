/**
 * Work that grows with a file, done in slices of at most 1,000 rows between requests: deleting the
 * rows of files that are gone or cut short, sweeping garbage versions, trimming content files whose
 * rows are durably gone. Everything here may be interrupted by a crash and is found again at mount.
 */
import { FsError } from "../domain/errors.ts";
import type { MapRow } from "../metadata/map_table.ts";
import type { OrphanTable } from "../metadata/orphan_table.ts";
import type { XattrTable } from "../metadata/xattr_table.ts";
import { ContentUnlinks, type GoneContent } from "./content_unlinks.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Inode } from "./inode.ts";

export const SLICE_ROWS = 1000;
/** Nameless inodes that are deleted in one transaction, as long as they are small: a millisecond. */
const DISCARDS_AT_ONCE = 32;
/**
 * How long they wait for each other once some have gone, milliseconds: a removal lets go of each file
 * before it asks for the next, and alone each costs three times as much.
 */
const GATHER_DISCARDS_MS = 20;
/** How long background work rests after the disk was full, milliseconds. */
const REST_MS = 1000;
/** How long content that has no rows any more may stay, so that its trimming is shared, milliseconds. */
const TRIM_MS = 200;

/** One piece of background work: does a slice, and says whether there is more. */
export type BackgroundJob = () => boolean;

export class Reaper {
  readonly unlinks: ContentUnlinks;
  readonly #core: Core;
  readonly #orphans: OrphanTable;
  readonly #xattrs: XattrTable;
  readonly #jobs: BackgroundJob[] = [];
  readonly #discards: number[] = [];
  /** Some have just been discarded. */
  #gathering = false;
  /** To be discarded as soon as background work lets go of them. */
  readonly #held = new Set<number>();
  readonly #trims = new Map<FileState, Set<number>>();
  #trimTimer: (() => void) | undefined;
  /** A full disk: background work rests for a moment. */
  #resting = false;
  /** Told of a nameless file that would go but for what is remembered of it. */
  onHeld: (file: FileState) => void = () => {};

  constructor(core: Core, tables: { orphans: OrphanTable; xattrs: XattrTable }) {
    this.#core = core;
    this.unlinks = new ContentUnlinks(core);
    this.#orphans = tables.orphans;
    this.#xattrs = tables.xattrs;
    core.hurryTrims = () => this.#hurry();
    core.files.onDropped = (inode) => {
      if (this.#held.delete(inode)) this.discard(inode);
    };
  }

  /** True while a slice of work waits. */
  get busy(): boolean {
    if (this.#resting) return false;
    return this.#jobs.length > 0 || this.#discardsDue || this.unlinks.due;
  }

  get #discardsDue(): boolean {
    const { length } = this.#discards;
    if (length === 0) return false;
    // Whoever is parked may wait for what they occupy.
    return !this.#gathering || length >= DISCARDS_AT_ONCE || this.#core.lot.wantsWork;
  }

  /** Adds work that is done in slices. */
  add(job: BackgroundJob): void {
    this.#jobs.push(job);
  }

  /** Does one slice. One that a full disk has undone is done again later. */
  step(): void {
    try {
      if (this.#discardsDue) this.#discardSome();
      else if (this.#jobs.length > 0) {
        const job = this.#jobs.shift()!;
        if (this.#again(job)) this.#jobs.push(job);
      }
    } catch (error) {
      this.#resting = true;
      this.#core.timers.after(REST_MS, () => this.#resting = false);
      throw error;
    }
    this.unlinks.step();
  }

  #again(job: BackgroundJob): boolean {
    try {
      return job();
    } catch (error) {
      if (error instanceof FsError) this.#jobs.push(job);
      throw error;
    }
  }

  /** After mount: what an earlier mount left half done. */
  resumeLeftovers(): void {
    const core = this.#core;
    core.database.transaction(() => core.versions.abandonBuilding());
    let orphans = 0;
    this.add(() => {
      const ids = this.#orphans.list({ after: orphans, limit: SLICE_ROWS });
      for (const id of ids) {
        orphans = id;
        if (core.files.peek(id) === undefined) this.discard(id);
      }
      return ids.length === SLICE_ROWS;
    });
    const dead = core.database.statement(
      `SELECT id FROM inode WHERE dead_from IS NOT NULL`,
    ).all() as { id: number }[];
    for (const { id } of dead) {
      const inode = core.inodes.get(id);
      if (inode !== undefined) this.deleteDeadRows(core.files.acquire(inode));
    }
    this.sweepVersions();
  }

  /** Deletes garbage versions. */
  sweepVersions(): void {
    const core = this.#core;
    this.add(() => core.database.transaction(() => core.versions.sweepSlice(SLICE_ROWS)));
  }

  /** A nameless inode that nobody can reach: content, rows, xattrs and the inode itself go. */
  discard(inode: number): void {
    this.#discards.push(inode);
  }

  #discardSome(): void {
    // A full disk may have put one back here twice.
    const batch = [...new Set(this.#discards.splice(0, DISCARDS_AT_ONCE))]
      .filter((id) => this.#isFree(id));
    try {
      this.#discardBatch(batch);
    } catch (error) {
      this.#discards.unshift(...batch);
      throw error;
    }
    // What is left is the rest of something large, or more than one batch.
    if (this.#discards.length === 0) this.#gather();
  }

  /** Those that wait for others do so no more. */
  discardNow(): void {
    this.#gathering = false;
    if (this.#discards.length > 0) this.#discardSome();
  }

  #gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#core.timers.after(GATHER_DISCARDS_MS, () => this.#gathering = false);
  }

  /** False: something is under way with it; it comes back here when that is over. */
  #isFree(id: number): boolean {
    const file = this.#core.files.peek(id);
    if (file === undefined) return true;
    this.#held.add(id);
    this.onHeld(file);
    return false;
  }

  #discardBatch(batch: number[]): void {
    const core = this.#core;
    const inodes = batch.map((id) => core.inodes.get(id))
      .filter((inode) => inode !== undefined && inode.nlink === 0) as Inode[];
    const ids = inodes.map(({ id }) => id);
    const rows = core.maps.ofAll(ids, SLICE_ROWS + 1);
    if (rows.length > SLICE_ROWS) {
      if (inodes.length === 1) return this.#cut(inodes[0]);
      // Fewer of them, until they are small enough, or one of them is known to be large.
      const half = inodes.length >> 1;
      this.#discards.unshift(...ids.slice(half));
      return this.#discardBatch(ids.slice(0, half));
    }
    let freed = 0;
    for (const { length, resident } of rows) if (resident) freed += core.charge(length);
    core.database.transaction(() => {
      core.maps.removeAll(ids);
      this.#xattrs.deleteAll(ids);
      this.#orphans.deleteAll(ids);
      core.inodes.remove(ids);
    });
    const gone: GoneContent[] = [];
    for (const { id, incarnation } of inodes) {
      core.store.close(id, incarnation);
      core.usage.remove(id);
      core.unsynced.delete(id);
      if (incarnation > 0) gone.push({ path: core.store.path(id, incarnation), bytes: 0 });
    }
    core.space.resident -= freed;
    if (gone.length > 0) gone[gone.length - 1].bytes = freed;
    this.unlinks.add(gone, { hurry: false });
  }

  /** Takes a slice of rows from a nameless file, which comes back here for the rest. */
  #cut(inode: Inode): void {
    const core = this.#core;
    const rows = core.maps.range(inode.id, { from: 0, until: Infinity, limit: SLICE_ROWS });
    const freed = core.database.transaction(() => {
      for (const row of rows) core.maps.remove(inode.id, row.index);
      const resident = this.subtract(inode, rows);
      core.inodes.writeContent(inode);
      return resident;
    });
    core.space.resident -= freed;
    this.#discards.unshift(inode.id);
  }

  /**
   * In transaction: takes rows out of an inode's sums, but for what each keeps. Returns the charge of
   * those that were resident, for the accountant once it is committed.
   */
  subtract(inode: Inode, rows: MapRow[], kept?: MapRow): number {
    const core = this.#core;
    let resident = 0;
    for (const row of rows) {
      const charge = core.charge(row.length) - core.charge(kept?.length ?? 0);
      inode.allocated -= charge;
      if (row.resident) {
        inode.resident -= charge;
        resident += charge;
      }
      if (row.chunk === 0) inode.local -= charge;
    }
    return resident;
  }

  /** Deletes map rows from `deadFrom` on, slice by slice; whoever needs them is parked meanwhile. */
  deleteDeadRows(file: FileState): void {
    const core = this.#core;
    const inode = file.inode;
    file.jobs++;
    this.add(() => {
      // The sums are written below: rows that they count must not be in memory only.
      core.flush(file);
      const from = inode.deadFrom!;
      const rows = core.maps.range(inode.id, { from, until: Infinity, limit: SLICE_ROWS });
      const done = rows.length < SLICE_ROWS;
      const freed = core.database.transaction(() => {
        const resident = this.subtract(inode, rows);
        for (const row of rows) core.maps.remove(inode.id, row.index);
        if (done) inode.deadFrom = undefined;
        core.inodes.writeContent(inode);
        return resident;
      });
      core.space.resident -= freed;
      // Whoever looked meanwhile has seen rows that are gone now.
      file.forgetRows(from);
      if (inode.incarnation > 0) file.cuts++;
      if (!done) return true;
      file.jobs--;
      this.trimLater(file);
      core.lot.wake(file, "slices");
      core.files.dropIfIdle(file);
      return false;
    });
  }

  /** The file became shorter: once its rows are durable, the content file follows. */
  trimLater(file: FileState): void {
    this.#trim(file, undefined);
  }

  /** A chunk is here no more: once that is durable, its bytes go, unless it was written or recalled again. */
  punchLater(file: FileState, index: number): void {
    if (file.inode.incarnation > 0) file.cuts++;
    this.#trim(file, index);
  }

  #trim(file: FileState, index: number | undefined): void {
    let indices = this.#trims.get(file);
    if (indices === undefined) {
      if (file.inode.incarnation === 0) return;
      indices = new Set();
      this.#trims.set(file, indices);
      file.jobs++;
    }
    if (index !== undefined) indices.add(index);
    this.#trimTimer ??= this.#core.timers.after(TRIM_MS, () => this.#trimNow());
  }

  #hurry(): void {
    if (this.#trimTimer === undefined) return; // under way
    this.#trimTimer();
    this.#trimNow();
  }

  #trimNow(): void {
    const core = this.#core;
    this.#trimTimer = undefined;
    const trims = [...this.#trims].map(([file, indices]) => ({
      file,
      indices,
      cuts: file.cuts,
    }));
    this.#trims.clear();
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      if (errno !== 0) core.syncFailed(errno, "the metadata");
      for (const { file, indices, cuts } of trims) {
        if (errno !== 0) this.#trimmed(file, cuts);
        else if (file.cuts !== cuts) this.#trimAgain(file, indices);
        else core.guard(() => this.#trimFile(file, { indices, cuts }));
      }
      core.space.forgetReading();
    });
  }

  /** Rows went since, and are not durable yet: their bytes must stay until they are. */
  #trimAgain(file: FileState, indices: Set<number>): void {
    this.trimLater(file);
    for (const index of indices) this.#trims.get(file)?.add(index);
    file.jobs--;
    this.#core.lot.wake(file, "sync");
  }

  #trimFile(file: FileState, trim: { indices: Set<number>; cuts: number }): void {
    try {
      this.#trimDurably(file, trim);
    } catch (error) {
      this.#trimmed(file, trim.cuts);
      throw error;
    }
  }

  #trimDurably(
    file: FileState,
    { indices, cuts }: { indices: Set<number>; cuts: number },
  ): void {
    const core = this.#core;
    const inode = file.inode;
    // Whoever reads the content file by himself sees its end as the file's.
    const lent = core.unseen.has(inode.id) || core.lending.isLent(file);
    const least = lent ? inode.size : 0;
    const content = core.content(inode, false);
    if (content === undefined) return this.#trimmed(file, cuts);
    if (!core.flushIfPossible(file)) return this.#trimAgain(file, indices);
    for (const index of indices) {
      // It is on its way out by itself, and the log may not say so yet.
      if (file.punching.has(index)) continue;
      const row = file.row(index);
      if (row === null || (!row.resident && !file.readable(row))) {
        core.store.punch(content, index * core.chunkSize, core.chunkSize);
      }
    }
    const last = core.maps.last(inode.id);
    const end = Math.max(least, last === undefined ? 0 : last.index * core.chunkSize + last.length);
    if (core.store.length(content) > end) {
      core.store.truncate(content, end);
      // It may have been found to be as long as the file, which may end in a hole.
      core.conformity.forget(inode.id);
    }
    core.unseen.wrote(inode);
    if (!file.leftover) return this.#trimmed(file, cuts);
    // What was trimmed must not come back: only then may the file grow there again.
    core.helper.sync({ files: [content], folders: [], wal: false }, (errno) => {
      if (errno !== 0) core.syncFailed(errno, `the trimmed content of inode ${inode.id}`);
      this.#trimmed(file, cuts);
    });
  }

  #trimmed(file: FileState, cuts: number): void {
    file.jobs--;
    file.cutsSettled = Math.max(file.cutsSettled, cuts);
    this.#core.lot.wake(file, "sync");
    this.#core.files.dropIfIdle(file);
  }
}
