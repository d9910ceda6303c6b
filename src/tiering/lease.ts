/**
 * One writer per bucket prefix, without conditional writes (docs/FORMAT.md, "Lease claims"). A claim
 * is an immutable object and holds until it is given back or somebody takes over. Of two that claim
 * at the same time both may lose; never do both win.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { formatDuration } from "../domain/units.ts";
import { FormatError } from "../format/format_error.ts";
import { epochText, LEASE_PREFIX } from "../format/keys.ts";
import {
  claimKey,
  type ClaimName,
  decodeClaim,
  encodeClaim,
  type LeaseClaim,
  parseClaimKey,
} from "../format/lease_claim.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { hex, type Random } from "../runtime/random.ts";
import { ENGINE_LIMITS } from "./settings.ts";

export interface LeaseOptions {
  store: ObjectStore;
  clock: Clock;
  random: Random;
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  machine: string;
  user: string;
  /** Claim although somebody else holds. */
  takeOver?: boolean;
  /** Hash of the last metadata object that this claimant knows, 64 hexadecimal digits. */
  base?: string;
  /**
   * Claims that this cache has made and not seen given back: what `remember` was last called with.
   * An unreleased one of these is ours, left by a crash.
   */
  previous?: readonly ClaimName[];
  /** Called before a claim is sent; must be durable when it resolves. */
  remember?: (claims: ClaimName[]) => void | Promise<void>;
  signal?: AbortSignal;
}

export interface Lease {
  readonly epoch: number;
  readonly mountId: string;
  /** The claim that was taken over, if any. */
  readonly tookOver: LeaseClaim | undefined;
  /**
   * Resolves when the claim has stood alone for 5 seconds (at once where the store lists at once): from then on this mount may write.
   * Rejects with UserError (refused) when another mount claimed at the same time.
   */
  readonly settled: Promise<void>;
  /**
   * Before anything that only the holder may do: looks at the claims if the last look is over 60 s
   * old. Rejects with UserError (refused) when somebody has taken over, StoreError when it cannot
   * be known.
   */
  check(signal?: AbortSignal): Promise<void>;
  /**
   * The same before anything is deleted. A look counts for no longer than whoever takes over waits
   * before he relies on what is in the bucket: what was seen to be ours is still nobody else's then.
   */
  checkToDelete(signal?: AbortSignal): Promise<void>;
  /** Gives the claim back; then others may claim without taking over. */
  release(signal?: AbortSignal): Promise<void>;
}

interface SeenClaim extends ClaimName {
  released: boolean;
  /** The store's clock, milliseconds. */
  modifiedMs: number;
}

/**
 * Claims the prefix. Rejects with UserError (refused) when another mount holds it, and with
 * StoreError when that cannot be known. `settled` of the answer is still under way.
 */
export async function acquireLease(options: LeaseOptions): Promise<Lease> {
  const { store, clock, random, previous = [], signal } = options;
  const seen = await claims(store, { signal });
  const highest = seen.reduce((epoch, claim) => Math.max(epoch, claim.epoch), 0);
  const holder = seen.find((claim) =>
    claim.epoch === highest && !claim.released && !previous.some((own) => same(own, claim))
  );
  let tookOver: LeaseClaim | undefined;
  if (holder !== undefined) {
    tookOver = await readClaim(store, { name: holder, signal });
    if (!options.takeOver) throw heldByOther(store, { holder, claim: tookOver, clock });
  }
  const claim: LeaseClaim = {
    epoch: highest + 1,
    mountId: hex(random.bytes(16)),
    fileSystem: options.fileSystem,
    machine: options.machine,
    user: options.user,
    since: new Date(clock.wallMs()).toISOString(),
    ...(options.base === undefined ? {} : { base: options.base }),
  };
  // Remembered first: a crash between the two must not leave a claim that nobody knows as his. One
  // whose answer was lost may still turn up, so it is not forgotten before it is out of date.
  const own = previous.filter((name) =>
    name.epoch >= highest && !seen.some((other) => same(name, other) && other.released)
  );
  await options.remember?.([...own, { epoch: claim.epoch, mountId: claim.mountId }]);
  await store.put(claimKey(claim), encodeClaim(claim), { signal });
  return new HeldLease(claim, { ...options, previous: own, tookOver });
}

class HeldLease implements Lease {
  readonly epoch: number;
  readonly mountId: string;
  readonly tookOver: LeaseClaim | undefined;
  readonly settled: Promise<void>;
  readonly #claim: LeaseClaim;
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #remember: LeaseOptions["remember"];
  readonly #previous: readonly ClaimName[];
  readonly #ending = new AbortController();
  #lastLookMs = -Infinity;
  #won = false;
  #lost: UserError | undefined;

  constructor(claim: LeaseClaim, options: LeaseOptions & { tookOver: LeaseClaim | undefined }) {
    this.#claim = claim;
    this.epoch = claim.epoch;
    this.mountId = claim.mountId;
    this.tookOver = options.tookOver;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#remember = options.remember;
    this.#previous = options.previous ?? [];
    this.settled = this.#settle();
    this.settled.catch(() => {}); // whoever may write awaits it
  }

  check(signal?: AbortSignal): Promise<void> {
    return this.#check(ENGINE_LIMITS.LEASE_LOOK_MS, signal);
  }

  checkToDelete(signal?: AbortSignal): Promise<void> {
    // Where listings show every put at once nobody waits who takes over.
    return this.#check(this.#store.listsAtOnce ? -1 : ENGINE_LIMITS.LEASE_WAIT_MS, signal);
  }

  /** A look that is no older than `enoughMs` is enough. */
  async #check(enoughMs: number, signal: AbortSignal | undefined): Promise<void> {
    await this.settled;
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#clock.monotonicMs() - this.#lastLookMs <= enoughMs) return;
    await this.#look(signal);
  }

  async release(signal?: AbortSignal): Promise<void> {
    this.#ending.abort(new DOMException("the lease is given back", "AbortError"));
    if (this.#lost !== undefined) return;
    await this.#giveBack(signal);
    await this.#remember?.([]);
  }

  async #settle(): Promise<void> {
    const { signal } = this.#ending;
    // Whoever lists after his own claim sees ours, or we see his: at once, or after a while.
    if (!this.#store.listsAtOnce) await sleep(this.#clock, ENGINE_LIMITS.LEASE_WAIT_MS, signal);
    for (let failures = 0;; failures++) {
      try {
        return await this.#look(signal);
      } catch (error) {
        if (error !== this.#lost) {
          // Not known is not lost. Nothing is written meanwhile; ask again.
          if (!(error instanceof StoreError)) throw error;
          const { STORE_RETRY_MS, STORE_DENIED_MS } = ENGINE_LIMITS;
          await sleep(
            this.#clock,
            Math.min(STORE_RETRY_MS * 2 ** failures, STORE_DENIED_MS),
            signal,
          );
          continue;
        }
        // Withdrawn, so that the other one's next try finds nobody. It may fail: then it holds.
        await this.#giveBack(signal).catch((reason) => {
          if (!(reason instanceof StoreError)) throw reason;
        });
        throw error;
      }
    }
  }

  /**
   * Throws UserError, and remembers it, when another claim of this epoch or a later one is there.
   * Once this claim has won, one of the same epoch is that of a slow claimant, who withdraws.
   */
  async #look(signal: AbortSignal | undefined): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    const startAfter = `${LEASE_PREFIX}${epochText(this.epoch)}`;
    const seen = await claims(this.#store, { signal, startAfter });
    const other = seen.find((claim) =>
      (this.#won ? claim.epoch > this.epoch : claim.epoch >= this.epoch) &&
      claim.mountId !== this.mountId &&
      !this.#previous.some((own) => same(own, claim))
    );
    if (other === undefined) {
      this.#won = true;
      this.#lastLookMs = startedMs;
      return;
    }
    const claim = await readClaim(this.#store, { name: other, signal }).catch((error) => {
      if (error instanceof StoreError) return undefined;
      throw error;
    });
    this.#lost ??= new UserError(
      `${this.#store.description} was claimed by ${who(other, claim)} while it was mounted here`,
      {
        hint: "nothing more is written to the bucket from here; unmount the other one first, " +
          "or mount again with --take-over",
        exitCode: ExitCode.refused,
      },
    );
    throw this.#lost;
  }

  async #giveBack(signal: AbortSignal | undefined): Promise<void> {
    const key = claimKey(this.#claim, { released: true });
    await this.#store.put(key, encodeClaim(this.#claim), { signal });
  }
}

/** All claims with a name after `startAfter`. An object that cannot be understood is no claim. */
async function claims(
  store: ObjectStore,
  options: { signal?: AbortSignal; startAfter?: string },
): Promise<SeenClaim[]> {
  const found = new Map<string, SeenClaim>();
  const released = new Set<string>();
  for await (const object of store.list(LEASE_PREFIX, options)) {
    const name = parseClaimKey(object.key);
    if (name === undefined) continue;
    const key = `${name.epoch}-${name.mountId}`;
    if (name.released) released.add(key);
    if (!name.released || !found.has(key)) {
      found.set(key, { ...name, modifiedMs: object.modifiedMs });
    }
  }
  return [...found].map(([key, claim]) => ({ ...claim, released: released.has(key) }));
}

/** What a claim says; undefined where its bytes cannot be used. Its name counts all the same. */
async function readClaim(
  store: ObjectStore,
  options: { name: ClaimName; signal?: AbortSignal },
): Promise<LeaseClaim | undefined> {
  try {
    return decodeClaim(await store.get(claimKey(options.name), { signal: options.signal }));
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    if (error instanceof StoreError && error.kind === "missing") return undefined;
    throw error;
  }
}

function heldByOther(
  store: ObjectStore,
  found: { holder: SeenClaim; claim: LeaseClaim | undefined; clock: Clock },
): UserError {
  const { holder, claim, clock } = found;
  const ageMs = Math.max(0, clock.wallMs() - holder.modifiedMs);
  return new UserError(
    `${store.description} is in use by ${who(holder, claim)} (${formatDuration(ageMs)} ago)`,
    {
      hint: "unmount it there; if that machine is gone for good, mount with --take-over: what it " +
        "has not uploaded stays there only, and it stops writing to the bucket",
      exitCode: ExitCode.refused,
    },
  );
}

function who(holder: SeenClaim, claim: LeaseClaim | undefined): string {
  const since = claim?.since ?? new Date(holder.modifiedMs).toISOString();
  const name = claim === undefined ? "an unknown mount" : `${claim.user}@${claim.machine}`;
  return `${name} since ${since}`;
}

function same(a: ClaimName, b: ClaimName): boolean {
  return a.epoch === b.epoch && a.mountId === b.mountId;
}
