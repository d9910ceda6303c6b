/**
 * Snapshots of files that programs go on writing to, so that the bucket gets a version of them too. Owns
 * the shadows: nameless inodes with the map that a file had between two operations and a copy of its
 * local-only bytes (a reflink, where the disk can), which are uploaded as quiet files are.
 *
 * Promises
 * - A shadow is one state of its file. Whatever is about to change a chunk that is not copied yet copies
 *   it first; what takes chunks away waits until all are copied.
 * - The file itself is not changed, stays dirty, and nothing of it may be dropped on a snapshot's word.
 * - Nothing is left of a shadow once it is ended; after a crash it is deleted as any nameless inode is.
 *
 * Never taken of what may be changing without a request (unseen_writers.ts).
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { MapRow } from "../metadata/map_table.ts";
import type { OrphanTable } from "../metadata/orphan_table.ts";
import type { Core } from "./core.ts";
import type { FileState, SnapshotUnderWay } from "./file_state.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Commands, SnapshotRefusal } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";

/** What one slice copies at most: some milliseconds, for which requests wait. */
const SLICE_ROWS = 250;
const SLICE_BYTES = 8 << 20;
/** A time that no list of dirty files reaches: shadows are nobody's but the snapshot's. */
const NEVER_LISTED_MS = -1;

interface Shadow {
  readonly origin: number;
  readonly file: FileState;
}

export class Snapshots {
  readonly #core: Core;
  readonly #reaper: Reaper;
  readonly #orphans: OrphanTable;
  /** By the shadow's inode. */
  readonly #shadows = new Map<number, Shadow>();

  constructor(core: Core, { reaper, orphans }: { reaper: Reaper; orphans: OrphanTable }) {
    this.#core = core;
    this.#reaper = reaper;
    this.#orphans = orphans;
  }

  /** The file that an inode is a snapshot of; undefined: it is none. */
  originOf(inode: number): number | undefined {
    return this.#shadows.get(inode)?.origin;
  }

  /** Takes the state that the file has now. Answers when it is copied, or why it cannot be. */
  take(
    { inode: id }: Commands["snapshot"][0],
    done: (result: Commands["snapshot"][1]) => void,
  ): void {
    const core = this.#core;
    const refusal = this.#refuse(id);
    if (refusal !== undefined) return done(refusal);
    const origin = core.inodes.get(id)!;
    const file = core.files.acquire(origin);
    core.flush(file);
    const shadow = core.files.acquire(core.database.transaction(() => this.#cast(origin)));
    shadow.jobs++;
    this.#shadows.set(shadow.inode.id, { origin: id, file: shadow });
    const taking = new Taking(core, { file, shadow }, (why) => {
      file.jobs--;
      core.lot.wake(file, "slices");
      core.files.dropIfIdle(file);
      if (why === undefined) return done({ shadow: shadow.inode.id });
      this.end({ shadow: shadow.inode.id });
      done(why);
    });
    file.jobs++;
    file.snapshot = taking;
    this.#reaper.add(() => taking.slice());
  }

  /** A snapshot is of no more use. */
  end({ shadow: id }: Commands["endSnapshot"][0]): void {
    const shadow = this.#shadows.get(id);
    if (shadow === undefined) return;
    this.#shadows.delete(id);
    shadow.file.jobs--;
    this.#core.files.dropIfIdle(shadow.file);
    this.#reaper.discard(id);
  }

  #refuse(id: number): SnapshotRefusal | undefined {
    const core = this.#core;
    if (core.readOnlyReason !== undefined) return "readOnly";
    core.unseen.settle(id);
    const inode = core.inodes.get(id);
    if (inode === undefined || !isRegular(inode) || inode.nlink === 0 || !inode.dirty) {
      return "gone";
    }
    if (core.unseen.has(id)) return "open";
    if (inode.deadFrom !== undefined || core.files.peek(id)?.snapshot !== undefined) {
      return "changed";
    }
    return core.space.admits(inode.local) ? undefined : "full";
  }

  /** In transaction: an inode without a name, and so far without content, that looks like the file. */
  #cast(origin: Inode): Inode {
    const core = this.#core;
    const shadow = core.inodes.insert({
      mode: origin.mode,
      uid: origin.uid,
      gid: origin.gid,
      nlink: 0,
      size: origin.size,
      time: { seconds: origin.mtimeS, nanoseconds: origin.mtimeNs },
      born: { generation: origin.generation, changedMs: NEVER_LISTED_MS },
    });
    this.#orphans.insert(shadow.id);
    return shadow;
  }
}

/** A snapshot whose chunks are being copied. */
class Taking implements SnapshotUnderWay {
  readonly #core: Core;
  readonly #file: FileState;
  readonly #shadow: FileState;
  readonly #done: (why: SnapshotRefusal | undefined) => void;
  /** Chunks before it are copied, and these behind it. */
  #next = 0;
  readonly #ahead = new Set<number>();
  #over = false;

  constructor(
    core: Core,
    files: { file: FileState; shadow: FileState },
    done: (why: SnapshotRefusal | undefined) => void,
  ) {
    this.#core = core;
    this.#file = files.file;
    this.#shadow = files.shadow;
    this.#done = done;
  }

  preserve(index: number): void {
    if (this.#over || index < this.#next || this.#ahead.has(index)) return;
    const row = this.#file.row(index);
    this.#ahead.add(index);
    if (row !== null) this.#attempt([row]);
  }

  abandon(why: SnapshotRefusal): void {
    this.#end(why);
  }

  /** Copies some chunks. False: there are none left, or it is over. */
  slice(): boolean {
    if (this.#over) return false;
    const core = this.#core;
    const { inode } = this.#file;
    if (core.readOnlyReason !== undefined || inode.nlink === 0) {
      this.#end(inode.nlink === 0 ? "gone" : "readOnly");
      return false;
    }
    // Rows of chunks that are not copied yet are in the table as they were when the snapshot began.
    const page = core.maps.range(inode.id, {
      from: this.#next,
      until: Infinity,
      limit: SLICE_ROWS,
    });
    const rows: MapRow[] = [];
    let bytes = 0;
    let next = this.#next;
    for (const row of page) {
      if (bytes >= SLICE_BYTES) break;
      next = row.index + 1;
      if (this.#ahead.delete(row.index)) continue;
      rows.push(row);
      if (row.chunk === 0) bytes += row.length;
    }
    if (!this.#attempt(rows)) return false;
    this.#next = next;
    const last = page.at(-1);
    if (page.length === SLICE_ROWS || (last !== undefined && last.index >= next)) return true;
    this.#end(undefined);
    return false;
  }

  /** False: it cannot go on. Whoever writes is not to hear of that. */
  #attempt(rows: MapRow[]): boolean {
    const core = this.#core;
    try {
      const why = this.#copy(rows);
      if (why !== undefined) this.#end(why);
      return why === undefined;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      core.space.forgetReading();
      if (error.errno !== Errno.ENOSPC && error.errno !== Errno.EDQUOT) {
        const message = `a snapshot of inode ${this.#file.inode.id}: ${error.message}`;
        core.emit({ event: "defect", message });
      }
      this.#end("full");
      return false;
    }
  }

  /** Bytes first, then rows. What the bucket holds is named only, and so must be good for it. */
  #copy(rows: MapRow[]): SnapshotRefusal | undefined {
    const core = this.#core;
    const copies: MapRow[] = [];
    let local = 0;
    for (const { index, chunk, length } of rows) {
      const generation = core.database.nextGeneration();
      const resident = chunk === 0;
      if (resident) local += core.charge(length);
      else if (!core.chunks.isVerified(chunk)) return "unverified";
      copies.push({ index, chunk, length, resident, generation });
    }
    if (local > 0 && !core.space.admits(local)) return "full";
    for (const row of copies) {
      if (row.resident && !this.#copyBytes(row)) return "changed";
    }
    const { inode } = this.#shadow;
    core.database.transaction(() => {
      for (const row of copies) {
        core.maps.put(inode.id, row);
        inode.allocated += core.charge(row.length);
      }
      inode.resident += local;
      inode.local += local;
      core.inodes.writeContent(inode);
    });
    core.space.resident += local;
    for (const row of copies) this.#shadow.putStored(row.index, row);
    return undefined;
  }

  /** False: the content file has fewer bytes than its rows say. */
  #copyBytes({ index, length }: MapRow): boolean {
    const core = this.#core;
    const from = core.content(this.#file.inode, false);
    if (from === undefined) return false;
    core.store.hold(from);
    try {
      const to = core.content(this.#shadow.inode, true)!;
      core.markUnsynced(this.#shadow.inode.id);
      return core.store.copy(from, to, { offset: index * core.chunkSize, length }) === length;
    } finally {
      core.store.release(from);
    }
  }

  #end(why: SnapshotRefusal | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#file.snapshot = undefined;
    this.#done(why);
  }
}
