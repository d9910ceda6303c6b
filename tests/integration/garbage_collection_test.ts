/** Garbage collection by law 5, on the real file system and engine, over a bucket in memory. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { UserError } from "../../src/domain/errors.ts";
import { packKey } from "../../src/format/keys.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { StoreError } from "../../src/object_store/object_store.ts";
import type { ShippedHistory } from "../../src/tiering/collection_horizon.ts";
import { verifyPacks } from "../../src/tiering/fsck_deep.ts";
import { CareFixture, type CareOptions, CHUNK } from "../harness/care_fixture.ts";
import { FaultyStore } from "../harness/faulty_store.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

/** A fixture whose bucket a test can break, with ten files in ten packs. */
async function tenFiles(options: CareOptions = {}) {
  const random = new SeededRandom(3);
  let store: FaultyStore | undefined;
  const zero = new CareFixture({
    ...options,
    wrap: (inner) => store = new FaultyStore(inner, random),
  });
  const contents: Uint8Array[] = [];
  for (let i = 0; i < 10; i++) {
    contents.push(random.bytes(8 * CHUNK));
    zero.write(`file${i}`, contents[i]);
    await zero.sync();
  }
  assert.equal((await zero.packObjects()).length, 10);
  return { zero, store: store!, contents };
}

/** Unlinks a file and lets trash and grace pass. */
async function killPack(zero: CareFixture, name = "file3"): Promise<void> {
  zero.unlink(name);
  await zero.collect({ apply: false });
  zero.days(8);
  await zero.collect();
  zero.turn();
  await zero.collect({ apply: false });
  zero.days(8);
}

const packRows = (zero: CareFixture) =>
  Number(zero.database.statement("SELECT count(*) AS n FROM pack").get()!.n);

Deno.test("what was unlinked stays for the trash period and the grace, and then goes", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  zero.unlink("file3");
  await zero.collect();
  zero.days(6);
  await zero.collect();
  assert.equal((await zero.packObjects()).length, 10, "in the trash");
  zero.days(2);
  assert.equal((await zero.collect()).expiredVersions, 1);
  zero.turn();
  await zero.collect();
  zero.days(6);
  await zero.collect();
  assert.equal((await zero.packObjects()).length, 10, "dead, in its grace");
  zero.days(2);
  assert.equal((await zero.collect()).deleted.dead.objects, 1);
  assert.equal((await zero.packObjects()).length, 9);
  assert.equal(packRows(zero), 9);
});

Deno.test("a dry run says what would go, and changes nothing", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  const report = await zero.collect({ apply: false });
  assert.equal(report.applied, false);
  assert.equal(report.deletable.dead.objects, 1);
  assert.equal(report.live.objects, 9);
  assert.equal((await zero.packObjects()).length, 10);
});

Deno.test("law 5 (a): a pack that is referred to again is alive again", async () => {
  const { zero, contents } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  zero.write("again", contents[3]);
  await zero.sync();
  assert.equal((await zero.packObjects()).length, 10, "dedupe found it");
  const dead = "SELECT count(*) AS n FROM pack WHERE dead_at IS NOT NULL";
  assert.equal(zero.database.statement(dead).get()!.n, 0);
  assert.equal((await zero.collect()).deleted.dead.objects, 0);
  assert.equal((await zero.packObjects()).length, 10);
});

Deno.test("law 5 (b): nothing goes that the shipped head or a recovery point needs, or that cannot be known", async () => {
  let history: ShippedHistory = { kind: "shipped", head: 0, oldestRecoveryPoint: 1e9 };
  const { zero } = await tenFiles({ shippedHistory: () => Promise.resolve(history) });
  await using _ = zero;
  await killPack(zero);
  const { dead_at: deadAt } = zero.database.statement(
    "SELECT dead_at FROM pack WHERE live_chunks = 0",
  ).get() as { dead_at: number };
  const refusals: ShippedHistory[] = [
    { kind: "shipped", head: deadAt, oldestRecoveryPoint: 1e9 },
    { kind: "shipped", head: 1e9, oldestRecoveryPoint: deadAt },
    { kind: "unknown", reason: "heads differ" },
  ];
  for (history of refusals) assert.equal((await zero.collect()).deleted.dead.objects, 0);
  assert.equal((await zero.packObjects()).length, 10);
  history = { kind: "shipped", head: deadAt + 1, oldestRecoveryPoint: deadAt + 1 };
  assert.equal((await zero.collect()).deleted.dead.objects, 1);
});

Deno.test("law 5 (b): it is condemned, durably, before the object goes; the row goes last", async () => {
  const { zero, store } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  const syncs = zero.disk.walSyncs;
  let seen: unknown;
  store.onDelete = (key) => {
    if (!key.startsWith("packs/")) return;
    seen = {
      ...zero.database.statement("SELECT condemned FROM pack WHERE live_chunks = 0").get(),
      synced: zero.disk.walSyncs > syncs,
    };
  };
  await zero.collect();
  assert.deepEqual(seen, { condemned: 1, synced: true });
  assert.equal(packRows(zero), 9);
});

Deno.test("law 5 (b): what is written while a pack is being deleted never refers to it", async () => {
  const { zero, store, contents } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  let written = 0;
  store.onDelete = async (key) => {
    if (!key.startsWith("packs/") || written > 0) return;
    written = zero.write("meanwhile", contents[3]);
    await zero.engine.sync({ inodes: "all", signal: new AbortController().signal });
  };
  await zero.collect();
  assert.ok(written > 0);
  assert.deepEqual(zero.log.filter((line) => line.startsWith("error")), [], "it is not even tried");
  await zero.evict([written]);
  assert.ok(Buffer.from(await zero.read(written)).equals(contents[3]));
});

Deno.test("law 5 (b): what something refers to is not condemned, whoever asks", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  const all = await zero.port.call("packs", { limit: 100 });
  const packs = all.map(({ pack }) => pack);
  const dead = all.filter(({ liveChunks }) => liveChunks === 0).map(({ pack }) => pack);
  const condemned = await zero.port.call("condemn", { packs, before: 1e9 });
  assert.deepEqual(condemned, dead);
  await zero.port.call("forgetPacks", { packs });
  assert.equal(packRows(zero), 9);
});

Deno.test("law 5 (c): whoever has lost the lease deletes nothing", async () => {
  let looks = 0;
  const { zero, store } = await tenFiles({
    checkLease: () => {
      looks++;
      // The first look of a run is at its beginning; what follows is after the packs are condemned.
      return looks < 5
        ? Promise.resolve()
        : Promise.reject(new UserError("claimed by somebody else"));
    },
  });
  await using _ = zero;
  await killPack(zero);
  looks = 3;
  await assert.rejects(zero.collect(), /claimed by somebody else/);
  assert.equal(looks, 5);
  assert.equal((await zero.packObjects()).length, 10);
  assert.deepEqual(store.deleted.filter(({ key }) => key.startsWith("packs/")), []);
  assert.equal(packRows(zero), 10);
});

Deno.test("law 5 (d): a deletion whose answer was lost is finished by the next run", async () => {
  const { zero, store } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  let lost = 0;
  store.onDelete = async (key, versionId) => {
    if (!key.startsWith("packs/") || lost++ > 0) return;
    await zero.bucket.delete(key, versionId);
    throw new StoreError("unavailable", "the answer was lost");
  };
  await assert.rejects(zero.collect(), /the answer was lost/);
  assert.equal(packRows(zero), 10, "the row says what is to be done");
  assert.equal((await zero.packObjects()).length, 9);
  const report = await zero.collect();
  assert.equal(report.deleted.dead.objects, 1);
  assert.equal(packRows(zero), 9);
});

Deno.test("the objects of a failed upload are garbage after a week, by the store's clock", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  const key = `packs/ab/ab${"0".repeat(30)}`;
  await zero.bucket.put(key, new Uint8Array(100));
  const [known] = await zero.packObjects();
  await zero.bucket.put(known, new Uint8Array(50));
  zero.bucket.hide(known);
  await zero.bucket.put("packs/notes.txt", new Uint8Array(10));
  zero.days(6);
  assert.equal((await zero.collect()).deleted.unknown.objects, 0);
  zero.days(2);
  const report = await zero.collect();
  assert.deepEqual(report.deleted.unknown, { objects: 3, bytes: 150 });
  assert.equal(report.foreign.objects, 1, "what is not named as ours stays");
  assert.equal((await zero.packObjects()).length, 11);
  assert.equal((await zero.collect()).unknown.objects, 0);
});

Deno.test("the tripwire: neither a fifth of the packs at once, nor anything where the database looks wrong", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  for (const name of ["file1", "file2", "file3"]) zero.unlink(name);
  await zero.collect({ apply: false });
  zero.days(8);
  await zero.collect({ force: false });
  await zero.collect({ apply: false });
  zero.days(8);
  const refused = await zero.collect({ force: false });
  assert.match(refused.refused!, /3 of 10 objects \(30 %\)/);
  assert.equal(refused.applied, false);
  assert.equal((await zero.packObjects()).length, 10);
  const { name } = zero.database.statement(
    "SELECT lower(hex(name)) AS name FROM pack WHERE live_chunks > 0",
  ).get() as { name: string };
  const missing = `packs/${name.slice(0, 2)}/${name}`;
  for await (const { versionId } of zero.bucket.listVersions(missing)) {
    await zero.bucket.delete(missing, versionId);
  }
  assert.match((await zero.collect({ force: false })).refused!, /not in the listing/);
  assert.equal((await zero.collect({ force: true })).deleted.dead.objects, 3);
});

Deno.test("zero gc --apply --force took every object of a bucket that was copied for garbage", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  // A copy holds the same bytes under the same keys, as other versions.
  for await (const { key, versionId } of zero.bucket.listVersions("packs/")) {
    await zero.bucket.put(key, await zero.bucket.get(key, { versionId }));
    await zero.bucket.delete(key, versionId);
  }
  zero.unlink("file9");
  await zero.collect({ apply: false });
  zero.days(30);
  const report = await zero.collect({ force: true });
  assert.equal(report.missing, 9);
  assert.equal(report.deleted.unknown.objects, 0);
  assert.match(report.notes.join(), /10 objects .* a copied bucket/);
  assert.equal((await zero.packObjects()).length, 10);
});

Deno.test("a clock that was set, or that differs from the store's, stops every deletion", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  await killPack(zero);
  const { storeTimeMs, ClockWatch } = await import("../../src/tiering/store_time.ts");
  const signal = new AbortController().signal;
  const storeMs = await storeTimeMs({
    store: zero.bucket,
    random: new SeededRandom(1),
    signal,
  });
  const watch = new ClockWatch(zero.clock, () => zero.clock.monotonicMs());
  watch.assertSound(storeMs);
  zero.clock.setWall(storeMs + 2 * 3_600_000);
  assert.throws(() => watch.assertSound(storeMs + 2 * 3_600_000), /was set by 2h/);
  assert.throws(
    () => new ClockWatch(zero.clock, () => zero.clock.monotonicMs()).assertSound(storeMs),
    /differ by 2h/,
  );
});

/** Eight small files of one pack or two, of which all but one are gone for good: its pack is to be repacked. */
async function sparsePack(zero: CareFixture) {
  const random = new SeededRandom(9);
  const contents = Array.from({ length: 8 }, () => random.bytes(CHUNK));
  // Small files share a pack.
  const inodes = contents.map((content, i) => zero.write(`small${i}`, content));
  await zero.sync();
  const { inode, pack, chunk } = zero.database.statement(
    `SELECT m.inode, p.id AS pack, c.id AS chunk
     FROM map m JOIN chunk c ON c.id = m.chunk JOIN pack p ON p.id = c.pack
     WHERE m.inode >= ? AND p.live_chunks > 4 LIMIT 1`,
  ).get(inodes[0]) as { inode: number; pack: number; chunk: number };
  const kept = inodes.indexOf(inode);
  inodes.forEach((_, i) => i === kept || zero.unlink(`small${i}`));
  await zero.collect({ apply: false });
  zero.days(8);
  return { inode, pack, chunk, content: contents[kept] };
}

Deno.test("packs that are mostly garbage are copied into new ones, and their files read as before", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  const { inode, content } = await sparsePack(zero);
  const report = await zero.collect();
  assert.equal(report.sparse.objects, 1);
  assert.equal(report.repacked.chunks, 1);
  await zero.collect({ apply: false });
  zero.days(8);
  assert.ok((await zero.collect()).deleted.dead.objects >= 1);
  assert.equal((await zero.collect()).sparse.objects, 0);
  await zero.evict([inode]);
  assert.ok(Buffer.from(await zero.read(inode)).equals(content));
});

Deno.test("one pack that is shorter than was stored kept all others from being repacked", async () => {
  const { zero, store } = await tenFiles();
  await using _ = zero;
  const random = new SeededRandom(10);
  for (const group of ["a", "b"]) {
    for (let i = 0; i < 8; i++) zero.write(`${group}${i}`, random.bytes(CHUNK));
    await zero.sync();
    for (let i = 1; i < 8; i++) zero.unlink(`${group}${i}`);
  }
  await zero.collect({ apply: false });
  zero.days(8);
  const { get } = store;
  let first: string | undefined;
  store.get = (key, options) => {
    first ??= key;
    if (key !== first) return get.call(store, key, options);
    return Promise.reject(new StoreError("corrupt", `get ${key}: the object is shorter`));
  };
  const report = await zero.collect();
  assert.equal(report.sparse.objects, 2);
  assert.match(first!, /^packs\//);
  assert.equal(report.repacked.chunks, 1);
  assert(zero.log.some((line) => line.includes("a pack in the bucket is damaged")));
});

Deno.test("a pack that was repacked and deleted while fsck --deep read it made fsck mark its chunks as lost", async () => {
  const { zero } = await tenFiles();
  await using _ = zero;
  const { inode, pack, chunk, content } = await sparsePack(zero);
  await zero.evict([inode]);
  const get = zero.bucket.get.bind(zero.bucket);
  let collected = false;
  const signal = new AbortController().signal;
  const damage: number[] = [];
  const database = MetadataDatabase.open({ directory: zero.cache, readOnly: true });
  try {
    const report = await verifyPacks({
      store: Object.assign(Object.create(zero.bucket), {
        get: async (key: string, options: { versionId?: string }) => {
          // Its rows have been read by now.
          if (key === packKeyOf(zero, pack) && !collected) {
            collected = true;
            assert.equal((await zero.collect()).repacked.chunks, 1);
            await zero.collect({ apply: false });
            zero.days(8);
            await zero.collect();
          }
          return await get(key, options);
        },
      }),
      database,
      secrets: undefined,
      clock: zero.clock,
      share: 1,
      pick: () => 0,
      bytesPerSecond: undefined,
      after: pack - 1,
      onVerified: () => {},
      onDamage: (chunks) => damage.push(...chunks),
      signal,
    });
    assert.ok(collected);
    assert.equal(report.damaged, 0);
    assert.deepEqual(damage, []);
  } finally {
    database.close({ clean: false });
  }
  // What was found before it was moved says nothing of where it is now.
  await zero.port.call("markLost", { pack, chunks: [chunk] });
  assert.equal(zero.core.chunks.lostCount(), 0);
  assert.ok(Buffer.from(await zero.read(inode)).equals(content));
});

function packKeyOf(zero: CareFixture, pack: number): string | undefined {
  const row = zero.database.statement("SELECT name FROM pack WHERE id = ?").get(pack);
  return row && packKey(row.name as Uint8Array);
}
