/**
 * Binds chunks to confirmed bytes (stage), and records the packs that hold them. Law 2. Every placement
 * is re-checked against what has happened since the engine asked.
 */
import type { MapRow } from "../metadata/map_table.ts";
import type { Core } from "./core.ts";
import type { Inode } from "./inode.ts";
import type { Commands, Placement, Refusal, StagedPack } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";

/** Placements in one transaction, between requests: a millisecond. */
const PLACEMENTS_AT_ONCE = 32;

/** A chunk of the pack that is being staged, with its plain bytes. */
interface StoredChunk {
  chunk: number;
  length: number;
}

/** One `stage`, and how far it has come. */
interface Staging {
  readonly argument: Commands["stage"][0];
  /** Where no pack came, none; before the first slice, undefined. */
  stored: StoredChunk[] | undefined;
  /** Of the placements so far. */
  readonly placed: (true | Refusal)[];
  readonly seen: Set<string>;
}

export class Stager {
  readonly #core: Core;
  readonly #reaper: Reaper;

  constructor(core: Core, { reaper }: { reaper: Reaper }) {
    this.#core = core;
    this.#reaper = reaper;
  }

  /**
   * Answers through `done`, now or after the slices that many placements need. A pack and the list of its
   * chunks are recorded with the first one.
   */
  stage(
    argument: Commands["stage"][0],
    done: (result: Commands["stage"][1]) => void,
  ): void {
    const staging: Staging = { argument, stored: undefined, placed: [], seen: new Set() };
    const slice = (): boolean => {
      this.#stageSome(staging);
      if (staging.placed.length < argument.placements.length) return true;
      done({ placed: staging.placed });
      return false;
    };
    if (slice()) this.#reaper.add(slice);
  }

  #stageSome(staging: Staging): void {
    const core = this.#core;
    const { argument, placed } = staging;
    const some = argument.placements.slice(placed.length, placed.length + PLACEMENTS_AT_ONCE);
    // Sums are written below: rows that they count must not be in memory only.
    for (const inode of new Set(some.map((placement) => placement.inode))) {
      const file = core.files.peek(inode);
      if (file !== undefined) core.flush(file);
    }
    const applied: (() => void)[] = [];
    const seen = new Set(staging.seen);
    const { stored, results } = core.database.transaction(() => {
      core.database.statement("UPDATE total SET sequence = sequence + 1").run();
      const stored = staging.stored ?? this.#addPack(argument.pack);
      // Between slices a pack may have been condemned, or a chunk found lost.
      const usable = (chunk: StoredChunk) =>
        staging.stored === undefined ? chunk.length : core.chunks.usable(chunk.chunk);
      const results = some.map((placement): true | Refusal => {
        const place = `${placement.inode} ${placement.index}`;
        if (seen.has(place)) return "changed";
        seen.add(place);
        const outcome = this.#place(placement, (ordinal) => {
          const chunk = stored[ordinal];
          return chunk && usable(chunk) === chunk.length ? chunk : undefined;
        });
        if (typeof outcome === "string") return outcome;
        applied.push(outcome);
        return true;
      });
      if (argument.pack !== undefined && staging.stored === undefined) {
        core.chunks.stampUnreferenced(argument.pack.name);
      }
      return { stored, results };
    });
    // Only now: a full disk may have undone the slice, which is done again then.
    staging.stored = stored;
    placed.push(...results);
    for (const place of seen) staging.seen.add(place);
    for (const apply of applied) apply();
  }

  #addPack(pack: StagedPack | undefined): StoredChunk[] {
    const core = this.#core;
    if (pack === undefined) return [];
    const ids = core.chunks.addPack(pack, Math.floor(core.clock.wallMs()));
    return pack.chunks.map(({ length }, ordinal) => ({ chunk: ids[ordinal], length }));
  }

  /** In transaction. Why not, or what to do once the transaction is committed. */
  #place(
    placement: Placement,
    stored: (ordinal: number) => StoredChunk | undefined,
  ): Refusal | (() => void) {
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
    const chunk = this.#chunk(placement, stored);
    if (chunk === undefined) return "unverified";
    const next: MapRow = { ...row, chunk };
    core.maps.put(inode.id, next);
    inode.local -= charge;
    core.inodes.writeContent(inode);
    return () => file?.putStored(index, next);
  }

  #chunk(
    { source, length }: Placement,
    stored: (ordinal: number) => StoredChunk | undefined,
  ): number | undefined {
    const found = source.kind === "pack"
      ? stored(source.ordinal)
      : source.kind === "chunk"
      ? { chunk: source.chunk, length: this.#core.chunks.usable(source.chunk) }
      : undefined;
    return found?.length === length ? found.chunk : undefined;
  }

  #becameHole(inode: Inode, index: number, charge: number): void {
    const core = this.#core;
    core.space.resident -= charge;
    const file = core.files.acquire(inode);
    file.putStored(index, null);
    this.#reaper.punchLater(file, index);
    core.files.dropIfIdle(file);
  }
}
