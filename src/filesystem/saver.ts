/**
 * The engine's requests about uploads: which files wait, which of their chunks are local only, and
 * making a version of those that are bound to confirmed bytes (save; stager.ts binds them). Law 2. Every answer is
 * re-checked against what has happened since the engine asked.
 */
import type { Core } from "./core.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Commands, DirtyFile, Refusal } from "./protocol.ts";
import { type Reaper, SLICE_ROWS } from "./reaper.ts";
import type { VersionHead } from "../metadata/version_table.ts";
import type { Snapshots } from "./snapshots.ts";
import { Stager } from "./stager.ts";

/** A chunk of an open file that was written this recently is not offered for upload, milliseconds. */
const HOT_CHUNK_MS = 500;
/** Files that are saved in one transaction, between requests: half a millisecond. */
const SAVES_AT_ONCE = 16;
/** A nameless open file is worth uploading only when it is in the way. */
const ORPHAN_BYTES = 64 * 1024 * 1024;

type FileToSave = Commands["save"][0]["files"][number];

export class Saver {
  readonly #core: Core;
  readonly #reaper: Reaper;
  readonly #snapshots: Snapshots;
  readonly stager: Stager;

  constructor(core: Core, parts: { reaper: Reaper; snapshots: Snapshots }) {
    this.#core = core;
    this.#reaper = parts.reaper;
    this.#snapshots = parts.snapshots;
    this.stager = new Stager(core, { reaper: parts.reaper });
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

  /**
   * Answers through `done`, one for each, now or after the slices that many files, or a large one, need.
   * Each slice looks at its files itself.
   */
  save({ files }: Commands["save"][0], done: (results: (true | Refusal)[]) => void): void {
    const results: (true | Refusal)[] = [];
    const small = [...files.keys()];
    /** A snapshot counts only while its file has no newer version, which the same question may make. */
    const last: number[] = [];
    let unanswered = files.length;
    const answer = (at: number, result: true | Refusal) => {
      results[at] = result;
      if (--unanswered === 0) done(results);
    };
    const slice = (): boolean => {
      const some = small.slice(0, SAVES_AT_ONCE);
      const outcomes = this.#saveSmall(some.map((at) => files[at]));
      // Only now: a full disk may have undone the slice, which is done again then.
      small.splice(0, some.length);
      some.forEach((at, i) => {
        const outcome = outcomes[i];
        if (outcome === undefined) last.push(at);
        else answer(at, outcome);
      });
      if (small.length === 0 && last.length > 0) {
        this.#saveOne(files[last[0]], answer.bind(undefined, last[0]));
        last.shift();
      }
      return small.length + last.length > 0;
    };
    if (files.length === 0) done(results);
    else if (slice()) this.#reaper.add(slice);
  }

  /** Saves those that one transaction can, and says what came of each; undefined: to be saved by itself. */
  #saveSmall(files: FileToSave[]): (true | Refusal | undefined)[] {
    const together = new Set<Inode>();
    const outcomes = files.map((file) => {
      let outcome: Refusal | true | undefined;
      const inode = this.#savable(file, (refusal) => outcome = refusal);
      if (inode === undefined) return outcome;
      if (!this.#isSmall(inode) || this.#snapshots.originOf(inode.id) !== undefined) {
        return undefined;
      }
      together.add(inode);
      return true;
    });
    this.#saveTogether([...together]);
    return outcomes;
  }

  #isSmall(inode: Inode): boolean {
    return Math.ceil(inode.size / this.#core.chunkSize) <= SLICE_ROWS;
  }

  /** What may be saved now, with its rows written down; undefined: `refuse` was told why not. */
  #savable(
    file: FileToSave,
    refuse: (refusal: Refusal) => void,
  ): Inode | undefined {
    const core = this.#core;
    const refusal = this.#refuseSave(file);
    if (refusal !== undefined) {
      refuse(refusal);
      return undefined;
    }
    const open = core.files.peek(file.inode);
    if (open !== undefined) core.flush(open);
    return core.inodes.get(file.inode)!;
  }

  /** Files of few chunks. Nothing happens between the look at their generations and this. */
  #saveTogether(inodes: Inode[]): void {
    const core = this.#core;
    if (inodes.length === 0) return;
    core.database.transaction(() => {
      this.#count();
      for (const inode of inodes) {
        core.versions.save(this.#head(inode), inode.id);
        this.#saved(inode);
      }
    });
  }

  #saveOne(argument: FileToSave, done: (result: true | Refusal) => void): void {
    const core = this.#core;
    const inode = this.#savable(argument, done);
    if (inode === undefined) return;
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
    return this.#core.versions.begin(this.#head(inode));
  }

  #head(inode: Inode): VersionHead {
    return {
      ...inode,
      inode: this.#snapshots.originOf(inode.id) ?? inode.id,
      savedMs: Math.floor(this.#core.clock.wallMs()),
    };
  }

  #publish(inode: Inode, version: number): void {
    const core = this.#core;
    this.#count();
    core.versions.publish(version, {
      inode: this.#snapshots.originOf(inode.id) ?? inode.id,
      nowMs: Math.floor(core.clock.wallMs()),
    });
    this.#saved(inode);
  }

  #count(): void {
    this.#core.database.statement("UPDATE total SET sequence = sequence + 1").run();
  }

  /** In the transaction that makes the version. */
  #saved(inode: Inode): void {
    const core = this.#core;
    const origin = this.#snapshots.originOf(inode.id);
    const id = origin ?? inode.id;
    // Of a file that goes on changing the version says only what it was.
    if (origin === undefined) {
      inode.dirty = false;
      core.inodes.writeContent(inode);
    }
    core.usage.touch(id);
    const atMs = core.clock.wallMs();
    core.journal.note({ inode: id, atMs, what: "saved", who: "", bytes: inode.allocated });
  }

  #refuseSave({ inode: id, generation }: FileToSave): Refusal | undefined {
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
