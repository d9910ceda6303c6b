/**
 * A copy of a cache, taken as a crash would leave it, put back later over whatever the cache has become.
 * Owns the copy's directory. What must hold: an old copy is refused exactly where the bucket's metadata
 * has gone on without it, and then nothing in the bucket changes, however long it stays mounted.
 */
import assert from "node:assert/strict";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import { StoreError } from "../../src/object_store/object_store.ts";
import { planRecovery } from "../../src/tiering/recovery_plan.ts";
import { OldCopyError } from "../../src/tiering/metadata_head.ts";
import { ChangeLog } from "../../src/metadata/change_log.ts";
import { FILE_SYSTEM } from "./care_fixture.ts";
import type { FaultyStore } from "./faulty_store.ts";
import { copyOf, recoverFrom, ShippingFixture } from "./recovery_fixture.ts";

/** How a fixture begins, wherever its cache comes from. */
export type Beginning = Pick<
  NonNullable<ConstructorParameters<typeof ShippingFixture>[0]>,
  "snapshotBytes" | "packBytes"
>;

export class OldCopy {
  readonly #directory: string;
  /** The last metadata object that it knows of, and those that were under way. */
  readonly #head: string;
  readonly #intents: readonly string[];

  private constructor(zero: ShippingFixture, directory: string) {
    this.#directory = directory;
    const { head, intents } = new ChangeLog(zero.database).state();
    this.#head = head.hash;
    this.#intents = intents;
  }

  /** Copies the cache at this moment. */
  static take(zero: ShippingFixture): OldCopy {
    zero.core.flushAll();
    return new OldCopy(zero, copyOf(zero.cache));
  }

  /**
   * `zero` is gone for good; the copy is mounted in its place and takes over. Answers the mount that goes
   * on: that of the copy, or, where it is refused, that of a recovery, and then its directory.
   */
  async putBack(
    zero: ShippingFixture,
    options: { store: FaultyStore; beginning: Beginning },
  ): Promise<{ zero: ShippingFixture; recovered: string | undefined }> {
    const { store, beginning } = options;
    const { bucket, clock } = zero;
    await burn(zero, store);
    const begin = (cache: string) =>
      new ShippingFixture({
        ...beginning,
        bucket,
        clock,
        cache,
        takeOver: true,
        gated: true,
        wrap: () => store,
      });
    const { tip } = await planRecovery({ store: bucket, fileSystem: FILE_SYSTEM });
    const isCurrent = tip.hash === this.#head || this.#intents.includes(tip.hash);
    const before = await everything(bucket);
    const old = begin(this.#directory);
    try {
      const lease = await old.lease;
      await clock.until(lease.settled);
      assert(isCurrent, "an old copy was taken for the newest state");
      return { zero: old, recovered: undefined };
    } catch (error) {
      if (!(error instanceof OldCopyError)) throw error;
      assert(!isCurrent, error.message);
    }
    // Whoever mounts it all the same, as its owner may, harms nothing.
    await old.pass(600_000);
    await assert.rejects(old.collect());
    await old[Symbol.asyncDispose]();
    assert.deepEqual(await everything(bucket), before, "an old copy has changed the bucket");
    const { directory } = await recoverFrom(bucket, { clock });
    const next = begin(directory);
    await clock.until((await next.lease).settled);
    return { zero: next, recovered: directory };
  }
}

/** The machine is gone at this moment: nothing reaches the bucket from it any more. */
async function burn(zero: ShippingFixture, store: FaultyStore): Promise<void> {
  store.denied = true;
  const lease = await zero.lease;
  await assert.rejects(lease.release(), StoreError);
  await zero[Symbol.asyncDispose]();
  Object.assign(store, { denied: false, rate: 0, damage: false });
}

/** Every version of every object, in order. */
async function everything(bucket: MemoryObjectStore): Promise<string[]> {
  const all: string[] = [];
  for await (const { key, versionId, length } of bucket.listVersions("")) {
    all.push(`${key} ${versionId} ${length}`);
  }
  return all.sort();
}
