/**
 * The right to write to the bucket: the lease, taken at mount where the bucket answers, else as soon as
 * it does. Owns the lease and the claims file's use.
 */
import { UserError } from "../domain/errors.ts";
import type { Secrets } from "../format/secrets.ts";
import type { ShippingState } from "../metadata/change_log.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { acquireLease, type Lease } from "../tiering/lease.ts";
import { agreeOnHead, type HeadCheck, OldCopyError } from "../tiering/metadata_head.ts";
import type { WritingRight } from "../tiering/metadata_sender.ts";
import { ClaimsFile } from "./claims_file.ts";
import { LIMITS } from "./limits.ts";

/** The right to write, and to delete what nothing refers to. */
export interface HeldRight extends WritingRight {
  /** As `Lease`. */
  checkToDelete(signal?: AbortSignal): Promise<void>;
}

export interface WriteRightOptions {
  store: ObjectStore;
  clock: Clock;
  random: Random;
  fileSystem: string;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  takeOver: boolean;
  claims: ClaimsFile;
  machine: string;
  user: string;
  /** How far this cache's metadata in the bucket is. */
  shipping: ShippingState;
  log: { info: (message: string) => void; warn: (message: string) => void };
}

export class WriteRight {
  /** Resolves when this mount may write; rejects when it never may. */
  readonly granted: Promise<void>;
  /** The same, with what it is shown by. */
  readonly right: Promise<HeldRight>;
  readonly #options: WriteRightOptions;
  readonly #ending = new AbortController();
  readonly #settle: PromiseWithResolvers<HeldRight>;
  #lease: Lease | undefined;

  constructor(options: WriteRightOptions) {
    this.#options = options;
    this.#settle = Promise.withResolvers();
    this.right = this.#settle.promise;
    this.granted = this.right.then(() => {});
    this.granted.catch(() => {}); // the engine and the daemon both hear of it
  }

  /**
   * Takes the lease now. True when it was taken, false when the store cannot be asked. Throws UserError
   * (refused) where another mount holds it, and OldCopyError where this cache is an old copy.
   */
  async take(): Promise<boolean> {
    const { claims, log, store, fileSystem, secrets, shipping: state } = this.#options;
    const { signal } = this.#ending;
    let found: HeadCheck;
    try {
      found = await agreeOnHead({ store, fileSystem, secrets, state, signal });
      this.#lease = await acquireLease({
        ...this.#options,
        base: found.head.hash,
        previous: claims.read(),
        remember: (all) => claims.write(all),
        signal,
      });
    } catch (error) {
      if (error instanceof StoreError) return false;
      if (error instanceof OldCopyError) this.#settle.reject(error);
      throw error;
    }
    const { epoch, tookOver } = this.#lease;
    log.info(`claimed the bucket, epoch ${epoch}`);
    if (tookOver !== undefined) {
      log.warn(`took over from ${tookOver.user}@${tookOver.machine}, since ${tookOver.since}`);
    }
    const lease = this.#lease;
    const right: HeldRight = {
      epoch,
      check: (signal) => lease.check(signal),
      checkToDelete: (signal) => lease.checkToDelete(signal),
      found,
    };
    this.#settle.resolve(lease.settled.then(() => right));
    return true;
  }

  /** Who held the lease before, if it was taken over. */
  get tookOver(): string | undefined {
    const claim = this.#lease?.tookOver;
    return claim === undefined ? undefined : `${claim.user}@${claim.machine}`;
  }

  /** Goes on trying until the lease is taken, or never can be. Never rejects. */
  async takeLater(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#ending;
    try {
      for (let waitMs = LIMITS.OFFLINE_RETRY_MS as number;;) {
        await sleep(clock, waitMs, signal);
        if (await this.take()) return;
        waitMs = Math.min(2 * waitMs, LIMITS.OFFLINE_RETRY_CAP_MS);
      }
    } catch (error) {
      this.#settle.reject(
        signal.aborted ? new UserError("the mount has ended before the bucket answered") : error,
      );
    }
  }

  /** Gives the lease back. Rejects with StoreError where the store does not take it in time. */
  async release(): Promise<void> {
    this.#ending.abort(new DOMException("the mount ends", "AbortError"));
    await this.#lease?.release(AbortSignal.timeout(LIMITS.RELEASE_MS));
  }
}
