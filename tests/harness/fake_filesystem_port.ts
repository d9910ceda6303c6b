/**
 * A filesystem isolate in memory, for tests of the engine. Keeps the rules that the real one keeps
 * (generations are re-checked, nothing local-only or unverified leaves, nothing is saved under a
 * writer) and throws where the engine asks for something that would lose data. Everything crosses
 * by structured clone, with transfer, as between isolates.
 *
 * Faults: `before(command, action)` runs before a command is carried out, and may throw.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { FilesystemPort } from "../../src/filesystem/port.ts";
import type {
  Commands,
  Eviction,
  Placement,
  Refusal,
  SnapshotRefusal,
} from "../../src/filesystem/protocol.ts";
import type { FactsRow } from "../../src/metadata/facts_table.ts";
import { UsageClass } from "../../src/metadata/schema.ts";
import { chunkId } from "../../src/format/codec.ts";
import { hex } from "../../src/runtime/random.ts";
import {
  charge,
  type FakeFile,
  FakeFilesystemState,
  type FakePack,
  localBytes,
  residentBytes,
} from "./fake_filesystem_state.ts";

type Handlers = { [K in keyof Commands]?: (argument: Commands[K][0]) => Commands[K][1] };

export class FakeFilesystemPort extends FakeFilesystemState implements FilesystemPort {
  readonly calls: { command: keyof Commands; argument: unknown }[] = [];
  readonly installed: Commands["install"][0][] = [];
  /** Why no snapshots are taken; undefined: they are. */
  refuseSnapshots: SnapshotRefusal | undefined;
  readonly failures: Commands["recallFailed"][0][] = [];
  readonly #before = new Map<string, (argument: unknown) => void | Promise<void>>();
  /** Row of the last chunk with this hash. */
  readonly #rows = new Map<string, number>();

  /** Runs before a command is carried out; what it throws is the command's answer. */
  before<K extends keyof Commands>(
    command: K,
    action: (argument: Commands[K][0]) => void | Promise<void>,
  ): void {
    this.#before.set(command, action as (argument: unknown) => void | Promise<void>);
  }

  countOf(command: keyof Commands): number {
    return this.calls.filter((call) => call.command === command).length;
  }

  async call<K extends keyof Commands>(
    command: K,
    argument: Commands[K][0],
    transfer: Transferable[] = [],
  ): Promise<Commands[K][1]> {
    const received = structuredClone(argument, { transfer });
    this.calls.push({ command, argument: received });
    await Promise.resolve();
    await this.#before.get(command)?.(received);
    const handler = this.#handlers[command] as
      | ((argument: Commands[K][0]) => Commands[K][1])
      | undefined;
    assert.ok(handler !== undefined, `the fake does not know ${command}`);
    return structuredClone(handler(received));
  }

  #save({ inode, generation }: { inode: number; generation: number }): true | Refusal {
    const shadow = this.shadows.get(inode);
    const file = this.files.get(shadow === undefined ? inode : -inode);
    if (file === undefined) return "gone";
    if (shadow !== undefined) {
      assert.equal(generation, shadow.generation);
      if (localBytes(shadow) > 0) return "unstaged";
      file.saved = generation;
      return true;
    }
    if (file.generation !== generation) return "changed";
    if (file.writers > 0) return "open";
    if (localBytes(file) > 0) return "unstaged";
    if (file.dirty) this.dirty--;
    file.dirty = false;
    file.saved = generation;
    return true;
  }

  readonly #handlers: Handlers = {
    dirtyFiles: ({ changedBefore, limit, after, future = false }) =>
      [...this.files.values()]
        .filter((file) => file.dirty && !file.kept && file.changedMs <= changedBefore)
        .filter((file) => !future || file.changedMs > this.clock.wallMs())
        .filter((file) =>
          after === undefined || file.changedMs > after.changedMs ||
          (file.changedMs === after.changedMs && file.inode > after.inode)
        )
        .sort((a, b) => a.changedMs - b.changedMs || a.inode - b.inode)
        .slice(0, limit)
        .map((file) => ({
          inode: file.inode,
          generation: file.generation,
          size: file.size,
          changedMs: file.changedMs,
          writers: file.writers,
          localBytes: localBytes(file),
        })),

    dirtyChunks: ({ inode, from, limit }) => {
      const file = this.shadows.get(inode) ?? this.files.get(inode);
      if (file === undefined || !file.dirty) return undefined;
      const chunks = [...file.chunks]
        .filter(([index, chunk]) => index >= from && chunk.chunk === undefined)
        .sort(([a], [b]) => a - b)
        .slice(0, limit)
        .map(([index, { length, generation }]) => ({ index, length, generation }));
      const { generation, writers, size } = file;
      return { generation, writers, size, path: `content/${inode}`, chunks };
    },

    matchChunks: ({ hashes }) => hashes.map((hash) => this.#rows.get(hex(hash))),

    stage: ({ pack, placements }) => {
      assert.ok(placements.length <= 1000, "one transaction binds at most 1,000 chunks");
      let first = 0;
      if (pack !== undefined) {
        const { name, versionId, bytes, verified } = pack;
        this.packs.push({ name, versionId, bytes, verified });
        first = this.locations.length + 1;
        pack.chunks.forEach((chunk, ordinal) => {
          this.#rows.set(hex(chunk.hash), first + ordinal);
          this.locations.push({
            ...chunk,
            chunk: first + ordinal,
            pack: name,
            packVersion: versionId,
            ordinal,
          });
        });
      }
      return { placed: placements.map((placement) => this.#place(placement, first)) };
    },

    snapshot: ({ inode }) => {
      const file = this.files.get(inode);
      if (file === undefined || !file.dirty) return "gone";
      if (this.refuseSnapshots !== undefined) return this.refuseSnapshots;
      const shadow = -inode;
      assert.ok(!this.shadows.has(shadow), "a second snapshot of a file");
      // Not among the files: no list names it.
      this.shadows.set(shadow, { ...structuredClone(file), inode: shadow, writers: 0 });
      return { shadow };
    },

    endSnapshot: ({ shadow }) => {
      assert.ok(this.shadows.delete(shadow), "a snapshot is ended twice");
    },

    save: ({ files }) => files.map((file) => this.#save(file)),

    unverifiedPacks: ({ inodes }) => {
      const found = new Map<number, FakePack>();
      for (const inode of inodes) {
        for (const { chunk } of this.files.get(inode)?.chunks.values() ?? []) {
          if (chunk === undefined) continue;
          const pack = this.packOf(chunk);
          if (!pack.verified) found.set(this.packs.indexOf(pack) + 1, pack);
        }
      }
      return [...found].map(([pack, { name, versionId, bytes }]) => ({
        pack,
        name,
        versionId,
        bytes,
      }));
    },

    verified: ({ packs }) => {
      for (const pack of packs) this.packs[pack - 1].verified = true;
    },

    unsorted: ({ limit, after }) => {
      const nowMs = after?.dueMs ?? this.clock.wallMs();
      const waiting = [...this.files.values()].filter((file) =>
        residentBytes(file) > 0 && file.inode > (after?.changed ?? 0) &&
        (file.sorted === undefined || file.sorted.looks !== looks(file) ||
          (file.sorted.wakeMs ?? Infinity) <= nowMs)
      );
      const facts = waiting.sort((a, b) => a.inode - b.inode).slice(0, limit).map(factsOf);
      const changed = facts.at(-1)?.inode;
      const next = { news: 0, dueMs: nowMs, changed, woken: { wakeMs: 0, inode: 0 } };
      return { facts, next: waiting.length > limit ? next : undefined };
    },

    sort: ({ files }) => {
      for (const { inode, stamp: _, ...sorted } of files) {
        const file = this.files.get(inode);
        if (file !== undefined) file.sorted = { ...sorted, looks: looks(file) };
      }
    },

    queue: ({ queue, limit, after }) => {
      const kind = {
        first: UsageClass.FIRST,
        ranked: UsageClass.RANKED,
        held: UsageClass.HELD,
      }[queue];
      const found = [...this.files.values()]
        .filter((file) => residentBytes(file) > 0 && file.sorted?.class === kind)
        .map((file) => ({ rank: file.sorted!.rank, inode: file.inode }))
        .filter((place) =>
          after === undefined || place.rank > after.rank ||
          (place.rank === after.rank && place.inode > after.inode)
        )
        .sort((a, b) => a.rank - b.rank || a.inode - b.inode);
      const page = found.slice(0, limit);
      return {
        files: page.map(({ inode }) => {
          const file = this.file(inode);
          const { settled, wakeMs = Infinity } = file.sorted!;
          const current = file.sorted!.looks === looks(file) && file.handles === 0;
          return settled === undefined || !current || wakeMs <= this.clock.wallMs()
            ? factsOf(file)
            : { inode, stamp: 0, epoch: 0, frees: residentBytes(file), settled };
        }),
        next: found.length > limit ? page.at(-1) : undefined,
      };
    },

    facts: ({ inodes }) =>
      inodes.map((inode) => {
        const file = this.files.get(inode);
        return file && factsOf(file);
      }),

    openFacts: () =>
      [...this.files.values()].filter((file) => file.handles > 0).map((file) => factsOf(file)),

    keep: ({ inodes }) => {
      for (const inode of inodes) {
        const file = this.files.get(inode);
        if (file !== undefined) file.kept = true;
      }
    },

    reclassify: () => {
      for (const file of this.files.values()) {
        file.sorted = undefined;
        file.kept = false;
      }
    },

    tally: () => {
      const tally = Object.values(UsageClass).map((kind) => ({ class: kind, files: 0, bytes: 0 }));
      for (const file of this.files.values()) {
        const bytes = residentBytes(file) - localBytes(file);
        if (residentBytes(file) === 0) continue;
        const mine = tally.find((each) => each.class === (file.sorted?.class ?? 0))!;
        mine.files++;
        mine.bytes += bytes;
      }
      return tally;
    },

    evict: ({ files, force }) => {
      assert.ok(files.length <= 256, "at most 256 files are evicted at a time");
      return files.map((file) => this.#evict(file, force === true));
    },

    spill: ({ bytes, inodes }) => {
      let freed = 0;
      for (const file of this.files.values()) {
        if (file.handles === 0 || inodes?.includes(file.inode) === false) continue;
        for (const chunk of file.chunks.values()) {
          if (freed >= bytes) return freed;
          if (!chunk.resident || chunk.chunk === undefined) continue;
          if (!this.packOf(chunk.chunk).verified) continue;
          chunk.resident = false;
          chunk.bytes = undefined;
          freed += charge(chunk.length);
        }
      }
      return freed;
    },

    install: (argument) => {
      const chunk = this.files.get(argument.inode)?.chunks.get(argument.index);
      if (chunk === undefined || chunk.chunk !== argument.chunk || chunk.resident) return false;
      const location = this.locations[argument.chunk - 1];
      assert.ok(
        Buffer.from(chunkId(argument.bytes)).equals(location.hash),
        "wrong bytes were about to enter a content file",
      );
      this.installed.push(argument);
      chunk.bytes = argument.bytes;
      chunk.resident = true;
      return true;
    },

    recallFailed: (argument) => void this.failures.push(argument),

    space: () => ({
      ...this.marks,
      used: this.used,
      reserved: this.reserved,
      local: [...this.files.values()].reduce((sum, file) => sum + localBytes(file), 0),
      allocated: 0,
      diskFree: 1e12,
      waiting: this.waiting,
    }),

    statistics: () => ({
      files: this.files.size,
      dirtyFiles: this.dirty,
      keptFiles: [...this.files.values()].filter((file) => file.kept).length,
      keptBytes: [...this.files.values()].filter((file) => file.kept)
        .reduce((sum, file) => sum + localBytes(file), 0),
      openHandles: 0,
      lentFiles: 0,
      openBytes: 0,
      pinnedBytes: [...this.files.values()].filter((file) => file.pinned)
        .reduce((sum, file) => sum + residentBytes(file), 0),
      parked: 0,
      waiting: [],
      space: this.#handlers.space!({}),
      readOnly: undefined,
      lostChunks: 0,
      served: 0,
      defects: 0,
    }),

    residency: ({ inode }) => {
      const file = this.files.get(inode);
      if (file === undefined) return undefined;
      const { generation, size, dirty, pinned, handles, writers, changedMs, lastUsedMs } = file;
      return {
        inode,
        generation,
        type: 0o100000,
        size,
        allocatedBytes: size,
        residentBytes: residentBytes(file),
        localBytes: localBytes(file),
        dirty,
        pinned,
        kept: file.kept,
        openHandles: handles,
        lentFiles: 0,
        writers,
        changedMs,
        lastUsedMs,
      };
    },
  };

  #place(placement: Placement, firstOfPack: number): true | Refusal {
    const file = this.shadows.get(placement.inode) ?? this.files.get(placement.inode);
    if (file === undefined) return "gone";
    const chunk = file.chunks.get(placement.index);
    if (chunk === undefined || chunk.generation !== placement.generation) return "changed";
    assert.equal(chunk.length, placement.length);
    if (placement.source.kind === "zero") {
      file.chunks.delete(placement.index);
      return true;
    }
    const row = placement.source.kind === "chunk"
      ? placement.source.chunk
      : firstOfPack + placement.source.ordinal;
    const location = this.locations[row - 1];
    if (chunk.bytes !== undefined) {
      assert.ok(
        Buffer.from(chunkId(chunk.bytes)).equals(location.hash),
        "a chunk was about to be bound to other bytes",
      );
    }
    chunk.chunk = row;
    return true;
  }

  #evict({ inode, generation, keepHead = 0 }: Eviction, force: boolean): number | Refusal {
    const file = this.files.get(inode);
    if (file === undefined) return "gone";
    if (generation === undefined) {
      if (file.sorted?.looks !== looks(file)) return "changed";
    } else if (file.generation !== generation) return "changed";
    if (file.handles > 0) return "open";
    if (file.pinned && !force) return "pinned";
    if (file.dirty || localBytes(file) > 0) return "dirty";
    const packs = [...file.chunks.values()].map(({ chunk }) => this.packOf(chunk!));
    if (packs.some((pack) => !pack.verified)) return "unverified";
    const before = residentBytes(file);
    for (const [index, chunk] of file.chunks) {
      if (index < Math.ceil(keepHead / this.chunkSize)) continue;
      chunk.resident = false;
      chunk.bytes = undefined;
    }
    return before - residentBytes(file);
  }
}

/** What makes a file unsorted again when it changes. */
const looks = (file: FakeFile) =>
  [file.generation, file.dirty, file.pinned, file.path, file.lastUsedMs, residentBytes(file)]
    .join();

/** As FactsTable puts them together. */
function factsOf(file: FakeFile): FactsRow {
  const { inode, generation, size, lastUsedMs, changedMs } = file;
  const charges = [...file.chunks.values()].map((chunk) => charge(chunk.length));
  return {
    inode,
    generation,
    stamp: 0,
    epoch: 0,
    kept: file.kept,
    paths: [file.path],
    size,
    allocated: charges.reduce((sum, bytes) => sum + bytes, 0),
    resident: residentBytes(file),
    local: localBytes(file),
    dirty: file.dirty,
    open: file.handles > 0,
    writing: file.writers > 0,
    confirmed: true,
    ...(file.pinned ? { pin: {} } : {}),
    createdMs: Math.min(lastUsedMs, changedMs),
    residentSinceMs: Math.min(lastUsedMs, changedMs),
    lastUsedMs,
    changedMs,
    heat: 1,
    heatAtMs: lastUsedMs,
    uid: 0,
    gid: 0,
    links: 1,
  };
}
