/**
 * Fills packs with chunks and sends them off. Owns the chunks on their way up and their share of the
 * memory. A chunk that the bucket or a pack under way holds already is not added again. Small files
 * share packs; chunks of larger files have packs of their own, in file order, so that reading one
 * later is few ranged GETs.
 */
import { PackWriter } from "../format/pack_writer.ts";
import { release } from "../runtime/release.ts";
import { Budget, type Share } from "./budget.ts";
import { ChunkMatcher } from "./chunk_matcher.ts";
import type { EncodedChunk } from "./compute_port.ts";
import { describe, type Tiering } from "./context.ts";
import { LoosePlacements } from "./loose_placements.ts";
import type { BuiltPack, PackUploader } from "./pack_uploader.ts";
import type { Target } from "./placing.ts";

/** Which chunks go together. */
export type Lane = "small" | "large";

interface OpenPack {
  lane: Lane;
  writer: PackWriter;
  targets: BuiltPack["targets"];
  shares: Share[];
  /** Hashes, as keys. */
  keys: string[];
  /** Monotonic milliseconds by which it is closed. */
  dueMs: number;
  cancelTimer: () => void;
}

export class PackBuilder {
  readonly #tiering: Tiering;
  readonly #uploader: PackUploader;
  readonly #matcher: ChunkMatcher;
  readonly #loose: LoosePlacements;
  readonly #open = new Map<Lane, OpenPack>();
  /** Chunks of packs that are not recorded yet, by hash. */
  readonly #underWay = new Map<string, { pack: OpenPack; ordinal: number }>();
  readonly #slots: Budget;
  #uploading = 0;
  /** Told after each pack has been recorded or has failed. */
  onPackDone: (recorded: boolean) => void = () => {};

  constructor(tiering: Tiering, uploader: PackUploader) {
    this.#tiering = tiering;
    this.#uploader = uploader;
    this.#matcher = new ChunkMatcher(tiering.filesystem);
    this.#loose = new LoosePlacements(tiering);
    this.#slots = new Budget(tiering.settings.uploadParallel);
  }

  /** Packs that are closed and not yet recorded. */
  get uploading(): number {
    return this.#uploading;
  }

  /** When the open pack will be closed, monotonic milliseconds; undefined where none is open. */
  dueMs(lane: Lane): number | undefined {
    return this.#open.get(lane)?.dueMs;
  }

  configure(): void {
    this.#slots.resize(this.#tiering.settings.uploadParallel);
  }

  /** A chunk of zeros. */
  placeHole(target: Target): void {
    this.#loose.add(target, { kind: "zero" });
  }

  /** Whether the bucket holds this chunk; ask before `place`. */
  match(chunk: EncodedChunk): Promise<number | undefined> {
    if (this.#underWay.has(keyOf(chunk.hash))) return Promise.resolve(undefined);
    return this.#matcher.match(chunk.hash);
  }

  /** Binds `target` to the chunk, now or when its pack has arrived. Takes over `share` and its bytes. */
  place(target: Target, chunk: EncodedChunk, options: {
    matched: number | undefined;
    lane: Lane;
    share: Share;
  }): void {
    const { matched, lane, share } = options;
    if (matched !== undefined) {
      release(chunk.stored);
      share.release();
      this.#loose.add(target, { kind: "chunk", chunk: matched });
      return;
    }
    const known = this.#underWay.get(keyOf(chunk.hash));
    if (known !== undefined) {
      release(chunk.stored);
      share.release();
      known.pack.targets.push({ target, ordinal: known.ordinal });
      return;
    }
    share.shrink(chunk.stored.length);
    this.#append(target, chunk, { lane, share });
  }

  /** The memory is used up: where no pack is under way that will free some, sends off what there is. */
  closeIfStuck(): void {
    if (this.#uploading > 0) return;
    this.close("small");
    this.close("large");
  }

  /** Sends off what there is. */
  close(lane: Lane): void {
    const pack = this.#open.get(lane);
    if (pack !== undefined) this.#close(pack);
  }

  #append(target: Target, chunk: EncodedChunk, options: { lane: Lane; share: Share }): void {
    let pack = this.#open.get(options.lane);
    if (pack !== undefined && !pack.writer.hasRoom(chunk.stored.length)) {
      this.#close(pack);
      pack = undefined;
    }
    pack ??= this.#start(options.lane);
    const ordinal = pack.writer.add(chunk);
    release(chunk.stored);
    const key = keyOf(chunk.hash);
    pack.targets.push({ target, ordinal });
    pack.shares.push(options.share);
    pack.keys.push(key);
    this.#underWay.set(key, { pack, ordinal });
    if (pack.writer.full) this.#close(pack);
  }

  #start(lane: Lane): OpenPack {
    const { clock, random, settings, fileSystem, compute } = this.#tiering;
    const pack: OpenPack = {
      lane,
      writer: new PackWriter({
        fileSystem,
        pack: random.bytes(16),
        encrypted: compute.encrypted,
        limits: { bytes: settings.packBytes, chunks: settings.packChunks },
      }),
      targets: [],
      shares: [],
      keys: [],
      dueMs: clock.monotonicMs() + settings.packAgeMs,
      cancelTimer: clock.after(settings.packAgeMs, () => this.#closeOld()),
    };
    this.#open.set(lane, pack);
    return pack;
  }

  #close(pack: OpenPack): void {
    if (this.#open.get(pack.lane) !== pack) return;
    this.#open.delete(pack.lane);
    pack.cancelTimer();
    this.#uploading++;
    this.#send(pack).finally(() => {
      this.#uploading--;
      this.#closeOld();
    });
  }

  /**
   * Sends off packs that have waited long enough for more chunks, unless they would only wait on for
   * a slow uplink: then they may as well become full.
   */
  #closeOld(): void {
    const { clock, settings } = this.#tiering;
    const nowMs = clock.monotonicMs();
    for (const pack of [...this.#open.values()]) {
      if (pack.dueMs <= nowMs && this.#uploading < settings.uploadParallel) this.#close(pack);
    }
  }

  /** Never rejects. */
  async #send(pack: OpenPack): Promise<void> {
    let recorded = false;
    let slot: Share | undefined;
    try {
      slot = await this.#slots.acquire(1, this.#tiering.signal);
      // Nobody waits for anything in it: it would only be garbage.
      if (!pack.targets.every(({ target }) => target.abandoned)) {
        const { compute } = this.#tiering;
        const finished = pack.writer.finish();
        recorded = await this.#uploader.upload({
          name: pack.writer.pack,
          body: compute.encrypted ? await compute.seal(finished) : finished,
          entries: pack.writer.entries,
          targets: pack.targets,
        });
      }
    } catch (error) {
      if (!this.#tiering.signal.aborted) {
        this.#tiering.log("error", "a pack could not be built", { error: describe(error) });
      }
    } finally {
      slot?.release();
      for (const key of pack.keys) this.#underWay.delete(key);
      for (const share of pack.shares) share.release();
      for (const { target } of pack.targets) target.settle("store");
      this.onPackDone(recorded);
    }
  }
}

/** A hash as a Map key: one character per byte. */
function keyOf(hash: Uint8Array): string {
  return String.fromCharCode(...hash);
}
