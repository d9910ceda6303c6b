/** fsck tells whether the bucket's metadata could be recovered from; a repair has it sent anew. */
import assert from "node:assert/strict";
import { type MetadataName, parseMetadataKey } from "../../src/format/keys.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import type { FsckReport } from "../../src/tiering/fsck_report.ts";
import { checkCache, type FsckCheckOptions } from "../harness/fsck_check.ts";
import { copyOf, recoverFrom, ShippingFixture, treeOf } from "../harness/recovery_fixture.ts";

const bytes = (value: string) => new TextEncoder().encode(value);

async function check(
  zero: ShippingFixture,
  options?: FsckCheckOptions,
): Promise<{ result: string | undefined; found: string[]; report: FsckReport }> {
  const report = await checkCache(zero, options);
  const entry = report.checks.find(({ name }) => name === "metadata");
  const findings = report.findings.filter((finding) => finding.check === "metadata");
  return { result: entry?.result, found: findings.map(({ what }) => what), report };
}

/** A cache that was unmounted, with a snapshot in the bucket and an object of changes behind it. */
async function shipped(): Promise<ShippingFixture> {
  const zero = new ShippingFixture();
  for (let i = 0; i < 40; i++) zero.write(`file ${i}`, bytes(`${i}`));
  await zero.ship();
  await zero.port.call("metadataRestart", {});
  await zero.ship();
  zero.write("later", bytes("later"));
  await zero.ship();
  await zero.end();
  return zero;
}

async function remove(bucket: MemoryObjectStore, key: string): Promise<void> {
  await bucket.delete(key, (await bucket.head(key)).versionId);
}

async function keyOf(bucket: MemoryObjectStore, kind: MetadataName["kind"]): Promise<string> {
  const keys: string[] = [];
  for await (const { key } of bucket.list("metadata/")) {
    if (parseMetadataKey(key)?.kind === kind) keys.push(key);
  }
  return keys.at(-1)!;
}

async function flip(bucket: MemoryObjectStore, key: string): Promise<void> {
  const body = await bucket.get(key);
  await remove(bucket, key);
  body[130] ^= 1;
  await bucket.put(key, body);
}

Deno.test("metadata that a recovery can use has no problem", async () => {
  await using zero = await shipped();
  for (const deep of [false, true]) {
    const { result, found, report } = await check(zero, { deep });
    assert.deepEqual([result, found, report.problems], ["ok", [], 0]);
  }
});

const DAMAGES: { what: string; kind: MetadataName["kind"]; missing: boolean; plain: boolean }[] = [
  { what: "a manifest is missing", kind: "snapshot", missing: true, plain: true },
  { what: "a manifest is damaged", kind: "snapshot", missing: false, plain: false },
  { what: "a segment is missing", kind: "segment", missing: true, plain: false },
  { what: "a segment is damaged", kind: "segment", missing: false, plain: false },
];

/** Without any change of a program's. */
async function sendsAnew(zero: ShippingFixture): Promise<void> {
  await zero.pass(120_000);
  const { directory, result } = await recoverFrom(zero.bucket, zero);
  try {
    assert.deepEqual(result.plan.notes, []);
    const database = MetadataDatabase.open({ directory, readOnly: true });
    assert.deepEqual(treeOf(database), treeOf(zero.database));
    database.close({ clean: false });
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
  await zero.end();
  assert.deepEqual((await check(zero, { deep: true })).found, []);
}

for (const { what, kind, missing, plain } of DAMAGES) {
  Deno.test(`${what} in the bucket's metadata: found, and sent anew after a repair`, async () => {
    await using zero = await shipped();
    const { bucket, clock } = zero;
    await (missing ? remove : flip)(bucket, await keyOf(bucket, kind));
    assert.equal((await check(zero)).result, plain ? "problems" : "ok");
    const { result, found } = await check(zero, { deep: true });
    assert.equal(result, "problems", found.join());
    const { report } = await check(zero, { deep: true, repair: true });
    assert.deepEqual([report.left, report.repaired], [
      0,
      ["metadata: the next mount sends all of it anew"],
    ]);
    assert.equal((await check(zero)).result, "skipped");

    await using again = new ShippingFixture({ clock, bucket, cache: copyOf(zero.cache) });
    await sendsAnew(again);
  });
}

Deno.test("the bucket has lost the last object: a repair goes on from the cache, where nothing came later", async () => {
  await using zero = await shipped();
  const { bucket, clock } = zero;
  await remove(bucket, await keyOf(bucket, "changes"));
  await remove(bucket, await keyOf(bucket, "snapshot"));
  const { result, found } = await check(zero);
  assert.equal(result, "problems");
  assert.match(found.join(), /^metadata\/.* is not in the bucket, and nothing later is/);
  const refused = new ShippingFixture({ clock, bucket, cache: copyOf(zero.cache) });
  await assert.rejects(refused.lease, /is gone from there/);
  await refused.stop();
  Deno.removeSync(refused.cache, { recursive: true });
  const { report } = await check(zero, { repair: true });
  assert.deepEqual([report.left, report.repaired.length], [0, 1]);
  await using again = new ShippingFixture({ clock, bucket, cache: copyOf(zero.cache) });
  await sendsAnew(again);
});

Deno.test("where something came later, a cache whose last object is gone may be an old copy: no repair", async () => {
  await using zero = await shipped();
  const { bucket, clock } = zero;
  const last = await keyOf(bucket, "changes");
  await using other = new ShippingFixture({ clock, bucket, cache: copyOf(zero.cache) });
  other.write("newer", bytes("newer"));
  await other.ship();
  await other.end();
  await remove(bucket, last);
  const { report, found } = await check(zero, { repair: true });
  assert.match(found.join(), /is not in the bucket, but metadata\/.* is: this may be an old copy/);
  assert.deepEqual([report.left, report.repaired], [1, []]);
});
