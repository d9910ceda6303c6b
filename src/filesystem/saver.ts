/**
 * The engine's requests about uploads: which files wait, which of their chunks are local only, binding
 * chunks to confirmed bytes (stage) and making a version of them (save). Law 2. Every answer is
 * re-checked against what has happened since the engine asked.
 */
import type { MapRow } from "../metadata/map_table.ts";
import type { Core } from "./core.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Commands, DirtyFile, Placement, Refusal, StagedPack } from "./protocol.ts";
import { type Reaper, SLICE_ROWS } from "./reaper.ts";
import type { Snapshots } from "./snapshots.ts";

/** A chunk of an open file that was written this recently is not offered for upload, milliseconds. */
const HOT_CHUNK_MS = 500;
/** A nameless open file is worth uploading only when it is in the way. */
const ORPHAN_BYTES = 64 * 1024 * 1024;

export class Saver {
  readonly #core: Core;
  readonly #reaper: Reaper;
  readonly #snapshots: Snapshots;

  constructor(core: Core, parts: { reaper: Reaper; snapshots: Snapshots }) {
    this.#core = core;
    this.#reaper = parts.reaper;
    this.#snapshots = parts.snapshots;
  }

  dirtyFiles(argument: Commands["dirtyFiles"][0]): DirtyFile[] {
    const core = this.#core;
    core.unseen.refreshAll();
    core.flushAll();
    core.inodes.flush(Infinity);
    const after = argument.after ?? { changedMs: -1, inode: 0 };
    const rows = core.database.statement(
      `SELECT id AS inode, generation, size, changed_ms AS changedMs, local AS localBytes, nlink
       FROM inode WHERE dirty = 1 AND kept = 0 AND changed_ms <= ? AND (changed_ms, id) > (?, ?)
         AND changed_ms > ? AND (nlink > 0 OR local >= ${ORPHAN_BYTES})
       ORDER BY changed_ms, id LIMIT ?`,
    ).all(
      argument.changedBefore,
      after.changedMs,
      after.inode,
      argument.future === true ? Math.floor(core.clock.wallMs()) : -1,
      argument.limit,
    ) as unknown as (DirtyFile & { nlink: number })[];
    return rows.map(({ nlink: _, ...row }) => ({
      ...row,
      writers: this.#writers(row.inode),
    }));
  }

  /** Handles that may write; where only mappings are left, one. */
  #writers(inode: number): number {
    const writers = this.#core.files.peek(inode)?.writers ?? 0;
    return writers > 0 ? writers : this.#core.unseen.has(inode) ? 1 : 0;
  }

  dirtyChunks(argument: Commands["dirtyChunks"][0]): Commands["dirtyChunks"][1] {
    const core = this.#core;
    const inode = core.inodes.get(argument.inode);
    if (inode === undefined || !isRegular(inode) || inode.deadFrom !== undefined) return undefined;
    const file = core.files.peek(inode.id);
    if (file !== undefined) core.flush(file);
    if (!inode.dirty) return undefined;
    const writers = this.#writers(inode.id);
    const hot = writers > 0 && core.clock.wallMs() - inode.changedMs < HOT_CHUNK_MS
      ? this.#hottest(inode)
      : undefined;
    // What may change without a trace while it is read is not read at all; and where nothing will be saved
    // any more, nothing is to be sent.
    const nothing = core.unseen.has(inode.id) || core.readOnlyReason !== undefined;
    const rows = nothing ? [] : core.maps.local(inode.id, argument);
    return {
      generation: inode.generation,
      writers,
      size: inode.size,
      path: core.store.path(inode.id, inode.incarnation),
      // A confirmed chunk is taken to be right as it lies here: so it must survive a power cut first.
      chunks: rows.filter((row) =>
        row.index !== hot && core.unsynced.isDurable(inode.id, row.generation)
      ).map(({ index, length, generation }) => ({ index, length, generation })),
    };
  }

  /** The chunk that a program is probably still writing. */
  #hottest(inode: Inode): number | undefined {
    const touched = this.#core.files.peek(inode.id)?.touched;
    let hottest: number | undefined;
    let tick = -1;
    for (const [index, at] of touched ?? []) {
      if (at > tick) [hottest, tick] = [index, at];
    }
    return hottest;
  }

  matchChunks({ hashes }: Commands["matchChunks"][0]): (number | undefined)[] {
    return hashes.map((hash) => this.#core.chunks.match(hash));
  }

  stage(argument: Commands["stage"][0]): Commands["stage"][1] {
    const core = this.#core;
    // Sums are written below: rows that they count must not be in memory only.
    for (const inode of new Set(argument.placements.map((placement) => placement.inode))) {
      const file = core.files.peek(inode);
      if (file !== undefined) core.flush(file);
    }
    const applied: (() => void)[] = [];
    const seen = new Set<string>();
    const placed = core.database.transaction(() => {
      const ids = this.#addPack(argument.pack);
      const results = argument.placements.map((placement): true | Refusal => {
        const place = `${placement.inode} ${placement.index}`;
        if (seen.has(place)) return "changed";
        seen.add(place);
        const outcome = this.#place(placement, ids);
        if (typeof outcome === "string") return outcome;
        applied.push(outcome);
        return true;
      });
      if (argument.pack !== undefined) core.chunks.stampUnreferenced(argument.pack.name);
      return results;
    });
    for (const apply of applied) apply();
    return { placed };
  }

  #addPack(pack: StagedPack | undefined): number[] {
    const core = this.#core;
    core.database.statement("UPDATE total SET sequence = sequence + 1").run();
    return pack === undefined ? [] : core.chunks.addPack(pack, Math.floor(core.clock.wallMs()));
  }

  /** In transaction. Why not, or what to do once the transaction is committed. */
  #place(placement: Placement, ids: number[]): Refusal | (() => void) {
    const core = this.#core;
    const inode = core.inodes.get(placement.inode);
    if (inode === undefined || inode.deadFrom !== undefined) return "gone";
    if (core.unseen.has(inode.id)) return "changed";
    const file = core.files.peek(inode.id);
    // What is being copied stays as it was; the chunk comes up again.
    if (file?.snapshot !== undefined) return "changed";
    const index = placement.index;
    const row = file === undefined ? core.maps.get(inode.id, index) ?? null : file.row(index);
    if (row === null) return "gone";
    const same = row.chunk === 0 && row.generation === placement.generation &&
      row.length === placement.length && !file?.marking.has(index);
    if (!same) return "changed";
    const charge = core.charge(row.length);
    if (placement.source.kind === "zero") {
      core.maps.remove(inode.id, index);
      inode.local -= charge;
      inode.resident -= charge;
      inode.allocated -= charge;
      core.inodes.writeContent(inode);
      return () => this.#becameHole(inode, index, charge);
    }
    const chunk = this.#chunk(placement, ids);
    if (chunk === undefined) return "unverified";
    const next: MapRow = { ...row, chunk };
    core.maps.put(inode.id, next);
    inode.local -= charge;
    core.inodes.writeContent(inode);
    return () => file?.putStored(index, next);
  }

  #chunk(placement: Placement, ids: number[]): number | undefined {
    const core = this.#core;
    const source = placement.source;
    const chunk = source.kind === "pack"
      ? ids[source.ordinal]
      : source.kind === "chunk"
      ? source.chunk
      : undefined;
    if (chunk === undefined) return undefined;
    return core.chunks.usable(chunk) === placement.length ? chunk : undefined;
  }

  #becameHole(inode: Inode, index: number, charge: number): void {
    const core = this.#core;
    core.space.resident -= charge;
    const file = core.files.acquire(inode);
    file.putStored(index, null);
    this.#reaper.punchLater(file, index);
    core.files.dropIfIdle(file);
  }

  /** Answers through `done`, now or after the slices that a large file needs. */
  save(argument: Commands["save"][0], done: (result: true | Refusal) => void): void {
    const core = this.#core;
    const refusal = this.#refuseSave(argument);
    if (refusal !== undefined) return done(refusal);
    const inode = core.inodes.get(argument.inode)!;
    const file = core.files.peek(inode.id);
    if (file !== undefined) core.flush(file);
    const held = core.files.acquire(inode);
    held.jobs++;
    let version = 0;
    let from: number | undefined = 0;
    const finish = (result: true | Refusal): false => {
      held.jobs--;
      core.files.dropIfIdle(held);
      done(result);
      return false;
    };
    const slice = (): boolean => {
      const late = this.#refuseSave(argument);
      if (late !== undefined) {
        if (version > 0) core.versions.discard(version);
        if (version > 0) this.#reaper.sweepVersions();
        return finish(late);
      }
      // Remembered only once it is committed: a full disk may undo the slice, which then runs again.
      const next = core.database.transaction(() => {
        const building = version === 0 ? this.#begin(inode) : version;
        const more = core.versions.copySlice(building, {
          inode: inode.id,
          from: from!,
          limit: SLICE_ROWS,
        });
        if (more === undefined) this.#publish(inode, building);
        return { building, more };
      });
      version = next.building;
      from = next.more;
      return from !== undefined || finish(true);
    };
    try {
      if (slice()) this.#reaper.add(slice);
    } catch (error) {
      held.jobs--;
      core.files.dropIfIdle(held);
      throw error;
    }
  }

  #begin(inode: Inode): number {
    return this.#core.versions.begin({
      ...inode,
      inode: this.#snapshots.originOf(inode.id) ?? inode.id,
      savedMs: Math.floor(this.#core.clock.wallMs()),
    });
  }

  #publish(inode: Inode, version: number): void {
    const core = this.#core;
    core.database.statement("UPDATE total SET sequence = sequence + 1").run();
    const origin = this.#snapshots.originOf(inode.id);
    const id = origin ?? inode.id;
    const atMs = core.clock.wallMs();
    core.versions.publish(version, { inode: id, nowMs: Math.floor(atMs) });
    // Of a file that goes on changing the version says only what it was.
    if (origin === undefined) {
      inode.dirty = false;
      core.inodes.writeContent(inode);
    }
    core.usage.touch(id);
    core.journal.note({ inode: id, atMs, what: "saved", who: "", bytes: inode.allocated });
  }

  #refuseSave({ inode: id, generation }: Commands["save"][0]): Refusal | undefined {
    const core = this.#core;
    // Law 7: content may be suspect now; the saved version that there is stays.
    if (core.readOnlyReason !== undefined) return "open";
    const inode = core.inodes.get(id);
    const origin = this.#snapshots.originOf(id);
    if (inode !== undefined && origin !== undefined) return this.#refuseSnapshot(inode, origin);
    if (inode === undefined || !isRegular(inode) || inode.nlink === 0) return "gone";
    if (inode.generation !== generation || inode.deadFrom !== undefined) return "changed";
    const file = core.files.peek(id);
    if (file !== undefined && file.writers > 0) return "open";
    core.unseen.settle(id);
    if (core.unseen.has(id)) return "open";
    if (inode.generation !== generation) return "changed";
    if (inode.local > 0) return "unstaged";
    return undefined;
  }

  /** Nobody changes a snapshot; but its file may be gone by now, or saved in a newer state. */
  #refuseSnapshot(shadow: Inode, origin: number): Refusal | undefined {
    const core = this.#core;
    const nlink = core.inodes.get(origin)?.nlink ?? 0;
    if (nlink === 0 || (core.versions.savedAt(origin) ?? -1) >= shadow.generation) return "gone";
    return shadow.local > 0 ? "unstaged" : undefined;
  }
}
