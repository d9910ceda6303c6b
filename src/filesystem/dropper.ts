/**
 * The engine's requests to free space: whole files that nobody uses (evict), chunks of open files
 * (spill). Law 3: durable rows, then bytes; never anything that the bucket does not hold, confirmed
 * and verified. A whole file's content is unlinked, never truncated in place.
 */
import { invariant } from "../domain/errors.ts";
import type { LeftContent } from "../metadata/follow.ts";
import type { MapRow } from "../metadata/map_table.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Commands, Eviction, Refusal } from "./protocol.ts";
import { type Reaper, SLICE_ROWS } from "./reaper.ts";

export class Dropper {
  readonly #core: Core;
  readonly #reaper: Reaper;
  /** Told when space has been freed. */
  onFreed: () => void = () => {};

  constructor(core: Core, reaper: Reaper) {
    this.#core = core;
    this.#reaper = reaper;
  }

  /** Why a whole file must stay; undefined when it may go. */
  #refuse(
    inode: Inode,
    { generation, force }: { generation: number; force: boolean },
  ): Refusal | undefined {
    if (this.#core.keepsAll) return "readOnly";
    if (!isRegular(inode) || inode.resident === 0 || inode.nlink === 0) return "gone";
    if (inode.generation !== generation || inode.deadFrom !== undefined) return "changed";
    if (this.#core.unseen.has(inode.id)) return "open";
    if (inode.dirty || inode.local > 0) return "dirty";
    if (!force && this.#pinned(inode)) return "pinned";
    const file = this.#core.files.peek(inode.id);
    if (file !== undefined && !file.idle) return "open";
    // Whoever has it mapped would see zeros, or never hear of what others write from then on.
    if (!this.#core.lending.reclaim(inode)) return "open";
    return undefined;
  }

  /** By the user: the veto holds whatever was decided. */
  #pinned(inode: Inode): boolean {
    return this.#core.facts.pinnedUntil(inode.id) > this.#core.clock.wallMs();
  }

  /** A rename, a use or another owner may have put a file under another rule since it was chosen. */
  #asDecided(inode: number, { stamp, epoch }: { stamp: number; epoch: number }): boolean {
    const { usage, facts } = this.#core;
    return facts.epoch === epoch && usage.isCurrent(inode, stamp);
  }

  /** Bytes freed of each file, or why not. Answers when the rows are decided; the bytes follow durably. */
  evict(argument: Commands["evict"][0], done: (results: (number | Refusal)[]) => void): void {
    const core = this.#core;
    const gone: { inode: Inode; incarnation: number; bytes: number }[] = [];
    const large: { inode: Inode; place: number; eviction: Eviction }[] = [];
    const force = argument.force === true;
    const results = core.database.transaction(() =>
      argument.files.map((eviction, place): number | Refusal => {
        const { inode: id, facts, keepHead = 0 } = eviction;
        invariant(
          eviction.generation !== undefined || facts !== undefined,
          "an eviction of anything",
        );
        const inode = core.inodes.get(id);
        if (inode === undefined) return "gone";
        const { generation = inode.generation } = eviction;
        const refusal = this.#refuse(inode, { generation, force });
        if (refusal !== undefined) return refusal;
        if (facts !== undefined && !this.#asDecided(id, facts)) return "changed";
        if (core.maps.hasUnverified(id)) return "unverified";
        if (inode.resident > SLICE_ROWS * core.chunkSize || keepHead > 0) {
          large.push({ inode, place, eviction });
          return 0;
        }
        return this.#evictRows(inode, gone);
      })
    );
    for (const entry of gone) this.#unlink(entry);
    const finish = () => {
      this.#note(argument.files, results);
      done(results);
    };
    if (large.length === 0) return finish();
    let waiting = large.length;
    for (const { inode, place, eviction } of large) {
      this.#evictLarge(inode, { keepHead: eviction.keepHead ?? 0, force }, (result) => {
        results[place] = result;
        if (--waiting === 0) finish();
      });
    }
  }

  #note(files: readonly Eviction[], results: readonly (number | Refusal)[]): void {
    const { journal, usage, clock } = this.#core;
    files.forEach(({ inode, why }, place) => {
      const bytes = results[place];
      // Whatever was decided of a file that stays was decided on facts that are not true any more.
      if (typeof bytes === "string") return usage.touch(inode);
      journal.note({ inode, atMs: clock.wallMs(), what: "evicted", who: why ?? "", bytes });
    });
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
    inode.incarnation = core.store.nextIncarnation(inode.incarnation);
    inode.resident = 0;
    core.inodes.writeContent(inode);
    return bytes;
  }

  #unlink({ inode, incarnation, bytes }: { inode: Inode; incarnation: number; bytes: number }) {
    this.unlinkContent({ inode: inode.id, incarnation, resident: bytes });
  }

  /** Rows say that a content file is not the file's any more: it goes, and whatever has the next name. */
  unlinkContent({ inode, incarnation, resident }: LeftContent): void {
    const core = this.#core;
    core.space.resident -= resident;
    core.usage.setResident(inode, false);
    core.unsynced.delete(inode);
    core.files.peek(inode)?.forgetRows();
    core.store.close(inode, incarnation);
    core.store.remove(inode, core.store.nextIncarnation(incarnation));
    const path = core.store.path(inode, incarnation);
    this.#reaper.unlinks.add([{ path, bytes: resident }], { hurry: true });
  }

  /**
   * The same for a file of many chunks, or one of which a head stays: rows go in slices; whoever opens
   * it stops that.
   */
  #evictLarge(
    inode: Inode,
    { keepHead, force }: { keepHead: number; force: boolean },
    done: (result: number | Refusal) => void,
  ): void {
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
    const from = Math.ceil(keepHead / core.chunkSize);
    let freed = 0;
    this.#reaper.add(() => {
      // Our own job, and punches of earlier slices, are no reason to stay.
      const punching = file.punching.size > 0;
      if (!punching) file.jobs--;
      const refusal = this.#refuse(inode, { generation, force });
      if (!punching) file.jobs++;
      if (file.handles > 0 || (refusal !== undefined && !(punching && refusal === "open"))) {
        return finish(freed > 0 ? freed : refusal ?? "open");
      }
      if (keepHead > 0) {
        const slice = this.#evictSlice(file, from);
        freed += slice;
        return slice > 0 || finish(freed);
      }
      if (inode.resident > SLICE_ROWS * core.chunkSize) {
        const slice = this.#evictSlice(file, 0);
        freed += slice;
        // Nothing that is left may go, if a pack was found wrong meanwhile: no slice would change that.
        return slice > 0 || finish(freed > 0 ? freed : "unverified");
      }
      const gone: { inode: Inode; incarnation: number; bytes: number }[] = [];
      freed += core.database.transaction(() => this.#evictRows(inode, gone));
      for (const entry of gone) this.#unlink(entry);
      return finish(freed);
    });
  }

  #evictSlice(file: FileState, from: number): number {
    const rows = this.#core.maps.droppable(file.inode.id, { from, limit: SLICE_ROWS });
    if (rows.length > 0) this.#punch(file, rows);
    return rows.reduce((sum, row) => sum + this.#core.charge(row.length), 0);
  }

  /** Chunks of open files, coldest first; those that a parked request uses stay. */
  spill({ bytes, inodes }: Commands["spill"][0]): number {
    const core = this.#core;
    if (core.keepsAll) return 0;
    const chunks: { file: FileState; row: MapRow; tick: number }[] = [];
    const allowed = inodes === undefined ? undefined : new Set(inodes);
    for (const file of core.files.values()) {
      if (file.inode.deadFrom !== undefined || allowed?.has(file.inode.id) === false) continue;
      if (file.inode.resident === file.inode.local || this.#pinned(file.inode)) continue;
      if (core.unseen.has(file.inode.id) || core.lending.isLent(file)) continue;
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
      if (inode.resident === 0) core.usage.setResident(inode.id, false);
      else core.usage.touch(inode.id);
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
