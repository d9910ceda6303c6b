/**
 * Law: before the first eviction that relies on a pack, one HEAD by version id has found its full
 * length. Packs are verified when they are uploaded; this is for those where that could not be asked.
 */
import { packKey } from "../format/keys.ts";
import { StoreError } from "../object_store/object_store.ts";
import { SingleFlight } from "../runtime/single_flight.ts";
import { Budget } from "./budget.ts";
import { describe, type Tiering } from "./context.ts";
import { ENGINE_LIMITS } from "./settings.ts";

interface UnverifiedPack {
  pack: number;
  name: Uint8Array;
  versionId: string;
  bytes: number;
}

export class PackVerifier {
  readonly #tiering: Tiering;
  readonly #slots = new Budget(ENGINE_LIMITS.VERIFY_PARALLEL);
  readonly #flights = new SingleFlight<number, boolean>();
  /** Packs that failed, and when they may be asked for again, monotonic milliseconds. */
  readonly #notBeforeMs = new Map<number, number>();
  heads = 0;

  constructor(tiering: Tiering) {
    this.#tiering = tiering;
  }

  /** Verifies what evicting these inodes would rely on. What cannot be verified stays so; the log says why. */
  async verifyFor(inodes: number[], signal: AbortSignal): Promise<void> {
    const { filesystem } = this.#tiering;
    const packs = await filesystem.call("unverifiedPacks", { inodes });
    const due = packs.filter((pack) => this.#isDue(pack.pack));
    const answers = await Promise.all(due.map(async (pack) => ({
      pack: pack.pack,
      whole: await this.#flights.run(pack.pack, (own) => this.#isWhole(pack, own), signal),
    })));
    const whole = answers.filter((answer) => answer.whole).map((answer) => answer.pack);
    if (whole.length > 0) await filesystem.call("verified", { packs: whole });
  }

  #isDue(pack: number): boolean {
    const notBeforeMs = this.#notBeforeMs.get(pack);
    if (notBeforeMs === undefined) return true;
    if (this.#tiering.clock.monotonicMs() < notBeforeMs) return false;
    this.#notBeforeMs.delete(pack);
    return true;
  }

  #failed(pack: number, againMs: number): false {
    this.#notBeforeMs.set(pack, this.#tiering.clock.monotonicMs() + againMs);
    return false;
  }

  async #isWhole(pack: UnverifiedPack, signal: AbortSignal): Promise<boolean> {
    const { store, log } = this.#tiering;
    const key = packKey(pack.name);
    const slot = await this.#slots.acquire(1, signal);
    try {
      this.heads++;
      const { length } = await store.head(key, { versionId: pack.versionId, signal });
      if (length === pack.bytes) return true;
      log("error", "a pack in the bucket has another length than was stored", {
        pack: key,
        version: pack.versionId,
        stored: pack.bytes,
        found: length,
      });
      return this.#failed(pack.pack, ENGINE_LIMITS.VERIFY_WRONG_AGAIN_MS);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const missing = error.kind === "missing";
      log(
        missing ? "error" : "warn",
        "a pack could not be verified; nothing that relies on it is evicted",
        {
          pack: key,
          version: pack.versionId,
          error: describe(error),
        },
      );
      const { VERIFY_AGAIN_MS, VERIFY_WRONG_AGAIN_MS } = ENGINE_LIMITS;
      return this.#failed(pack.pack, missing ? VERIFY_WRONG_AGAIN_MS : VERIFY_AGAIN_MS);
    } finally {
      slot.release();
    }
  }
}
