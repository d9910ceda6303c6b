/**
 * Brings one built pack into the bucket and has it recorded (law 2). A pack is staged only when its
 * PUT was confirmed, or when its answer was lost and a HEAD finds the whole object; everything else
 * fails its chunks, which stay local and go up again under another name.
 */
import type { StagedPack } from "../filesystem/protocol.ts";
import { packKey } from "../format/keys.ts";
import type { PackEntry } from "../format/pack_layout.ts";
import { StoreError } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import { describe, type Tiering } from "./context.ts";
import { placementOf, type PlaceOutcome, type Target } from "./placing.ts";
import { ENGINE_LIMITS } from "./settings.ts";
import type { StoreTrouble } from "./store_trouble.ts";

/** A pack whose bytes are complete. */
export interface BuiltPack {
  name: Uint8Array;
  body: Uint8Array;
  entries: PackEntry[];
  targets: { target: Target; ordinal: number }[];
}

export interface PackUploads {
  puts: number;
  heads: number;
  packs: number;
  bytes: number;
}

export class PackUploader {
  readonly #tiering: Tiering;
  readonly #trouble: StoreTrouble;
  readonly counts: PackUploads = { puts: 0, heads: 0, packs: 0, bytes: 0 };

  constructor(tiering: Tiering, trouble: StoreTrouble) {
    this.#tiering = tiering;
    this.#trouble = trouble;
  }

  /** Never rejects: every target is settled, or was abandoned. True when the pack was recorded. */
  async upload(pack: BuiltPack): Promise<boolean> {
    try {
      const staged = await this.#confirm(pack);
      await this.#stage(staged, pack);
      this.counts.packs++;
      this.counts.bytes += pack.body.length;
      return true;
    } catch (error) {
      const expected = error instanceof StoreError;
      if (!this.#tiering.signal.aborted) {
        this.#tiering.log(
          expected ? "warn" : "error",
          "a pack was not stored; it will be rebuilt",
          {
            pack: hex(pack.name),
            error: describe(error),
          },
        );
      }
      for (const { target } of pack.targets) target.settle(expected ? "store" : "unstaged");
      return false;
    }
  }

  /** PUT and HEAD. Rejects unless the store holds exactly this object. */
  async #confirm(pack: BuiltPack): Promise<StagedPack> {
    const key = packKey(pack.name);
    const length = pack.body.length;
    const { versionId, verified } = await this.#trouble.run(async () => {
      const versionId = await this.#put(key, pack.body);
      return { versionId, verified: await this.#verify(key, { versionId, length }) };
    }, this.#tiering.signal);
    return {
      name: pack.name,
      versionId,
      bytes: length,
      verified,
      chunks: pack.entries.map(({ hash, offset, stored, length, codec }) => ({
        hash,
        offset,
        stored,
        length,
        codec,
      })),
    };
  }

  async #put(key: string, body: Uint8Array): Promise<string> {
    const { store, signal } = this.#tiering;
    this.counts.puts++;
    try {
      return (await store.put(key, body, { signal })).versionId;
    } catch (error) {
      if (!(error instanceof StoreError) || !error.retryable) throw error;
      // The answer was lost; the object may be there all the same. Its name was never used before,
      // and a store shows only whole objects, so one of the right length is ours.
      const found = await this.#look(key);
      if (found === undefined || found.length !== body.length) throw error;
      return found.versionId;
    }
  }

  async #look(key: string): Promise<{ versionId: string; length: number } | undefined> {
    const { store, signal } = this.#tiering;
    this.counts.heads++;
    try {
      return await store.head(key, { signal });
    } catch (error) {
      if (error instanceof StoreError) return undefined;
      throw error;
    }
  }

  /**
   * One HEAD by version id. True: the length is right. False: the store could not be asked, so it
   * must be asked before anything relies on this pack. Throws when the object is not what was put.
   */
  async #verify(key: string, object: { versionId: string; length: number }): Promise<boolean> {
    const { store, signal } = this.#tiering;
    this.counts.heads++;
    let found: string;
    try {
      const { length } = await store.head(key, { versionId: object.versionId, signal });
      if (length === object.length) return true;
      found = `${length} bytes`;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.kind !== "missing") return false;
      found = "nothing";
    }
    throw new StoreError(
      "corrupt",
      `${key} was put with ${object.length} bytes, and then the store shows ${found}`,
    );
  }

  async #stage(staged: StagedPack, pack: BuiltPack): Promise<void> {
    const { filesystem } = this.#tiering;
    const size = ENGINE_LIMITS.STAGE_PLACEMENTS;
    const first = pack.targets.slice(0, size);
    const { placed } = await filesystem.call("stage", {
      pack: staged,
      placements: first.map(({ target, ordinal }) =>
        placementOf(target, { kind: "pack", ordinal })
      ),
    });
    first.forEach(({ target }, i) => target.settle(placed[i]));
    // Targets that joined while the pack was being recorded, and those beyond one transaction. More may
    // join while these are bound: so it goes on behind those that were taken, however few they were.
    for (let at = first.length; at < pack.targets.length;) {
      const rest = pack.targets.slice(at, at + size);
      at += rest.length;
      await this.#stageMore(pack, rest);
    }
  }

  /** Binds further targets to chunks of a pack that is recorded by now: by row id. */
  async #stageMore(pack: BuiltPack, rest: BuiltPack["targets"]): Promise<void> {
    const { filesystem } = this.#tiering;
    const chunks = await filesystem.call("matchChunks", {
      hashes: rest.map(({ ordinal }) => pack.entries[ordinal].hash),
    });
    const known = rest.map(({ target }, i) => ({ target, chunk: chunks[i] }))
      .filter((each): each is { target: Target; chunk: number } => each.chunk !== undefined);
    const { placed } = await filesystem.call("stage", {
      placements: known.map(({ target, chunk }) => placementOf(target, { kind: "chunk", chunk })),
    });
    const outcomes = new Map<Target, PlaceOutcome>(
      known.map(({ target }, i) => [target, placed[i]]),
    );
    for (const { target } of rest) target.settle(outcomes.get(target) ?? "unstaged");
  }
}
