/** What newer metadata has replaced leaves the bucket, and every state that is kept can be recovered. */
import assert from "node:assert/strict";
import { UserError } from "../../src/domain/errors.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import { type CareOptions, CHUNK } from "../harness/care_fixture.ts";
import { FaultyStore } from "../harness/faulty_store.ts";
import { assertSound, recoverFrom, ShippingFixture, treeOf } from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const DAY_MS = 86_400_000;
type Tree = Map<string, unknown>;

async function keysOf(bucket: MemoryObjectStore, prefix = "metadata/"): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bucket.list(prefix)) keys.push(key);
  return keys;
}

async function recovered(fixture: ShippingFixture, atMs?: number): Promise<Tree> {
  const { directory } = await recoverFrom(fixture.bucket, { clock: fixture.clock, atMs });
  try {
    assertSound(directory);
    const database = MetadataDatabase.open({ directory, readOnly: true });
    const tree = treeOf(database);
    database.close({ clean: false });
    return tree;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

interface Past {
  zero: ShippingFixture;
  store: FaultyStore;
  /** What was there when. */
  states: { atMs: number; tree: Tree }[];
}

/** A file system of `days` days with a change or two on each, and snapshots now and then. */
async function past(days: number, options: CareOptions = {}): Promise<Past> {
  let store: FaultyStore | undefined;
  const zero = new ShippingFixture({
    snapshotBytes: 1_500,
    ...options,
    wrap: (inner) => store = new FaultyStore(inner, new SeededRandom(1)),
  });
  const random = new SeededRandom(9);
  const states: Past["states"] = [];
  for (let day = 0; day < days; day++) {
    zero.write(`file${day % 7}`, random.bytes(1 + random.below(3 * CHUNK)));
    zero.write(`name that is rather long, of day ${day}`, random.bytes(10));
    if (day % 3 === 2) zero.unlink(`name that is rather long, of day ${day - 1}`);
    await zero.ship();
    await zero.pass(5_000);
    states.push({ atMs: zero.clock.wallMs(), tree: treeOf(zero.database) });
    zero.days(1);
  }
  return { zero, store: store!, states };
}

/** Everything since the grace comes back as it was; asked of some states, the newest and the oldest. */
async function assertKept({ zero, states }: Past): Promise<void> {
  assert.deepEqual(await recovered(zero), treeOf(zero.database));
  const kept = states.filter(({ atMs }) => atMs >= zero.clock.wallMs() - 7 * DAY_MS);
  for (const { atMs, tree } of kept) assert.deepEqual(await recovered(zero, atMs), tree);
}

Deno.test("what lies before a snapshot as old as the grace goes, and every state since then stays", async () => {
  const life = await past(20);
  const { zero, states } = life;
  await using _ = zero;
  const before = await keysOf(zero.bucket);
  const snapshots = before.filter((key) => key.endsWith("-snapshot")).length;
  assert(snapshots > 3, `${snapshots} snapshots`);
  const dry = await zero.collect({ apply: false });
  assert(dry.deletable.superseded.objects > 10, JSON.stringify(dry.deletable));
  assert.equal(dry.deleted.superseded.objects, 0);
  assert.deepEqual(await keysOf(zero.bucket), before, "a dry run changes nothing");
  const { deleted, notes } = await zero.collect();
  assert.deepEqual(deleted.superseded, dry.deletable.superseded);
  assert.deepEqual(notes, []);
  assert.equal((await keysOf(zero.bucket)).length, before.length - deleted.superseded.objects);
  await assertKept(life);
  await assert.rejects(recovered(zero, states[0].atMs), /nothing in memory: is from before/);
  // Another look finds nothing, and the chain goes on.
  assert.equal((await zero.collect()).deletable.superseded.objects, 0);
  zero.write("later", new Uint8Array(10));
  await zero.ship();
  await assertKept(life);
});

Deno.test("whenever a collection of metadata is cut short, what is kept can be recovered", async () => {
  const life = await past(16);
  const { zero, store } = life;
  await using _ = zero;
  let deletions = 0;
  store.onDelete = async (key) => {
    if (!key.startsWith("metadata/")) return;
    if (deletions++ % 4 === 0) assert.deepEqual(await recovered(zero), treeOf(zero.database));
  };
  await zero.collect();
  assert(deletions > 10, `${deletions} deletions`);
  await assertKept(life);
});

const kindOf = (key: string) => /-(segment|snapshot)$/.exec(key)?.[1] ?? "changes";

for (const kind of ["snapshot", "segment", "changes"]) {
  Deno.test(`where the objects of kind ${kind} are damaged, nothing older is given up for them`, async () => {
    const { zero } = await past(12);
    await using _ = zero;
    const { bucket } = zero;
    const keys = (await keysOf(bucket)).filter((key) => kindOf(key) === kind);
    // Of changes only the last one: it is behind all snapshots that could replace something.
    for (const key of kind === "changes" ? keys.slice(-1) : keys) {
      const body = await bucket.get(key);
      body[body.length - 20] ^= 1;
      await bucket.delete(key, (await bucket.head(key)).versionId);
      await bucket.put(key, body);
    }
    zero.days(8);
    const { deletable, deleted, notes } = await zero.collect();
    assert.equal(deletable.superseded.objects + deleted.superseded.objects, 0);
    assert.match(notes.join(), /cannot replace what is older/);
  });
}

Deno.test("claims of earlier mounts go, that of this one stays, and epochs are never given out again", async () => {
  await using first = new ShippingFixture({ snapshotBytes: 1e9 });
  const { clock, bucket } = first;
  first.write("file", new Uint8Array(100).fill(1));
  await first.ship();
  const caches: ShippingFixture[] = [];
  for (let i = 0; i < 3; i++) {
    const { directory } = await recoverFrom(bucket, { clock });
    const next = new ShippingFixture({ clock, bucket, cache: directory, takeOver: true });
    caches.push(next);
    next.write(`of ${i}`, new Uint8Array(100 + i).fill(1));
    await next.ship();
    if (i < 2) await next.end();
  }
  const last = caches.at(-1)!;
  assert.equal((await keysOf(bucket, "lease/")).length, 6);
  assert.equal((await last.collect()).deletable.superseded.objects, 0, "they are too young");
  last.days(8);
  assert((await last.collect()).deleted.superseded.objects >= 5);
  assert.equal((await last.lease).epoch, 4);
  assert.deepEqual((await keysOf(bucket, "lease/")).map((key) => key.slice(0, 22)), [
    "lease/0000000000000004",
  ]);
  assert.deepEqual(await recovered(last), treeOf(last.database));
  // What a mount of an earlier epoch adds before it looks does not count, without the claims between
  // too.
  first.write("late", new Uint8Array(50).fill(3));
  await first.ship();
  assert.deepEqual(await recovered(last), treeOf(last.database));
  await last.end();
  await using again = new ShippingFixture({ clock, bucket, cache: last.cache });
  assert.equal((await again.lease).epoch, 5);
  for (const each of caches.slice(0, 2)) await each[Symbol.asyncDispose]();
});

Deno.test("whoever loses the lease while old metadata is deleted stops at once", async () => {
  let looks = 0;
  let limit = Infinity;
  const { zero, store } = await past(16, {
    checkLease: () =>
      ++looks <= limit
        ? Promise.resolve()
        : Promise.reject(new UserError("claimed by somebody else")),
  });
  await using _ = zero;
  const before = await keysOf(zero.bucket);
  // The look at the beginning, and no other.
  limit = looks + 1;
  await assert.rejects(zero.collect(), /claimed by somebody else/);
  assert.deepEqual(await keysOf(zero.bucket), before);
  assert.deepEqual(store.deleted.filter(({ key }) => !key.startsWith("doctor/")), []);
});

Deno.test("where no snapshot can be used and the first changes are gone, nothing is taken for empty", async () => {
  const { zero } = await past(20);
  await using _ = zero;
  await zero.collect();
  for (const key of await keysOf(zero.bucket)) {
    if (!key.endsWith("-snapshot")) continue;
    await zero.bucket.delete(key, (await zero.bucket.head(key)).versionId);
  }
  await assert.rejects(recovered(zero), /cannot be put together/);
});

Deno.test("an idle hour with nothing unsaved costs no request", async () => {
  const calls: string[] = [];
  await using zero = new ShippingFixture({
    wrap: (inner) =>
      new Proxy(inner, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (typeof value !== "function") return value;
          return (...rest: unknown[]) => {
            calls.push(`${String(name)} ${rest[0]}`);
            return value.apply(target, rest);
          };
        },
      }),
  });
  const random = new SeededRandom(4);
  for (let i = 0; i < 20; i++) zero.write(`file${i}`, random.bytes(2 * CHUNK));
  await zero.ship();
  await zero.pass(120_000);
  assert(calls.length > 5);
  calls.length = 0;
  await zero.pass(3_600_000);
  assert.deepEqual(calls, []);
  // Reading, listing and looking at what is here costs none either.
  await zero.read(zero.find("file3")!);
  await zero.pass(60_000);
  assert.deepEqual(calls, []);
});
