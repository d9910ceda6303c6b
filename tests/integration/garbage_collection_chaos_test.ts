/**
 * Thousands of random steps of writing, uploading, evicting, reading, deleting, bringing back, shipping
 * metadata, collecting, recovering, and putting back old copies of the cache, against a store that refuses calls, loses answers, stores packs
 * twice or in part, gives back wrong bytes, shows stale listings, and loses objects. No byte is ever read
 * that was not written there; after each collection every chunk that any row names is in the bucket, but
 * for what was made to vanish; every recovery is sound; at the end every file reads as it was written,
 * and after enough time nothing is left in the bucket that nobody needs.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { StoreError } from "../../src/object_store/object_store.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import { restoreContent } from "../../src/tiering/content_restore.ts";
import { CHUNK } from "../harness/care_fixture.ts";
import { soak } from "../harness/fault_seed.ts";
import { OldCopy } from "../harness/old_copy.ts";
import { FaultyStore } from "../harness/faulty_store.ts";
import { assertSound, recoverFrom, ShippingFixture, text } from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const SEEDS = soak ? 10 : 4;
const STEPS = soak ? 1_000 : 500;
const NAMES = 14;

const BEGINNING = { snapshotBytes: 4_000 };

interface Life {
  zero: ShippingFixture;
  store: FaultyStore;
  random: SeededRandom;
  /** What each name must read as. */
  files: Map<string, Uint8Array>;
  /** What each version restores. */
  versions: Map<number, Uint8Array>;
  contents: Uint8Array[];
  /** Every content that a name ever had, for recoveries of earlier states. */
  history: Map<string, Uint8Array[]>;
  /** Packs that were made to vanish: what relies on them may be lost, and nothing else. */
  vanished: Set<string>;
  counts: Record<"collections" | "undeleted" | "recoveries" | "reads" | "lostReads", number>;
  /** The cache as it was some time ago, and what its files and versions held. */
  copy: { cache: OldCopy; files: Life["files"]; versions: Life["versions"] } | undefined;
  /** Put back so far: those that the bucket had not gone on without, and others. */
  copies: { current: number; old: number };
}

/** Whether a pack is not in the bucket as it was put. */
function isGone({ vanished, store }: Life, name: string): boolean {
  const key = `packs/${name.slice(0, 2)}/${name}`;
  return vanished.has(key) || store.truncated.has(key);
}

/** Whether such a pack is one that a file's content relies on. */
function isHarmed(life: Life, database: MetadataDatabase, inode: number): boolean {
  const packs = database.statement(
    `SELECT DISTINCT lower(hex(p.name)) AS name FROM pack p JOIN chunk c ON c.pack = p.id
     WHERE c.id IN (SELECT chunk FROM map WHERE inode = ?)`,
  ).all(inode) as { name: string }[];
  return packs.some(({ name }) => isGone(life, name));
}

function remember({ history }: Life, name: string, content: Uint8Array): void {
  history.set(name, [...history.get(name) ?? [], content]);
}

/** Every pack that a row of map or version_chunk names is in the bucket, whole. Counts no triggers. */
async function assertReferencedAreThere(life: Life): Promise<void> {
  const { zero } = life;
  zero.core.flushAll();
  const packs = zero.database.statement(
    `SELECT DISTINCT lower(hex(p.name)) AS name, p.version_id AS versionId, p.bytes FROM pack p
     JOIN chunk c ON c.pack = p.id
     WHERE c.id IN (SELECT chunk FROM map UNION SELECT chunk FROM version_chunk)`,
  ).all() as { name: string; versionId: string; bytes: number }[];
  for (const { name, versionId, bytes } of packs) {
    if (isGone(life, name)) continue;
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

const isWell = ({ rate, damage, denied }: FaultyStore) => rate === 0 && !damage && !denied;

async function collect(life: Life): Promise<void> {
  const { zero, random, store } = life;
  try {
    await zero.collect({ apply: random.fraction() < 0.9 });
    life.counts.collections++;
  } catch (error) {
    if (!(error instanceof StoreError) || isWell(store)) throw error;
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
  remember(life, name, versions.get(version)!);
  life.counts.undeleted++;
}

/** All bytes of a file, or an error; never other bytes. */
async function readBack(life: Life, name: string): Promise<void> {
  const { zero, files, store } = life;
  const content = files.get(name);
  const inode = zero.find(name);
  if (content === undefined || inode === undefined) return;
  life.counts.reads++;
  const { handle } = zero.answered(zero.kernel.open(inode, { flags: 0 }));
  for (let at = 0; at < content.length; at += CHUNK) {
    const size = Math.min(CHUNK, content.length - at);
    const answer = zero.kernel.read(inode, { handle, offset: at, size });
    for (let waited = 0; answer.pending && waited < 50; waited++) await zero.pass(500);
    if (answer.pending || answer.errno !== 0) {
      const isHard = !isWell(store) || isHarmed(life, zero.database, inode);
      assert(isHard, `${name} cannot be read, and the store is well`);
      life.counts.lostReads++;
      break;
    }
    const same = Buffer.from(answer.value).equals(content.subarray(at, at + size));
    assert(same, `${name} reads other bytes than were written, at ${at}`);
  }
  zero.answered(zero.kernel.release(inode, { handle }));
}

/** The disk would burn now: what the bucket brings back. */
async function recover(life: Life): Promise<void> {
  const { directory } = await recoverFrom(life.zero.bucket, life.zero);
  await contentsOf(life, directory);
  Deno.removeSync(directory, { recursive: true });
  life.counts.recoveries++;
}

/** Every file of a recovered cache that is whole in the bucket; each as it was at some time. */
async function contentsOf(life: Life, directory: string): Promise<Map<string, Uint8Array>> {
  const { zero, history } = life;
  // What was found missing is marked as lost, and comes back as that.
  assertSound(directory, (name) => isGone(life, name));
  const files = new Map<string, Uint8Array>();
  const database = MetadataDatabase.open({ directory, readOnly: true });
  try {
    const tree = new TreeReader(database);
    for (const entry of [...tree.walk(tree.at([])!)]) {
      if (entry.names.length === 0) continue;
      const name = text(entry.names[0]);
      const data = new Uint8Array(entry.size);
      try {
        await restoreContent(entry, {
          tree,
          store: zero.bucket,
          take: (index, bytes) => data.set(bytes, index * CHUNK),
        });
      } catch (error) {
        if (!isHarmed(life, database, entry.inode)) throw error;
        continue;
      }
      const known = history.get(name)?.some((content) => Buffer.from(content).equals(data));
      assert(known || data.length === 0, `${name} comes back with content that it never had`);
      files.set(name, data);
    }
    return files;
  } finally {
    database.close({ clean: false });
  }
}

/** An old copy of the cache is put back and mounted; what it shows then, or a recovery, goes on. */
async function putBack(life: Life): Promise<void> {
  const { zero, copy, store } = life;
  life.copy = undefined;
  if (copy === undefined) {
    const cache = OldCopy.take(zero);
    life.copy = { cache, files: new Map(life.files), versions: new Map(life.versions) };
    return;
  }
  const next = await copy.cache.putBack(zero, { store, beginning: BEGINNING });
  life.zero = next.zero;
  if (next.recovered === undefined) {
    life.copies.current++;
    Object.assign(life, { files: copy.files, versions: copy.versions });
  } else {
    life.copies.old++;
    // Versions that the lost cache made may have been given their numbers anew.
    Object.assign(life, { files: await contentsOf(life, next.recovered), versions: new Map() });
  }
}

async function step(life: Life): Promise<void> {
  const { zero, random, files, contents, store } = life;
  const action = random.fraction();
  const name = `name${random.below(NAMES)}`;
  if (action < 0.28) {
    const content = random.fraction() < 0.4
      ? contents[random.below(contents.length)]
      : random.bytes(1 + random.below(5 * CHUNK));
    zero.write(name, content);
    files.set(name, content);
    remember(life, name, content);
  } else if (action < 0.46) {
    await zero.pass(random.below(20_000));
    noteVersions(life);
  } else if (action < 0.54) {
    const inode = zero.find(name);
    if (inode !== undefined && store.rate === 0 && !store.denied) await zero.evict([inode]);
  } else if (action < 0.62) {
    await readBack(life, name);
  } else if (action < 0.71) {
    const victim = [...files.keys()][random.below(Math.max(1, files.size))];
    if (victim === undefined) return;
    zero.unlink(victim);
    files.delete(victim);
  } else if (action < 0.76) {
    await undelete(life);
  } else if (action < 0.83) {
    zero.days(random.below(5));
  } else if (action < 0.87) {
    store.rate = random.fraction() < 0.5 ? 0 : 0.15;
    store.damage = random.fraction() < 0.7;
    store.denied = random.fraction() < 0.15;
  } else if (action < 0.89) {
    await recover(life);
  } else if (action < 0.91) {
    await putBack(life);
  } else {
    await collect(life);
  }
  zero.turn();
}

/** A pack that files rely on is gone, by somebody else's hand. */
async function loseOne(life: Life): Promise<void> {
  const { zero, random, vanished } = life;
  const keys = await zero.packObjects();
  if (keys.length === 0) return;
  const key = keys[random.below(keys.length)];
  for await (const { versionId } of zero.bucket.listVersions(key)) {
    await zero.bucket.delete(key, versionId);
  }
  vanished.add(key);
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
  Object.assign(store, { rate: 0, damage: false, denied: false });
  await zero.pass(300_000);
  await zero.sync();
  await collect(life);
  await recover(life);
  await zero.evict([...files.keys()].map((name) => zero.find(name)!));
  for (const name of files.keys()) await readBack(life, name);
  for (let week = 0; week < 5; week++) {
    await zero.collect({ apply: true });
    zero.turn();
    zero.days(8);
  }
  const report = await zero.collect({ apply: true });
  assert.deepEqual([report.dead.objects, report.unknown.objects], [0, 0]);
  if (life.vanished.size === 0) assert.equal(report.missing, 0);
  await assertReferencedAreThere(life);
  await recover(life);
}

const struck = new Map<string, number>();

async function live(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  let store: FaultyStore | undefined;
  const zero = new ShippingFixture({
    ...BEGINNING,
    seed,
    wrap: (inner) => store = new FaultyStore(inner, new SeededRandom(seed + 100)),
  });
  const life: Life = {
    zero,
    store: store!,
    random,
    files: new Map(),
    versions: new Map(),
    contents: Array.from({ length: 8 }, () => random.bytes(1 + random.below(3 * CHUNK))),
    history: new Map(),
    vanished: new Set(),
    counts: { collections: 0, undeleted: 0, recoveries: 0, reads: 0, lostReads: 0 },
    copy: undefined,
    copies: { current: 0, old: 0 },
  };
  try {
    await zero.clock.until((await zero.lease).settled);
    for (let at = 0; at < STEPS; at++) {
      await step(life);
      if (at % 50 === 49) await vanish(life);
      // Every second life also loses what it needs.
      if (seed % 2 === 0 && at % 200 === 199) await loseOne(life);
    }
    await finish(life);
  } finally {
    await life.zero[Symbol.asyncDispose]();
  }
  const { counts, copies } = life;
  if (soak) console.log({ seed, ...counts, ...copies, ...store!.struck });
  assert.ok(counts.collections > 10, `${counts.collections} collections`);
  assert.ok(counts.undeleted > 3, `${counts.undeleted} brought back`);
  assert.ok(counts.recoveries > 5 && counts.reads > 20, JSON.stringify(counts));
  assert.ok(store!.deleted.some(({ key }) => key.startsWith("packs/")), "something was deleted");
  const happened = { ...store!.struck, "current copies": copies.current, "old copies": copies.old };
  for (const [kind, times] of Object.entries(happened)) {
    struck.set(kind, (struck.get(kind) ?? 0) + times);
  }
}

for (let seed = 1; seed <= SEEDS; seed++) {
  Deno.test(`no fault makes anybody lose what he needs, or read what was not written (seed ${seed})`, () =>
    live(seed));
}

Deno.test("every kind of fault has struck in these lives", () => {
  for (const [kind, times] of struck) assert(times > 0, `${kind} never struck`);
  assert.equal(struck.size, 9);
});
