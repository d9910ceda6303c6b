/**
 * Thousands of random steps of writing, uploading, evicting, deleting, bringing back and collecting,
 * against a store that refuses calls, loses answers and shows stale listings. After each collection
 * every chunk that any row names is in the bucket; at the end every file reads as it was written, and
 * after enough time nothing is left in the bucket that nobody needs.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { StoreError } from "../../src/object_store/object_store.ts";
import { CareFixture, CHUNK } from "../harness/care_fixture.ts";
import { FaultyStore } from "../harness/faulty_store.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const STEPS = 700;
const NAMES = 14;

interface Life {
  zero: CareFixture;
  store: FaultyStore;
  random: SeededRandom;
  /** What each name must read as. */
  files: Map<string, Uint8Array>;
  /** What each version restores. */
  versions: Map<number, Uint8Array>;
  contents: Uint8Array[];
  collections: number;
  undeleted: number;
}

/** Every pack that a row of map or version_chunk names is in the bucket, whole. Counts no triggers. */
async function assertReferencedAreThere({ zero }: Life): Promise<void> {
  zero.core.flushAll();
  const packs = zero.database.statement(
    `SELECT DISTINCT lower(hex(p.name)) AS name, p.version_id AS versionId, p.bytes FROM pack p
     JOIN chunk c ON c.pack = p.id
     WHERE c.id IN (SELECT chunk FROM map UNION SELECT chunk FROM version_chunk)`,
  ).all() as { name: string; versionId: string; bytes: number }[];
  for (const { name, versionId, bytes } of packs) {
    const key = `packs/${name.slice(0, 2)}/${name}`;
    assert.equal((await zero.bucket.head(key, { versionId })).length, bytes);
  }
}

/** Remembers what every saved version holds, while its file still reads so. */
function noteVersions({ zero, files, versions }: Life): void {
  for (const [name, content] of files) {
    const inode = zero.find(name)!;
    const saved = zero.database.statement(
      `SELECT v.id, i.dirty FROM version v JOIN inode i ON i.id = v.inode
       WHERE v.inode = ? AND v.kind = 1`,
    ).get(inode) as { id: number; dirty: number } | undefined;
    if (saved?.dirty === 0) versions.set(saved.id, content);
  }
}

async function collect(life: Life): Promise<void> {
  const { zero, random, store } = life;
  try {
    await zero.collect({ apply: random.fraction() < 0.9 });
    life.collections++;
  } catch (error) {
    if (!(error instanceof StoreError) || store.rate === 0) throw error;
  }
  zero.turn();
  await assertReferencedAreThere(life);
}

async function undelete(life: Life): Promise<void> {
  const { zero, random, files, versions } = life;
  const trash = await zero.port.call("trash", { after: 0, limit: 1000 });
  const known = trash.filter(({ version }) => versions.has(version));
  if (known.length === 0) return;
  const { version } = known[random.below(known.length)];
  const name = `back${version}`;
  const inode = zero.write(name, new Uint8Array(0));
  const result = await zero.port.call("undelete", { version, inode });
  assert.ok("chunks" in result, JSON.stringify(result));
  files.set(name, versions.get(version)!);
  life.undeleted++;
}

async function step(life: Life): Promise<void> {
  const { zero, random, files, contents } = life;
  const action = random.fraction();
  const name = `name${random.below(NAMES)}`;
  if (action < 0.3) {
    const content = random.fraction() < 0.4
      ? contents[random.below(contents.length)]
      : random.bytes(1 + random.below(5 * CHUNK));
    zero.write(name, content);
    files.set(name, content);
  } else if (action < 0.5) {
    await zero.pass(random.below(20_000));
    noteVersions(life);
  } else if (action < 0.6) {
    const inode = zero.find(name);
    if (inode !== undefined && life.store.rate === 0) await zero.evict([inode]);
  } else if (action < 0.72) {
    const victim = [...files.keys()][random.below(Math.max(1, files.size))];
    if (victim === undefined) return;
    zero.unlink(victim);
    files.delete(victim);
  } else if (action < 0.78) {
    await undelete(life);
  } else if (action < 0.86) {
    zero.days(random.below(5));
  } else if (action < 0.9) {
    life.store.rate = random.fraction() < 0.5 ? 0 : 0.15;
  } else {
    await collect(life);
  }
  zero.turn();
}

async function vanish(life: Life): Promise<void> {
  // Somebody tidies the bucket by hand: objects that no row names.
  const { zero } = life;
  for (const key of await zero.packObjects()) {
    const id = key.split("/")[2];
    const known = zero.database.statement("SELECT 1 FROM pack WHERE lower(hex(name)) = ?").get(id);
    if (known !== undefined) continue;
    for await (const { versionId } of zero.bucket.listVersions(key)) {
      await zero.bucket.delete(key, versionId);
    }
    return;
  }
}

async function finish(life: Life): Promise<void> {
  const { zero, store, files } = life;
  store.rate = 0;
  await zero.sync();
  await collect(life);
  const inodes = [...files.keys()].map((name) => zero.find(name)!);
  await zero.evict(inodes);
  for (const [name, content] of files) {
    const read = await zero.read(zero.find(name)!);
    assert.ok(Buffer.from(read).equals(content), `${name} does not read as it was written`);
  }
  for (let week = 0; week < 5; week++) {
    await zero.collect({ apply: true });
    zero.turn();
    zero.days(8);
  }
  const report = await zero.collect({ apply: true });
  assert.deepEqual([report.dead.objects, report.unknown.objects, report.missing], [0, 0, 0]);
  await assertReferencedAreThere(life);
}

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`no collection ever deletes what somebody needs (seed ${seed})`, async () => {
    const random = new SeededRandom(seed);
    let store: FaultyStore | undefined;
    await using zero = new CareFixture({
      wrap: (inner) => store = new FaultyStore(inner, new SeededRandom(seed + 100)),
    });
    const life: Life = {
      zero,
      store: store!,
      random,
      files: new Map(),
      versions: new Map(),
      contents: Array.from({ length: 8 }, () => random.bytes(1 + random.below(3 * CHUNK))),
      collections: 0,
      undeleted: 0,
    };
    for (let at = 0; at < STEPS; at++) {
      await step(life);
      if (at % 50 === 49) await vanish(life);
    }
    await finish(life);
    assert.ok(life.collections > 20, `${life.collections} collections`);
    assert.ok(life.undeleted > 5, `${life.undeleted} brought back`);
    assert.ok(store!.deleted.some(({ key }) => key.startsWith("packs/")), "something was deleted");
  });
}
