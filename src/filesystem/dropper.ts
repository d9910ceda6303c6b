/**
 * The engine's requests to free space: whole files that nobody uses (evict), chunks of open files
 * (spill). Law 3: durable rows, then bytes; never anything that the bucket does not hold, confirmed
 * and verified. A whole file's content is unlinked, never truncated in place.
 */
import type { MapRow } from "../metadata/map_table.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Candidate, Commands, Refusal } from "./protocol.ts";
import { type Reaper, SLICE_ROWS } from "./reaper.ts";

/** Rows of the order of use that one question looks at, so that it never takes long. */
const CANDIDATES_SCANNED = 20_000;

export class Dropper {
  readonly #core: Core;
  readonly #reaper: Reaper;
  /** Told when space has been freed. */
  onFreed: () => void = () => {};

  constructor(core: Core, reaper: Reaper) {
    this.#core = core;
    this.#reaper = reaper;
  }

  /** Clean, unpinned, unopened files with resident bytes, least recently used first. */
  candidates(argument: Commands["candidates"][0]): Candidate[] {
    const core = this.#core;
    const found: Candidate[] = [];
    let after = argument.after;
    for (let scanned = 0; scanned < CANDIDATES_SCANNED && found.length < argument.limit;) {
      const limit = Math.min(1000, CANDIDATES_SCANNED - scanned);
      const rows = core.usage.candidates({ limit, ...(after === undefined ? {} : { after }) });
      for (const row of rows) {
        const inode = core.inodes.get(row.inode);
        if (inode === undefined || this.#refuse(inode, inode.generation) !== undefined) continue;
        found.push({
          inode: inode.id,
          generation: inode.generation,
          residentBytes: inode.resident,
          lastUsedMs: row.lastUsedMs,
        });
        if (found.length === argument.limit) break;
      }
      if (rows.length < limit) break;
      scanned += rows.length;
      after = rows[rows.length - 1];
    }
    return found;
  }

  /** Why a whole file must stay; undefined when it may go. */
  #refuse(inode: Inode, generation: number): Refusal | undefined {
    // Law 7: once a sync has failed, nothing says that a row is durable.
    if (this.#core.suspect) return "gone";
    if (!isRegular(inode) || inode.resident === 0 || inode.nlink === 0) return "gone";
    if (inode.generation !== generation || inode.deadFrom !== undefined) return "changed";
    if (inode.dirty || inode.local > 0) return "dirty";
    if (inode.pinned) return "pinned";
    const file = this.#core.files.peek(inode.id);
    if (file !== undefined && !file.idle) return "open";
    return undefined;
  }

  /** Bytes freed of each file, or why not. Answers when the rows are decided; the bytes follow durably. */
  evict(argument: Commands["evict"][0], done: (results: (number | Refusal)[]) => void): void {
    const core = this.#core;
    const gone: { inode: Inode; incarnation: number; bytes: number }[] = [];
    const large: { inode: Inode; place: number }[] = [];
    const results = core.database.transaction(() =>
      argument.files.map(({ inode: id, generation }, place): number | Refusal => {
        const inode = core.inodes.get(id);
        if (inode === undefined) return "gone";
        const refusal = this.#refuse(inode, generation);
        if (refusal !== undefined) return refusal;
        if (core.maps.hasUnverified(id)) return "unverified";
        if (inode.resident > SLICE_ROWS * core.chunkSize) {
          large.push({ inode, place });
          return 0;
        }
        return this.#evictRows(inode, gone);
      })
    );
    for (const entry of gone) this.#unlink(entry);
    if (large.length === 0) return done(results);
    let waiting = large.length;
    for (const { inode, place } of large) {
      this.#evictLarge(inode, (result) => {
        results[place] = result;
        if (--waiting === 0) done(results);
      });
    }
  }

  /** In transaction. The next content of the file will be another incarnation. */
  #evictRows(
    inode: Inode,
    gone: { inode: Inode; incarnation: number; bytes: number }[],
  ): number {
    const core = this.#core;
    const bytes = inode.resident;
    core.maps.evictRange(inode.id, 0, Number.MAX_SAFE_INTEGER);
    gone.push({ inode, incarnation: inode.incarnation, bytes });
    inode.incarnation++;
    inode.resident = 0;
    core.inodes.writeContent(inode);
    return bytes;
  }

  #unlink({ inode, incarnation, bytes }: { inode: Inode; incarnation: number; bytes: number }) {
    const core = this.#core;
    core.space.resident -= bytes;
    core.usage.setResident(inode.id, false, core.usage.lastUsed(inode.id) ?? 0);
    core.unsynced.delete(inode.id);
    core.files.peek(inode.id)?.forgetRows();
    core.store.close(inode.id, incarnation);
    core.store.remove(inode.id, inode.incarnation);
    this.#reaper.unlink(core.store.path(inode.id, incarnation), bytes);
  }

  /** The same for a file of many chunks: rows go in slices, from the front; whoever opens it stops that. */
  #evictLarge(inode: Inode, done: (result: number | Refusal) => void): void {
    const core = this.#core;
    const generation = inode.generation;
    const file = core.files.acquire(inode);
    file.jobs++;
    const finish = (result: number | Refusal): false => {
      if (file.jobs > 0) file.jobs--;
      core.files.dropIfIdle(file);
      done(result);
      return false;
    };
    let freed = 0;
    this.#reaper.add(() => {
      file.jobs--;
      const refusal = this.#refuse(inode, generation);
      file.jobs++;
      if (refusal !== undefined) return finish(freed > 0 ? freed : refusal);
      if (inode.resident > SLICE_ROWS * core.chunkSize) {
        freed += this.#evictSlice(file);
        return true;
      }
      const gone: { inode: Inode; incarnation: number; bytes: number }[] = [];
      freed += core.database.transaction(() => this.#evictRows(inode, gone));
      for (const entry of gone) this.#unlink(entry);
      return finish(freed);
    });
  }

  #evictSlice(file: FileState): number {
    const rows = this.#core.maps.droppable(file.inode.id, { from: 0, limit: SLICE_ROWS });
    this.#punch(file, rows);
    return rows.reduce((sum, row) => sum + this.#core.charge(row.length), 0);
  }

  /** Chunks of open files, coldest first; those that a parked request uses stay. */
  spill({ bytes }: Commands["spill"][0]): number {
    const core = this.#core;
    if (core.suspect) return 0;
    const chunks: { file: FileState; row: MapRow; tick: number }[] = [];
    for (const file of core.files.values()) {
      if (file.inode.resident === file.inode.local || file.inode.deadFrom !== undefined) continue;
      if (file.inode.pinned) continue;
      core.flush(file);
      const used = new Set([...file.parked].flatMap((parking) => [...parking.uses]));
      for (const row of core.maps.droppable(file.inode.id, { from: 0, limit: SLICE_ROWS })) {
        if (used.has(row.index) || file.punching.has(row.index)) continue;
        chunks.push({ file, row, tick: file.touched.get(row.index) ?? 0 });
      }
    }
    chunks.sort((a, b) => a.tick - b.tick);
    const chosen = new Map<FileState, MapRow[]>();
    let freed = 0;
    for (const { file, row } of chunks) {
      if (freed >= bytes) break;
      freed += core.charge(row.length);
      const rows = chosen.get(file);
      if (rows === undefined) chosen.set(file, [row]);
      else rows.push(row);
    }
    for (const [file, rows] of chosen) this.#punch(file, rows);
    return freed;
  }

  /** Rows say absent, durably, and then the bytes are punched; readers wait for that. */
  #punch(file: FileState, rows: MapRow[]): void {
    const core = this.#core;
    const inode = file.inode;
    const bytes = rows.reduce((sum, row) => sum + core.charge(row.length), 0);
    core.database.transaction(() => {
      for (const row of rows) core.maps.setResident(inode.id, row.index, false);
      inode.resident -= bytes;
      core.inodes.writeContent(inode);
    });
    for (const row of rows) {
      file.putStored(row.index, { ...row, resident: false });
      file.punching.add(row.index);
    }
    core.space.resident -= bytes;
    core.space.leaving += bytes;
    file.jobs++;
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      file.jobs--;
      if (errno !== 0) core.syncFailed(errno, "the metadata");
      if (errno === 0) core.guard(() => this.#punchRows(file, rows));
      for (const row of rows) file.punching.delete(row.index);
      core.space.leaving -= bytes;
      core.space.forgetReading();
      if (inode.resident === 0) core.usage.setResident(inode.id, false, 0);
      core.lot.wake(file, "sync");
      core.lot.wake(file, "recall");
      core.files.dropIfIdle(file);
      this.onFreed();
    });
  }

  #punchRows(file: FileState, rows: MapRow[]): void {
    const core = this.#core;
    const content = core.content(file.inode, false);
    if (content === undefined) return;
    for (const row of rows) {
      const still = file.row(row.index);
      if (still === null || still.resident || still.chunk !== row.chunk) continue;
      core.store.punch(content, row.index * core.chunkSize, core.chunkSize);
    }
  }
}
