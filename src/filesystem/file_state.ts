/**
 * What the isolate remembers of a file while it is open, waited for or not yet written down: a cache
 * of its map rows and everything that is under way. Owns no policy. There is at most one FileState
 * per inode; it goes when nothing is left to remember.
 */
import { invariant } from "../domain/errors.ts";
import type { MapRow, MapTable } from "../metadata/map_table.ts";
import type { Inode } from "./inode.ts";
import type { Parking } from "./parking_lot.ts";
import type { SnapshotRefusal } from "./protocol.ts";

/** A chunk that has been asked for. */
export interface Recall {
  readonly index: number;
  readonly chunk: number;
  /** Charge set aside for it; 0 while it waits for space. */
  reserved: number;
  urgency: "reader" | "ahead" | "bulk";
  /** Somebody wants the whole file: readers come and go. */
  bulk: boolean;
  /** Only for readers of whom nothing is kept: its bytes stay in memory. */
  stream: boolean;
  /** The engine knows of it. */
  announced: boolean;
}

/** A snapshot of a file whose chunks are being copied (snapshots.ts). */
export interface SnapshotUnderWay {
  /** Before a chunk or its row changes: it is copied now, if it was not. Outside transactions; never fails. */
  preserve(index: number): void;
  /** It cannot be had any more. */
  abandon(why: SnapshotRefusal): void;
}

/** What reading a file's bytes back relies on: its rows but for their generations, and what its record says. */
interface Layout {
  readonly changes: number;
  readonly size: number;
  readonly incarnation: number;
  readonly deadFrom: number | undefined;
}

/** How many map rows of one file are cached before unneeded ones are dropped. */
const ROWS_CACHED = 4096;

export class FileState {
  readonly inode: Inode;
  readonly #maps: MapTable;
  /** Open handles, and how many of them may write. */
  handles = 0;
  writers = 0;
  /** How it is served, fixed by its first handle; undefined: no handle is open. */
  serving: "cached" | "direct" | "passthrough" | undefined;
  /** The kernel's id of its content file while that is lent; 0: it is not. */
  backingId = 0;
  /** Its content file's access time was set back, to see whether somebody reads it while it is lent. */
  watchesAccess = false;
  /** Since when there is somebody who may write, wall clock, milliseconds. */
  writingSinceMs = 0;
  /** null: a hole. */
  readonly #rows = new Map<number, MapRow | null>();
  /** Indices whose cached row is newer than its table row. */
  readonly pendingRows = new Set<number>();
  /** Recalled: bytes are in the content file, but not known to be durable; the row says absent. */
  readonly volatile = new Set<number>();
  /** Being spilled: the row says absent, the bytes are about to be punched. */
  readonly punching = new Set<number>();
  /**
   * Rows that went clean → dirty whose mark is not durable yet (law 1), or chunks out of which left-over
   * bytes are not durably gone yet: nobody may write there.
   */
  readonly marking = new Set<number>();
  readonly recalls = new Map<number, Recall>();
  readonly parked = new Set<Parking>();
  /** When a chunk was last used, as a count of uses; what is absent was not used since the file was opened. */
  readonly touched = new Map<number, number>();
  /** Background work that relies on this record. */
  jobs = 0;
  /** Known to have no file capabilities, which a write would take away. */
  incapable = false;
  /** Truncated to nothing since it was opened: its close flushes, as ext4 does. */
  truncated = false;
  /**
   * How often rows were taken away, and how many of these are settled: until they are equal, the content
   * file may hold bytes that the file has lost. What is not durably lost must not be trimmed away, and
   * nothing may grow over what is not durably trimmed, or a power cut could bring it back.
   */
  cuts = 0;
  cutsSettled = 0;
  /** Name of the program for which content was last recalled. */
  recalledBy = "";
  /** Recalled chunks that the sync under way covers; undefined while there is none. */
  settling: Set<number> | undefined;
  /** Undefined: none is being taken. While one is, chunks are changed but not taken away. */
  snapshot: SnapshotUnderWay | undefined;

  /** How often a row has changed, otherwise than by a newer generation. */
  #layoutChanges = 0;
  #durableLayout: Layout | undefined;

  constructor(inode: Inode, maps: MapTable) {
    this.inode = inode;
    this.#maps = maps;
  }

  /** The row of a chunk as the mount shows it; null for a hole. */
  row(index: number): MapRow | null {
    const cached = this.#rows.get(index);
    if (cached !== undefined) return cached;
    // The sum of all rows, of which each has bytes: a new file need not ask.
    if (this.inode.allocated === 0) return null;
    const row = this.#maps.get(this.inode.id, index) ?? null;
    this.#remember(index, row);
    return row;
  }

  /** Whether the chunk's bytes can be read from the content file now. */
  readable(row: MapRow): boolean {
    return (row.resident || this.volatile.has(row.index)) && !this.punching.has(row.index);
  }

  /** Replaces a row in memory; it is written with the next flush. */
  putPending(row: MapRow): void {
    const before = this.#rows.get(row.index);
    const same = before != null && before.chunk === row.chunk && before.length === row.length &&
      before.resident === row.resident;
    if (!same) this.#layoutChanges++;
    this.#remember(row.index, row);
    this.pendingRows.add(row.index);
  }

  /** Replaces a row that the table holds already. */
  putStored(index: number, row: MapRow | null): void {
    this.#layoutChanges++;
    this.pendingRows.delete(index);
    this.#remember(index, row);
  }

  /** Forgets cached rows from `from` on; the table has been changed underneath. */
  forgetRows(from = 0): void {
    this.#layoutChanges++;
    for (const index of this.#rows.keys()) {
      if (index >= from) {
        this.#rows.delete(index);
        this.pendingRows.delete(index);
      }
    }
  }

  /** Rows waiting to be written. */
  *pending(): Iterable<MapRow> {
    for (const index of this.pendingRows) {
      const row = this.#rows.get(index);
      invariant(row != null, () => `pending row ${index} of inode ${this.inode.id} is missing`);
      yield row;
    }
  }

  #layout(): Layout {
    const { size, incarnation, deadFrom } = this.inode;
    return { changes: this.#layoutChanges, size, incarnation, deadFrom };
  }

  /** A sync of the log begins, which covers all that is in the tables; call the result when it has succeeded. */
  beginLayoutSync(): () => void {
    const layout = this.inode.pending || this.pendingRows.size > 0 ? undefined : this.#layout();
    return () => this.#durableLayout = layout;
  }

  /**
   * After a power cut its bytes can be read back by the rows that are on the disk. What changed since are
   * times and generations, and bytes of chunks that are local-only there, too.
   */
  get layoutIsDurable(): boolean {
    const durable = this.#durableLayout;
    if (durable === undefined) return false;
    const now = this.#layout();
    return now.changes === durable.changes && now.size === durable.size &&
      now.incarnation === durable.incarnation && now.deadFrom === durable.deadFrom;
  }

  #remember(index: number, row: MapRow | null): void {
    if (this.#rows.size >= ROWS_CACHED && !this.#rows.has(index)) {
      for (const old of this.#rows.keys()) {
        if (!this.pendingRows.has(old)) this.#rows.delete(old);
        if (this.#rows.size < ROWS_CACHED / 2) break;
      }
    }
    this.#rows.set(index, row);
  }

  /** The content file may hold bytes that the file has lost. */
  get leftover(): boolean {
    return this.cuts !== this.cutsSettled;
  }

  /** Something about its content is under way, so that the content file is not what the rows say. */
  get unsettled(): boolean {
    return this.leftover || this.volatile.size > 0 || this.punching.size > 0 ||
      this.recalls.size > 0 || this.marking.size > 0;
  }

  get idle(): boolean {
    return this.handles === 0 && this.jobs === 0 && this.parked.size === 0 &&
      this.recalls.size === 0 && this.volatile.size === 0 && this.punching.size === 0 &&
      this.marking.size === 0 && this.pendingRows.size === 0;
  }
}

/** All FileStates. */
export class FileTable {
  readonly #files = new Map<number, FileState>();
  readonly #maps: MapTable;
  /** Told of each file that nothing is known of any more. */
  onDropped: (inode: number) => void = () => {};

  constructor(maps: MapTable) {
    this.#maps = maps;
  }

  peek(inode: number): FileState | undefined {
    return this.#files.get(inode);
  }

  acquire(inode: Inode): FileState {
    let file = this.#files.get(inode.id);
    if (file === undefined) {
      file = new FileState(inode, this.#maps);
      this.#files.set(inode.id, file);
      inode.holds++;
    }
    return file;
  }

  /** Lets go of a file that nothing is known of any more. */
  dropIfIdle(file: FileState): void {
    if (!file.idle || this.#files.get(file.inode.id) !== file) return;
    this.#files.delete(file.inode.id);
    file.inode.holds--;
    this.onDropped(file.inode.id);
  }

  values(): Iterable<FileState> {
    return this.#files.values();
  }
}
