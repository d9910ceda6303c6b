/** An encrypted file system, whole: nothing plain reaches the bucket, and everything comes back from it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { FormatError } from "../../src/format/format_error.ts";
import { Secrets } from "../../src/format/secrets.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import { DirectoryObjectStore } from "../../src/object_store/directory_object_store.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { openObjectStore } from "../../src/object_store/open_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { fromHex, systemRandom } from "../../src/runtime/random.ts";
import { restoreContent } from "../../src/tiering/content_restore.ts";
import { verifyPacks } from "../../src/tiering/fsck_deep.ts";
import { CHUNK, FILE_SYSTEM } from "../harness/care_fixture.ts";
import { startB2Simulator } from "../harness/b2_simulator.ts";
import {
  assertSound,
  recoverFrom,
  ShippingFixture,
  text,
  treeOf,
} from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";
import { until } from "../harness/until.ts";

const random = new SeededRandom(77);
const secrets = new Secrets({ fileSystem: fromHex(FILE_SYSTEM), master: random.bytes(32) });
const bytes = (value: string) => new TextEncoder().encode(value);

/** Names and content that must not be seen, each long enough not to come about by chance. */
const names = ["holiday-in-norway.txt", "a very private directory", "letter to grandmother"];
const contents = [
  bytes("The quick brown fox jumps over the lazy dog. ".repeat(2000)),
  random.bytes(3 * CHUNK + 123),
  bytes("tiny, but mine"),
];

/** Everything in the bucket, all versions. */
async function objects(bucket: ObjectStore): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for await (const { key, versionId } of bucket.listVersions("")) {
    found.set(key, Buffer.from(await bucket.get(key, { versionId })));
  }
  return found;
}

async function assertNothingPlain(bucket: ObjectStore): Promise<void> {
  const needles = new Map<string, Uint8Array>(names.map((name) => [name, bytes(name)]));
  needles.set("red mark", bytes("red mark")).set("user.colour", bytes("user.colour"));
  for (const [i, content] of contents.entries()) {
    for (let at = 0; at < content.length; at += CHUNK) {
      const chunk = content.subarray(at, at + CHUNK);
      needles.set(`content ${i}`, content.subarray(0, 14));
      needles.set(`hash of ${i} at ${at}`, createHash("sha256").update(chunk).digest());
      needles.set(`id of ${i} at ${at}`, secrets.chunkId(chunk));
    }
  }
  const all = await objects(bucket);
  assert.ok([...all.keys()].some((key) => key.startsWith("packs/")));
  assert.ok([...all.keys()].some((key) => key.startsWith("metadata/")));
  for (const [key, object] of all) {
    for (const [what, needle] of needles) {
      assert.equal(object.indexOf(needle), -1, `${what} in ${key}`);
      assert.equal(object.indexOf(Buffer.from(needle).toString("hex")), -1, `${what} in ${key}`);
      assert.ok(!key.includes(text(needle)), `${what} in the key ${key}`);
    }
  }
}

async function withTree(
  body: (zero: ShippingFixture, inodes: number[]) => Promise<void>,
  { store, snapshotBytes }: { store?: ObjectStore; snapshotBytes?: number } = {},
): Promise<void> {
  const wrap = store && (() => store);
  await using zero = new ShippingFixture({ secrets, snapshotBytes, wrap });
  const { kernel } = zero;
  const directory = zero.answered(kernel.mkdir(1, { name: names[1], mode: 0o755 })).inode;
  const inodes = [
    zero.write(names[0], contents[0]),
    zero.write(names[2], contents[1], directory),
    zero.write("tiny", contents[2]),
  ];
  kernel.setxattr(inodes[0], { name: "user.colour", value: bytes("red mark") });
  kernel.symlink(1, { name: "link", target: names[0] });
  await zero.ship();
  await body(zero, inodes);
}

/** The engine takes one by itself; a store that is not in memory takes real time. */
async function snapshotTaken(zero: ShippingFixture): Promise<void> {
  await until("a snapshot is taken", async () => {
    await zero.pass(1000);
    return zero.log.some((line) => line.includes("took a snapshot"));
  });
}

/** Ships into a store, changes something, takes a snapshot, evicts, recalls, recovers. */
async function goThrough(store?: ObjectStore): Promise<void> {
  await withTree(async (zero, inodes) => {
    zero.write("tiny", bytes("tiny, and other"));
    await zero.ship();
    await snapshotTaken(zero);
    await assertNothingPlain(zero.store);
    await zero.evict(inodes);
    await zero.clock.until(zero.engine.recallFiles([inodes]));
    assert.deepEqual(await zero.read(inodes[0]), contents[0]);
    assert.deepEqual(await zero.read(inodes[1]), contents[1]);
    const recovered = await recoverFrom(zero.store, { clock: zero.clock, secrets });
    assertSound(recovered.directory);
    Deno.removeSync(recovered.directory, { recursive: true });
  }, { store, snapshotBytes: 1 });
}

Deno.test("no content, name or hash of an encrypted file system is in any object, nor in a key", async () => {
  await goThrough();
});

Deno.test("no content, name or hash of an encrypted file system is in a folder that is its bucket", async () => {
  const directory = await Deno.makeTempDir();
  const store = await DirectoryObjectStore.open(directory, {
    clock: systemClock,
    random: systemRandom,
    create: true,
  });
  try {
    await goThrough(store);
  } finally {
    store.close();
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("no content, name or hash of an encrypted file system is in a bucket of B2, in no version", async () => {
  const simulator = startB2Simulator();
  const store = await openObjectStore(simulator.url("home"), {
    clock: systemClock,
    random: systemRandom,
    credentials: simulator.credentials,
  });
  try {
    await goThrough(store);
  } finally {
    store.close();
    await simulator.stop();
  }
});

Deno.test("the same content is stored once, and under another master key has another id", async () => {
  await withTree(async (zero) => {
    const before = await zero.packObjects();
    zero.write("twin", contents[1]);
    await zero.ship();
    assert.deepEqual(await zero.packObjects(), before);
    const other = new Secrets({ fileSystem: fromHex(FILE_SYSTEM), master: new Uint8Array(32) });
    assert.notDeepEqual(other.chunkId(contents[2]), secrets.chunkId(contents[2]));
  });
});

Deno.test("an encrypted file system is recovered with its key, and not without", async () => {
  await withTree(async (zero) => {
    await snapshotTaken(zero);
    const before = treeOf(zero.database);
    const { clock, bucket } = zero;
    const { directory, result } = await recoverFrom(bucket, { clock, secrets });
    assert.deepEqual(result.notNewest, []);
    assertSound(directory);
    const database = MetadataDatabase.open({ directory, readOnly: true });
    try {
      assert.deepEqual(treeOf(database), before);
      const tree = new TreeReader(database);
      for (const [i, path] of [[0, [names[0]]], [1, [names[1], names[2]]]] as const) {
        const parts: Uint8Array[] = [];
        const entry = tree.at(path.map(bytes))!;
        await restoreContent(entry, {
          tree,
          store: bucket,
          secrets,
          take: (_, piece) => void parts.push(piece),
        });
        assert.ok(Buffer.concat(parts).equals(contents[i]));
        const blind = { tree, store: bucket, take: () => {} };
        await assert.rejects(restoreContent(entry, blind), FormatError);
      }
    } finally {
      database.close({ clean: false });
      Deno.removeSync(directory, { recursive: true });
    }
    await assert.rejects(recoverFrom(bucket, { clock }), FormatError);
    const wrong = new Secrets({ ...secrets.material(), master: new Uint8Array(32) });
    await assert.rejects(recoverFrom(bucket, { clock, secrets: wrong }), FormatError);
  }, { snapshotBytes: 1 });
});

Deno.test("what was repacked is encrypted anew and still reads back", async () => {
  await withTree(async (zero) => {
    const { inodes, content, report } = await repackSparse(zero);
    assert.ok(report.repacked.objects >= 1);
    await zero.ship();
    await assertNothingPlain(zero.bucket);
    await zero.evict(inodes);
    assert.deepEqual(await zero.read(inodes[0]), content);
    assert.deepEqual(await deepCheck(zero), []);
  });
});

/** One small file lives in a pack whose others go; the collection copies it out. */
async function repackSparse(zero: ShippingFixture) {
  const content = random.bytes(1000);
  for (let i = 0; i < 7; i++) zero.write(`waste${i}`, random.bytes(CHUNK));
  const inode = zero.write("keeper", content);
  await zero.ship();
  for (let i = 0; i < 7; i++) zero.unlink(`waste${i}`);
  await zero.collect({ apply: false });
  zero.days(8);
  return { inodes: [inode], content, report: await zero.collect() };
}

/** What a deep check says is damaged. */
async function deepCheck(zero: ShippingFixture): Promise<string[]> {
  const database = MetadataDatabase.open({ directory: zero.cache, readOnly: true });
  const found: string[] = [];
  try {
    await verifyPacks({
      store: zero.bucket,
      database,
      secrets,
      clock: zero.clock,
      share: 1,
      pick: () => 0,
      bytesPerSecond: undefined,
      after: 0,
      onVerified: () => {},
      onDamage: (_, what) => void found.push(what),
      signal: new AbortController().signal,
    });
    return found;
  } finally {
    database.close({ clean: false });
  }
}

Deno.test("a deep check finds packs that were swapped, cut, flipped or put there plain", async () => {
  await withTree(async (zero) => {
    assert.deepEqual(await deepCheck(zero), []);
    const originals = await objects(zero.bucket);
    const [key, other] = (await zero.packObjects()).sort((a, b) =>
      originals.get(a)!.length - originals.get(b)!.length
    );
    const whole = originals.get(key)!;
    const flipped = Buffer.from(whole);
    flipped[60] ^= 1;
    const harms: Record<string, Buffer> = {
      swapped: originals.get(other)!,
      cut: whole.subarray(0, -20),
      flipped,
      plain: Buffer.alloc(whole.length, 7),
    };
    const get = zero.bucket.get.bind(zero.bucket);
    for (const [what, harm] of Object.entries(harms)) {
      zero.bucket.get = async (asked, options) => {
        if (asked !== key) return await get(asked, options);
        const { offset = 0, length = harm.length } = options?.range ?? {};
        return new Uint8Array(harm.subarray(offset, offset + length));
      };
      const found = await deepCheck(zero);
      assert.ok(found.length > 0 && found.every((line) => line.startsWith(key)), what);
    }
    zero.bucket.get = get;
    assert.deepEqual(await deepCheck(zero), []);
  });
});
