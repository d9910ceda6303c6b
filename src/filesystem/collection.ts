/**
 * The engine's requests about garbage (law 5). Everything is re-checked here: only what nothing refers
 * to is condemned, only what is condemned is forgotten. Deletes no object; that is the engine's part.
 */
import { Errno } from "../domain/errno.ts";
import { FsError, invariant } from "../domain/errors.ts";
import { CollectionTable } from "../metadata/collection_table.ts";
import type { CareCommands, PackRow } from "./care_protocol.ts";
import type { Core } from "./core.ts";
import type { ChunkLocation, StagedPack } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";

export class Collection {
  readonly #core: Core;
  readonly #reaper: Reaper;
  readonly #table: CollectionTable;

  constructor(core: Core, reaper: Reaper) {
    this.#core = core;
    this.#reaper = reaper;
    this.#table = new CollectionTable(core.database);
  }

  storeTime({ storeMs, agesMs }: CareCommands["storeTime"][0]): CareCommands["storeTime"][1] {
    const core = this.#core;
    core.requireWritable();
    return core.database.transaction(() => {
      this.#table.mark(storeMs);
      this.#table.forgetMarks(storeMs - Math.max(0, ...agesMs));
      const { sequence } = core.database.statement("SELECT sequence FROM total").get() as {
        sequence: number;
      };
      return { sequence, before: agesMs.map((age) => this.#table.stampedBefore(storeMs - age)) };
    });
  }

  expireTrash({ before, limit }: CareCommands["expireTrash"][0]): number {
    const core = this.#core;
    core.requireWritable();
    const expired = core.database.transaction(() => core.versions.expireTrash(before, limit));
    if (expired > 0) this.#reaper.sweepVersions();
    return expired;
  }

  packs({ after, limit }: CareCommands["packs"][0]): PackRow[] {
    return this.#table.packs({ after: after ?? new Uint8Array(0), limit });
  }

  /** Answers once the rows are durable: the object may be deleted then, whatever crashes. */
  condemn(
    { packs, before }: CareCommands["condemn"][0],
    done: (condemned: number[]) => void,
  ): void {
    const core = this.#core;
    core.requireWritable();
    const condemned = core.database.transaction(() =>
      packs.filter((pack) => this.#table.condemn(pack, before))
    );
    if (condemned.length === 0) return done([]);
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      if (errno !== 0) core.syncFailed(errno, "the metadata");
      done(errno === 0 ? condemned : []);
    });
  }

  forgetPacks({ packs }: CareCommands["forgetPacks"][0]): void {
    const core = this.#core;
    core.requireWritable();
    // A pack has up to a thousand chunks, which is as much as one transaction should do.
    for (const pack of packs) core.database.transaction(() => this.#table.forget(pack));
  }

  liveChunks({ pack }: CareCommands["liveChunks"][0]): ChunkLocation[] {
    return this.#table.liveChunks(pack).map((id) => {
      const chunk = this.#core.chunks.get(id);
      invariant(chunk !== undefined, () => `chunk ${id} has gone while it was looked at`);
      return chunk;
    });
  }

  relocate({ pack, chunks }: CareCommands["relocate"][0]): number {
    const core = this.#core;
    core.requireWritable();
    // What relies on the chunks may be evicted already: nothing less than verified will do.
    if (!pack.verified || chunks.length !== pack.chunks.length) throw new FsError(Errno.EINVAL);
    return core.database.transaction(() => {
      const to = this.#addEmpty(pack);
      let moved = 0;
      pack.chunks.forEach(({ hash, offset, stored, codec }, ordinal) => {
        const place = { pack: to, ordinal, offset, stored, codec };
        const { chunk, from } = chunks[ordinal];
        if (this.#table.move(chunk, { from, hash, to: place })) moved++;
      });
      core.chunks.stampUnreferenced(pack.name);
      return moved;
    });
  }

  /** A pack whose chunks are rows of another pack until they move. */
  #addEmpty(pack: StagedPack): number {
    const core = this.#core;
    core.database.statement("UPDATE total SET sequence = sequence + 1").run();
    core.chunks.addPack({ ...pack, chunks: [] }, Math.floor(core.clock.wallMs()));
    const added = this.#table.pack(pack.name);
    invariant(added !== undefined, "a pack that was just added is not there");
    return added.pack;
  }

  packVersions({ names }: CareCommands["packVersions"][0]): (string | undefined)[] {
    return names.map((name) => this.#table.pack(name)?.versionId);
  }

  markLost({ pack, chunks }: CareCommands["markLost"][0]): void {
    const core = this.#core;
    core.database.transaction(() => {
      for (const chunk of chunks) core.chunks.markLostIn(pack, chunk);
    });
  }
}
