/** Ships from a whole Zero into a bucket in memory, and recovers from that bucket alone. */
import assert from "node:assert/strict";
import type { Secrets } from "../../src/format/secrets.ts";
import type { MetadataDatabase } from "../../src/metadata/database.ts";
import { ChangeLog } from "../../src/metadata/change_log.ts";
import { IntegrityChecks, ROW_CHECKS } from "../../src/metadata/integrity_checks.ts";
import { type TreeEntry, TreeReader } from "../../src/metadata/tree_reader.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { acquireLease, type Lease } from "../../src/tiering/lease.ts";
import type { StoredVersion } from "../../src/tiering/bucket_survey.ts";
import type { ShippedHistory } from "../../src/tiering/collection_horizon.ts";
import { supersededMetadata } from "../../src/tiering/metadata_retirement.ts";
import { agreeOnHead } from "../../src/tiering/metadata_head.ts";
import type { WritingRight } from "../../src/tiering/metadata_sender.ts";
import { recoverMetadata, type RecoveryResult } from "../../src/tiering/recovery.ts";
import { planRecovery, type RecoveryPlan } from "../../src/tiering/recovery_plan.ts";
import { MetadataDatabase as Database } from "../../src/metadata/database.ts";
import { CareFixture, type CareOptions, CHUNK, FILE_SYSTEM } from "./care_fixture.ts";
import { SeededRandom } from "./seeded_random.ts";

let seeds = 100;
let base: string | undefined;

/** An empty directory that is gone when the test file has run, however its tests end. */
export function scratch(): string {
  if (base === undefined) {
    const made = base = Deno.makeTempDirSync({ prefix: "zero-recovered-" });
    globalThis.addEventListener("unload", () => Deno.removeSync(made, { recursive: true }));
  }
  return Deno.makeTempDirSync({ dir: base });
}

/** A copy of a cache as a crash at this moment would leave it; it goes like `scratch`. */
export function copyOf(cache: string): string {
  const copy = scratch();
  assert(new Deno.Command("cp", { args: ["-a", `${cache}/.`, copy] }).outputSync().success);
  return copy;
}

/** A mount that ships; the right to write is real. */
export class ShippingFixture extends CareFixture {
  readonly lease: Promise<Lease>;
  readonly secrets: Secrets | undefined;
  readonly #grant: PromiseWithResolvers<WritingRight>;

  /** `gated`: uploads, too, wait for the right to write, as in a mount. */
  constructor(
    options: CareOptions & { takeOver?: boolean; snapshotBytes?: number; gated?: boolean } = {},
  ) {
    const grant = Promise.withResolvers<WritingRight>();
    super({
      ...options,
      mayWrite: options.gated ? grant.promise.then(() => {}) : undefined,
      seed: options.seed ?? ++seeds,
      shipping: { right: grant.promise, snapshotBytes: options.snapshotBytes },
    });
    this.#grant = grant;
    this.secrets = options.secrets;
    this.lease = this.#claim(options.takeOver ?? false);
    this.lease.catch((error) => grant.reject(error));
  }

  async #claim(takeOver: boolean): Promise<Lease> {
    const { store } = this;
    const state = new ChangeLog(this.database).state();
    const { secrets } = this;
    const found = await agreeOnHead({ store, fileSystem: FILE_SYSTEM, secrets, state });
    const lease = await acquireLease({
      store,
      clock: this.clock,
      random: new SeededRandom(++seeds),
      fileSystem: FILE_SYSTEM,
      machine: "test",
      user: "test",
      takeOver,
      base: found.head.hash,
    });
    const { epoch } = lease;
    const check = (signal?: AbortSignal) => lease.check(signal);
    this.#grant.resolve(lease.settled.then(() => ({ epoch, check, found })));
    return lease;
  }

  /** As the daemon asks before it collects. */
  override async shippedHistory(): Promise<ShippedHistory> {
    const shipper = this.engine.shipper!;
    await shipper.shipAll();
    const head = shipper.head!.sequence;
    return { kind: "shipped", head, oldestRecoveryPoint: head };
  }

  override async superseded(own: StoredVersion[], { beforeMs }: { beforeMs: number }) {
    const { head, snapshot } = this.engine.shipper!;
    return await supersededMetadata(own, {
      store: this.store,
      fileSystem: FILE_SYSTEM,
      secrets: this.secrets,
      epoch: (await this.lease).epoch,
      head: head!,
      snapshot,
      beforeMs,
      signal: new AbortController().signal,
    });
  }

  /** Everything is in the bucket, metadata too. */
  ship(): Promise<unknown> {
    return this.sync();
  }

  /** Only metadata; what is dirty stays so. */
  async shipMetadata(): Promise<void> {
    await this.clock.until(this.engine.shipper!.shipAll());
    this.turn();
  }

  async end(): Promise<void> {
    const lease = await this.lease;
    await this.stop();
    await lease.release();
  }
}

export interface Recovered {
  directory: string;
  plan: RecoveryPlan;
  result: RecoveryResult;
}

/** Recovers into a new directory, which goes with `scratch`. */
export async function recoverFrom(
  bucket: ObjectStore,
  options: { clock: CareFixture["clock"]; atMs?: number; secrets?: Secrets },
): Promise<Recovered> {
  const { atMs, secrets } = options;
  const plan = await planRecovery({ store: bucket, fileSystem: FILE_SYSTEM, secrets, atMs });
  const directory = scratch();
  const result = await recoverMetadata({
    plan,
    store: bucket,
    storeUrl: "memory:",
    fileSystem: FILE_SYSTEM,
    secrets,
    chunkSize: CHUNK,
    directory,
    clock: options.clock,
    root: { uid: 0, gid: 0, mode: 0o755 },
  });
  return { directory, plan, result };
}

/** What a tree shows: per path, all that must survive. Inode numbers tell hard links. */
export function treeOf(database: MetadataDatabase): Map<string, unknown> {
  const tree = new TreeReader(database);
  const seen = new Map<string, unknown>();
  for (const entry of tree.walk(tree.at([])!)) {
    const { names: _, ...rest } = entry;
    const xattrs = tree.xattrs(entry.inode).map(({ name, value }) => [text(name), text(value)]);
    const target = entry.target && text(entry.target);
    seen.set(entry.names.map(text).join("/"), { ...rest, target, xattrs });
  }
  return seen;
}

export const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/**
 * Asserts of recovered rows what must hold of any database: references, sums, link counts. `isGone`: of a
 * pack that somebody has taken out of the bucket; only its chunks may be marked as lost.
 */
export function assertSound(
  directory: string,
  isGone: (packName: string) => boolean = () => false,
): void {
  const database = Database.open({ directory, readOnly: true });
  try {
    const query = (sql: string) => database.statement(sql).all();
    assert.deepEqual(query("PRAGMA main.foreign_key_check"), []);
    assert.equal(query("PRAGMA main.integrity_check")[0].integrity_check, "ok");
    assert.deepEqual(
      query(
        `SELECT t.* FROM total t, (SELECT count(*) AS f, sum(allocated) AS a, sum(resident) AS r,
        sum(local) AS l, sum(dirty AND size > 0) AS d FROM inode) WHERE files <> f OR allocated <> a OR
        resident <> 0 OR r <> 0 OR l <> 0 OR d <> 0`,
      ),
      [],
    );
    const checks = new IntegrityChecks(database);
    for (const check of ROW_CHECKS) {
      // Packs that the other mount had not looked up yet are looked up by this one.
      if (check.name === "evicted") continue;
      const faults = checks.ask(check, { from: 0, until: Number.MAX_SAFE_INTEGER });
      assert.deepEqual(faults.filter(({ what }) => !what.endsWith(" was lost by the bucket")), []);
    }
    const lost = query(
      "SELECT DISTINCT lower(hex(p.name)) AS name FROM chunk c JOIN pack p ON p.id = c.pack WHERE c.lost",
    ) as { name: string }[];
    assert.deepEqual(lost.filter(({ name }) => !isGone(name)), []);
    assert.deepEqual(
      query(`SELECT id FROM chunk c WHERE refs <> (SELECT count(*) FROM map WHERE chunk = c.id) +
        (SELECT count(*) FROM version_chunk WHERE chunk = c.id)`),
      [],
    );
    assert.deepEqual(
      query(`SELECT i.id FROM inode i WHERE nlink <> CASE WHEN mode & 61440 <> 16384
          THEN (SELECT count(*) FROM dentry d WHERE d.inode = i.id)
        ELSE 2 + (SELECT count(*) FROM dentry d JOIN inode c ON c.id = d.inode
          WHERE d.parent = i.id AND c.mode & 61440 = 16384) END`),
      [],
    );
  } finally {
    database.close({ clean: false });
  }
}

export type { TreeEntry };
