/**
 * What the parts of the content half share: tables, stores, the clock, and the few actions that all
 * of them need (flush a file, sync, go read-only). Owns the descriptors' and rows' coming together;
 * each part owns its own behaviour.
 */
import { Errno } from "../domain/errno.ts";
import { DEFAULT_HALF_LIFE_MS } from "../domain/heat.ts";
import { FsError, invariant } from "../domain/errors.ts";
import type { ContentFile, ContentStore } from "../content/content_store.ts";
import { charge, type SpaceAccountant } from "../content/space_accountant.ts";
import type { SessionPort } from "../fuse/operations.ts";
import type { ChunkTable } from "../metadata/chunk_table.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import { DentryTable } from "../metadata/dentry_table.ts";
import { FactsTable } from "../metadata/facts_table.ts";
import { JournalTable } from "../metadata/journal_table.ts";
import type { MapTable } from "../metadata/map_table.ts";
import type { UsageTable } from "../metadata/usage_table.ts";
import type { VersionTable } from "../metadata/version_table.ts";
import { XattrTable } from "../metadata/xattr_table.ts";
import type { Clock, Timestamp } from "../runtime/clock.ts";
import type { TimerQueue } from "../runtime/timer_queue.ts";
import { accessed } from "./access_times.ts";
import { Conformity } from "./conformity.ts";
import { DirtyNews } from "./dirty_news.ts";
import { committingHelper, type DiskHelper, guardedHelper } from "./disk_helper.ts";
import { DurableLog } from "./durable_log.ts";
import type { FileState, FileTable } from "./file_state.ts";
import type { Inode } from "./inode.ts";
import type { InodeCache } from "./inode_cache.ts";
import { Lending } from "./lending.ts";
import type { ParkingLot } from "./parking_lot.ts";
import { identifyProcess, ReaderRules } from "./reader_rules.ts";
import { Scanners, type ScannersParts } from "./scanners.ts";
import { StreamCache } from "./stream_cache.ts";
import type { TraceFile } from "./trace_file.ts";
import type { FilesystemEvent, FilesystemSettings } from "./protocol.ts";
import { UnseenWriters } from "./unseen_writers.ts";
import { UnsyncedContent } from "./unsynced_content.ts";
import { Uses } from "./uses.ts";

/** Inodes with content that was never synced: above this many, everything is synced at once. */
const UNSYNCED_INODES = 65_536;
/** A file that was written to this recently is likely to be written to again: not worth mending, milliseconds. */
const QUIET_MS = 10_000;

/**
 * How long what was done waits in the redo log for more to share its commit with, milliseconds; and how
 * long a commit waits that a full disk has refused.
 */
const GROUP_MS = 50;
const COMMIT_AGAIN_MS = 200;

export interface CoreParts {
  database: MetadataDatabase;
  inodes: InodeCache;
  maps: MapTable;
  chunks: ChunkTable;
  versions: VersionTable;
  usage: UsageTable;
  files: FileTable;
  store: ContentStore;
  space: SpaceAccountant;
  helper: DiskHelper;
  lot: ParkingLot;
  timers: TimerQueue;
  clock: Clock;
  settings: FilesystemSettings;
  /** Bytes per chunk. */
  chunkSize: number;
  session: () => SessionPort;
  /** Names this start of the machine. */
  bootId: string;
  /** How long a file must not have been written to before its content file is mended; ten seconds unless set. */
  quietMs?: number;
  emit: (event: FilesystemEvent) => void;
  /** Where accesses are recorded; undefined: nowhere. */
  trace?: TraceFile | undefined;
  /** Which process a thread belongs to; as /proc says unless given. */
  identify?: ScannersParts["identify"] | undefined;
}

export class Core implements CoreParts {
  readonly database: MetadataDatabase;
  readonly inodes: InodeCache;
  readonly maps: MapTable;
  readonly chunks: ChunkTable;
  readonly versions: VersionTable;
  readonly usage: UsageTable;
  readonly journal: JournalTable;
  readonly facts: FactsTable;
  readonly xattrs: XattrTable;
  readonly readers = new ReaderRules();
  readonly streams = new StreamCache();
  readonly uses: Uses;
  readonly scanners: Scanners;
  readonly trace: TraceFile | undefined;
  readonly files: FileTable;
  readonly store: ContentStore;
  readonly space: SpaceAccountant;
  readonly helper: DiskHelper;
  readonly log: DurableLog;
  readonly lot: ParkingLot;
  readonly timers: TimerQueue;
  readonly clock: Clock;
  readonly chunkSize: number;
  readonly session: () => SessionPort;
  readonly bootId: string;
  readonly quietMs: number;
  readonly lending: Lending;
  readonly conformity: Conformity;
  readonly unseen: UnseenWriters;
  readonly emit: (event: FilesystemEvent) => void;
  readonly dirtyNews: DirtyNews;
  readonly charge = charge;
  settings: FilesystemSettings;
  /** Why nothing may be changed any more; undefined while everything is well. */
  readOnlyReason: string | undefined;
  /** A sync has failed, in this mount or before: nothing says that what was written is on the disk. */
  suspect: boolean;
  /** What is shown may be changed by another mount, whose metadata is followed. */
  following = false;
  /** Counts uses of chunks, for "coldest first". */
  tick = 0;
  /** Inodes whose content was written and not synced since (law 7). */
  readonly unsynced = new UnsyncedContent();
  /** Gives up what is kept in reserve for a full disk. True where there was something. */
  relieveDisk: () => boolean = () => false;
  /** Trims content files now instead of soon; somebody waits for it. */
  hurryTrims: () => void = () => {};
  #committing = false;
  #syncingAll = false;
  #waitForSyncAll: (() => void)[] = [];

  constructor(parts: CoreParts) {
    this.database = parts.database;
    this.inodes = parts.inodes;
    this.maps = parts.maps;
    this.chunks = parts.chunks;
    this.versions = parts.versions;
    this.usage = parts.usage;
    parts.usage.halfLifeMs = parts.settings.halfLifeMs ?? DEFAULT_HALF_LIFE_MS;
    this.readers.configure(parts.settings.readers);
    this.journal = new JournalTable(parts.database);
    this.facts = new FactsTable(parts.database);
    this.xattrs = new XattrTable(parts.database);
    this.files = parts.files;
    this.store = parts.store;
    this.space = parts.space;
    this.lot = parts.lot;
    this.timers = parts.timers;
    this.log = new DurableLog(parts.database);
    this.helper = committingHelper(
      guardedHelper(parts.helper, (action) => this.guard(action)),
      {
        commit: () => this.commitIfPossible(),
        later: (again) => this.timers.after(COMMIT_AGAIN_MS, again),
        log: this.log,
      },
    );
    parts.database.onGroupBegun = () => this.#commitIn(GROUP_MS);
    this.clock = parts.clock;
    this.settings = parts.settings;
    this.chunkSize = parts.chunkSize;
    this.session = parts.session;
    this.bootId = parts.bootId;
    this.quietMs = parts.quietMs ?? QUIET_MS;
    this.emit = parts.emit;
    this.dirtyNews = new DirtyNews(parts);
    this.trace = parts.trace;
    this.uses = new Uses(parts.usage, { trace: parts.trace, wallMs: () => this.clock.wallMs() });
    const dentries = new DentryTable(parts.database);
    this.scanners = new Scanners({
      identify: parts.identify ?? identifyProcess,
      placeOf: (inode) => dentries.placeOf(inode),
      lastUsed: (inode) => this.uses.lastUsed(inode),
      wallMs: () => this.clock.wallMs(),
      onChange: (scanner, scans) => this.emit({ event: "scanner", scans, ...scanner }),
    });
    this.lending = new Lending({ ...parts, accessed: (inode, at) => this.accessed(inode, at) });
    this.conformity = new Conformity(this);
    this.unseen = new UnseenWriters(this);
    this.suspect = parts.database.setting("suspect") !== undefined;
  }

  /**
   * Runs what nobody would catch: callbacks of the disk, timers, background work. A failing disk must
   * not end the loop; a defect makes the mount read-only.
   */
  guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      const what = error instanceof Error ? error.stack ?? error.message : String(error);
      if (error instanceof FsError) this.space.forgetReading();
      else this.goReadOnly(`a defect: ${what}`);
      this.emit({ event: "defect", message: what });
    }
  }

  /**
   * Puts everything that was done so far into the write-ahead log. False where the disk is full: it
   * stays in the redo log, where only a power cut loses it, and is tried again.
   */
  commitIfPossible(): boolean {
    try {
      this.database.commit();
      return true;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.space.forgetReading();
      this.relieveDisk();
      this.#commitIn(COMMIT_AGAIN_MS);
      return false;
    }
  }

  #commitIn(milliseconds: number): void {
    if (this.#committing) return;
    this.#committing = true;
    this.timers.after(milliseconds, () => {
      this.#committing = false;
      this.commitIfPossible();
    });
  }

  /** Throws EROFS while nothing may be changed. */
  requireWritable(): void {
    if (this.readOnlyReason !== undefined) throw new FsError(Errno.EROFS, this.readOnlyReason);
  }

  /**
   * Nothing that is here may be dropped. Where a sync has failed, nothing says that a row is durable (law
   * 7). And where this mount may not write any more, what its rows call confirmed may belong to others,
   * who delete what they do not know. One that follows has nothing that is not theirs.
   */
  get keepsAll(): boolean {
    return this.suspect || (this.readOnlyReason !== undefined && !this.following);
  }

  /** From now on nothing changes any more. The first reason stays. */
  goReadOnly(reason: string): void {
    if (this.readOnlyReason !== undefined) return;
    this.readOnlyReason = reason;
    this.emit({ event: "readOnly", reason });
  }

  /** Names the content file of an inode that has none yet. */
  incarnate(inode: Inode): void {
    if (inode.incarnation > 0) return;
    inode.incarnation = this.store.nextIncarnation(0);
    this.inodes.touch(inode);
    // A power cut may have taken back the inode that had this number, and left its bytes.
    this.store.remove(inode.id, inode.incarnation);
  }

  /** The file's content, opened; made where it does not exist yet and `create`. */
  content(inode: Inode, create: boolean): ContentFile | undefined {
    if (inode.incarnation === 0) {
      if (!create) return undefined;
      const first = this.store.nextIncarnation(0);
      const made = this.store.create(inode.id, first);
      inode.incarnation = first;
      this.inodes.touch(inode);
      return made;
    }
    return this.store.open(inode.id, inode.incarnation, create);
  }

  /** Its content where it has any; undefined, too, where the disk does not give it, which is told. */
  contentIfPossible(inode: Inode): ContentFile | undefined {
    try {
      return this.content(inode, false);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.emit({ event: "defect", message: `content of inode ${inode.id}: ${error.message}` });
      return undefined;
    }
  }

  /** Writes down what is only in memory of this file, in one transaction. */
  flush(file: FileState): void {
    if (file.inode.pending || file.pendingRows.size > 0) this.#flushTogether([file]);
  }

  /**
   * The same for background work, which has nobody to tell of a full disk, of several files at once. False:
   * what is in memory stays there, and is written with the next flush that succeeds.
   */
  flushIfPossible(...files: FileState[]): boolean {
    try {
      this.#flushTogether(files);
      return true;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.space.forgetReading();
      return false;
    }
  }

  /** Writes down what is only in memory of all files, in one transaction. */
  flushAll(): void {
    for (const file of this.#flushTogether(this.files.values())) this.files.dropIfIdle(file);
  }

  /** Answers those of which something was written. */
  #flushTogether(files: Iterable<FileState>): FileState[] {
    const pending = [...files].filter((file) => file.pendingRows.size > 0 || file.inode.pending);
    if (pending.length === 0) return [];
    // Rows count as written once committed, which an outer transaction could still undo.
    invariant(!this.database.inTransaction, "files are flushed inside a transaction");
    this.database.transaction(() => {
      for (const file of pending) {
        for (const row of file.pending()) this.maps.put(file.inode.id, row);
        this.inodes.writeWhole(file.inode);
      }
    });
    for (const file of pending) file.pendingRows.clear();
    return pending;
  }

  /** Changes the sums of a file by whole charges. The caller touches or writes the inode. */
  account(
    inode: Inode,
    change: { allocated?: number; resident?: number; local?: number },
  ): void {
    inode.allocated += change.allocated ?? 0;
    inode.resident += change.resident ?? 0;
    inode.local += change.local ?? 0;
    this.space.resident += change.resident ?? 0;
  }

  /** Content or size has just changed: new generation, times, dirty. The caller touches the inode. */
  changed(inode: Inode): void {
    const now = this.clock.now();
    inode.mtimeS = inode.ctimeS = now.seconds;
    inode.mtimeNs = inode.ctimeNs = now.nanoseconds;
    inode.generation = this.database.nextGeneration();
    inode.changedMs = Math.floor(this.clock.wallMs());
    if (!inode.dirty) this.dirtyNews.tell();
    inode.dirty = true;
    this.uses.changed(inode);
  }

  /** A program has read content, now or at a time. */
  accessed(inode: Inode, at?: Timestamp): void {
    if (this.readOnlyReason === undefined) accessed(inode, this.inodes, this.clock, at);
  }

  /** Times that move without a request are brought up to date. False: they may move again at once. */
  refreshTimes(id: number): boolean {
    if (this.lending.open > 0 && !this.database.inTransaction) {
      const file = this.files.peek(id);
      if (file !== undefined) this.lending.lookForAccess(file);
    }
    if (!this.unseen.has(id)) return true;
    this.unseen.refresh(this.inodes.require(id));
    return false;
  }

  /** Remembers that content is not durable. */
  markUnsynced(inode: number): void {
    this.unsynced.mark(inode);
    if (this.unsynced.size >= UNSYNCED_INODES) this.syncAll();
  }

  /** Makes everything on the cache's disk durable, in the background. */
  syncAll(): void {
    if (this.#syncingAll) return;
    this.#syncingAll = true;
    const waiting = this.#waitForSyncAll.splice(0);
    const covered = this.unsynced.beginSyncAll(this.database.nextGeneration());
    this.helper.syncAll((errno) => {
      this.#syncingAll = false;
      if (errno !== 0) this.syncFailed(errno, "the cache's disk");
      else covered();
      for (const then of waiting) then();
      if (this.#waitForSyncAll.length > 0) this.syncAll();
    });
  }

  /** Calls `then` once what was written to the file so far is durable, or cannot be made so; perhaps at once. */
  whenDurable(inode: number, then: () => void): void {
    if (!this.unsynced.has(inode)) return then();
    this.#waitForSyncAll.push(then);
    this.syncAll();
  }

  /** Law 7: a failed sync is never later reported as success. */
  syncFailed(errno: number, what: string): void {
    this.suspect = true;
    this.goReadOnly(`syncing ${what} failed (errno ${errno}); check the cache's disk`);
    try {
      this.database.setSetting("suspect", `a sync of ${what} failed with errno ${errno}`);
    } catch (error) {
      this.emit({ event: "defect", message: `the failed sync cannot be recorded: ${error}` });
    }
  }
}
