/** A mount that follows another one shows what recovery would bring back, state after state, and no mixture. */
import assert from "node:assert/strict";
import { Secrets } from "../../src/format/secrets.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { followedTo } from "../../src/metadata/follow.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { fromHex } from "../../src/runtime/random.ts";
import { buildFollower, cannotContinue } from "../../src/tiering/follow_build.ts";
import { MetadataFollower } from "../../src/tiering/metadata_follower.ts";
import { planRecovery } from "../../src/tiering/recovery_plan.ts";
import { CareFixture, CHUNK, FILE_SYSTEM } from "../harness/care_fixture.ts";
import {
  recoverFrom,
  scratch,
  ShippingFixture,
  text,
  treeOf,
} from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const soak = Deno.env.get("ZERO_SOAK") !== undefined;
const SEEDS = soak ? 60 : 4;
const STEPS = soak ? 150 : 40;
const ESTALE = 116;
const EROFS = 30;

const bytes = (value: string) => new TextEncoder().encode(value);
const data = (length: number, seed: number) => new SeededRandom(seed + 1).bytes(length);

/** A second cache on the bucket of a mount that ships. */
class Reader extends CareFixture {
  readonly follower: MetadataFollower;
  missing = 0;
  /** The bucket answers the mount only when this is over. */
  held: Promise<void> = Promise.resolve();

  private constructor(writer: ShippingFixture, cache: string) {
    let missing = () => {};
    let held = () => Promise.resolve();
    super({
      wrap: (inner) =>
        new Proxy(inner, {
          get: (target, name) => {
            const value = Reflect.get(target, name);
            if (name !== "get") return typeof value === "function" ? value.bind(target) : value;
            return async (...rest: Parameters<ObjectStore["get"]>) => {
              await held();
              return await target.get(...rest);
            };
          },
        }),
      clock: writer.clock,
      bucket: writer.bucket,
      cache,
      seed: 99,
      secrets: writer.secrets,
      following: true,
      onMissing: () => missing(),
    });
    missing = () => this.missing++;
    held = () => this.held;
    this.follower = new MetadataFollower({
      store: writer.bucket,
      fileSystem: FILE_SYSTEM,
      secrets: writer.secrets,
      ...followedTo(this.database),
      clock: writer.clock,
      intervalMs: 60_000,
      show: (state) => this.port.call("follow", state),
      log: (level, message, fields) => void this.log.push(`${level} ${message} ${fields?.error}`),
    });
  }

  static async of(writer: ShippingFixture): Promise<Reader> {
    const cache = scratch();
    await buildFollower({
      plan: await planRecovery({
        store: writer.bucket,
        fileSystem: FILE_SYSTEM,
        secrets: writer.secrets,
      }),
      secrets: writer.secrets,
      store: writer.bucket,
      storeUrl: "memory:",
      fileSystem: FILE_SYSTEM,
      chunkSize: CHUNK,
      directory: cache,
      clock: writer.clock,
      root: { uid: 0, gid: 0, mode: 0o755 },
    });
    return new Reader(writer, cache);
  }

  async look(): Promise<void> {
    await this.clock.until(this.follower.look());
    this.turn();
  }

  names(): string[] {
    return [...treeOf(this.database).keys()].filter((name) => name !== "").sort();
  }
}

/** What a tree shows, and where the bytes of each file lie. */
function shown(database: MetadataDatabase): unknown {
  const tree = new TreeReader(database);
  const pieces = [...tree.walk(tree.at([])!)].map(({ names, inode }) => [
    names.map(text).join("/"),
    tree.working(inode, { after: -1, limit: 1000 }).map(({ index, valid, bucket }) => [
      index,
      valid,
      bucket?.chunk,
      bucket && text(bucket.pack),
      bucket?.offset,
    ]),
  ]);
  return { tree: [...treeOf(database)], pieces };
}

/** The reader shows exactly what a recovery of this moment would. */
async function assertLikeRecovery(writer: ShippingFixture, reader: Reader): Promise<void> {
  const { directory } = await recoverFrom(writer.bucket, writer);
  const database = MetadataDatabase.open({ directory, readOnly: true });
  try {
    assert.deepEqual(shown(reader.database), shown(database));
  } finally {
    database.close({ clean: false });
    Deno.removeSync(directory, { recursive: true });
  }
  const sums = reader.database.statement(
    `SELECT t.files - f AS files, t.allocated - a AS allocated, t.resident - r AS resident
     FROM total t, (SELECT count(*) AS f, sum(allocated) AS a, sum(resident) AS r FROM inode)`,
  ).get();
  assert.deepEqual({ ...sums }, { files: 0, allocated: 0, resident: 0 });
  const wrong = reader.database.statement(
    `SELECT id FROM chunk c WHERE refs <> (SELECT count(*) FROM map WHERE chunk = c.id) +
       (SELECT count(*) FROM version_chunk WHERE chunk = c.id)`,
  ).all();
  assert.deepEqual(wrong, []);
  assert.deepEqual(reader.database.statement("PRAGMA main.foreign_key_check").all(), []);
}

async function pair(
  body: (writer: ShippingFixture, reader: Reader) => Promise<void>,
  prepare: (writer: ShippingFixture) => void = () => {},
  secrets?: Secrets,
): Promise<void> {
  await using writer = new ShippingFixture({ secrets });
  prepare(writer);
  await writer.ship();
  await using reader = await Reader.of(writer);
  await body(writer, reader);
  assert.deepEqual(reader.follower.report.trouble, undefined, reader.log.join("\n"));
}

Deno.test("what another mount writes, renames and removes is shown once it has shipped it", () =>
  pair(async (writer, reader) => {
    assert.deepEqual(reader.names(), ["file"]);
    assert.deepEqual(await reader.read(reader.find("file")!), bytes("first"));
    const directory = writer.answered(writer.kernel.mkdir(1, { name: "dir", mode: 0o750 })).inode;
    writer.write("inside", data(3 * CHUNK, 1), directory);
    writer.write("file", bytes("second, longer"));
    await reader.look();
    assert.deepEqual(reader.names(), ["file"], "nothing is shown before it is shipped");
    await writer.ship();
    await reader.look();
    await assertLikeRecovery(writer, reader);
    assert.deepEqual(await reader.read(reader.find("file")!), bytes("second, longer"));
    const inside = reader.find("inside", directory)!;
    assert.deepEqual(await reader.read(inside), data(3 * CHUNK, 1));
    writer.unlink("inside", directory);
    writer.answered(
      writer.kernel.rename(1, { name: "file", newParent: directory, newName: "moved" }),
    );
    await writer.ship();
    await reader.look();
    await assertLikeRecovery(writer, reader);
    assert.deepEqual(reader.names(), ["dir", "dir/moved"]);
    assert.equal(reader.follower.report.waiting, 0);
    assert.equal(reader.core.space.resident + reader.core.space.reserved, 4096);
  }, (writer) => writer.write("file", bytes("first"))));

Deno.test("a file whose new content is not uploaded yet is shown as it was, and a new one not at all", () =>
  pair(async (writer, reader) => {
    writer.engine.pauseUploads();
    writer.write("kept", bytes("the second version"));
    writer.write("temporary", bytes("by rename"));
    writer.answered(
      writer.kernel.rename(1, { name: "temporary", newParent: 1, newName: "replaced" }),
    );
    writer.write("new", bytes("not there yet"));
    writer.write("empty", new Uint8Array());
    await writer.shipMetadata();
    await reader.look();
    await assertLikeRecovery(writer, reader);
    assert.deepEqual(reader.names(), ["empty", "kept", "replaced"]);
    assert.deepEqual(await reader.read(reader.find("replaced")!), data(2 * CHUNK, 1));
    writer.engine.resumeUploads();
    await writer.ship();
    await reader.look();
    await assertLikeRecovery(writer, reader);
    assert.deepEqual(await reader.read(reader.find("replaced")!), bytes("by rename"));
    assert.deepEqual(await reader.read(reader.find("new")!), bytes("not there yet"));
  }, (writer) => {
    writer.write("kept", bytes("the first"));
    writer.write("replaced", data(2 * CHUNK, 1));
  }));

Deno.test("who has a file open while another mount changes it gets ESTALE, never parts of both", () =>
  pair(async (writer, reader) => {
    const { kernel } = reader;
    const inode = reader.find("file")!;
    const old = reader.answered(kernel.open(inode, { flags: 0 })).handle;
    const other = reader.answered(kernel.open(reader.find("same")!, { flags: 0 })).handle;
    // Waits for the bucket while the file changes.
    const answered = Promise.withResolvers<void>();
    reader.held = answered.promise;
    const parked = kernel.read(inode, { handle: old, offset: 2 * CHUNK, size: CHUNK });
    assert(parked.pending);
    writer.write("file", data(4 * CHUNK, 2));
    writer.answered(writer.kernel.setattr(writer.find("same")!, { mode: 0o100600 }));
    await writer.ship();
    await reader.look();
    assert.equal(parked.errno, ESTALE);
    answered.resolve();
    assert.equal(kernel.read(inode, { handle: old, offset: 0, size: 10 }).errno, ESTALE);
    reader.answered(kernel.release(inode, { handle: old }));
    assert.deepEqual(await reader.read(inode), data(4 * CHUNK, 2));
    // Attributes alone make nobody stale.
    const same = kernel.read(reader.find("same")!, { handle: other, offset: 0, size: 10 });
    for (let waited = 0; same.pending && waited < 100; waited++) await reader.pass(500);
    assert.deepEqual(same.value, bytes("same"));
    reader.answered(kernel.release(reader.find("same")!, { handle: other }));
  }, (writer) => {
    writer.write("file", data(4 * CHUNK, 1));
    writer.write("same", bytes("same"));
  }));

Deno.test("an encrypted file system is followed with its key, and read", () =>
  pair(
    async (writer, reader) => {
      writer.write("file", data(3 * CHUNK, 2));
      writer.write("new", bytes("secret"));
      await writer.ship();
      await reader.look();
      await assertLikeRecovery(writer, reader);
      assert.deepEqual(await reader.read(reader.find("file")!), data(3 * CHUNK, 2));
      assert.deepEqual(await reader.read(reader.find("new")!), bytes("secret"));
    },
    (writer) => writer.write("file", bytes("first")),
    new Secrets({ fileSystem: fromHex(FILE_SYSTEM), master: data(32, 7) }),
  ));

Deno.test("nothing can be changed, and nothing is asked of the bucket but reads", () =>
  pair(async (writer, reader) => {
    const objects = [...await keys(writer)];
    const { kernel } = reader;
    const inode = reader.find("file")!;
    assert.equal(kernel.mkdir(1, { name: "dir" }).errno, EROFS);
    assert.equal(kernel.create(1, { name: "new", flags: 2 }).errno, EROFS);
    assert.equal(kernel.open(inode, { flags: 1 }).errno, EROFS);
    assert.equal(kernel.unlink(1, "file").errno, EROFS);
    assert.equal(kernel.setattr(inode, { mode: 0o100600 }).errno, EROFS);
    await reader.read(inode);
    await reader.sync();
    await reader.evict([inode]);
    assert.equal(reader.core.space.resident, 0, "what is here can be dropped");
    assert.deepEqual(await reader.read(inode), bytes("first"));
    await reader.pass(120_000);
    assert.deepEqual(await keys(writer), objects);
  }, (writer) => writer.write("file", bytes("first"))));

Deno.test("a pack that garbage collection took away ends in an error, and the next look shows what is", () =>
  pair(async (writer, reader) => {
    const inode = reader.find("file")!;
    const [pack] = await writer.packObjects();
    writer.write("file", data(2 * CHUNK, 2));
    await writer.ship();
    for await (const { key, versionId } of writer.bucket.listVersions(pack)) {
      await writer.bucket.delete(key, versionId);
    }
    const { handle } = reader.answered(reader.kernel.open(inode, { flags: 0 }));
    const read = reader.kernel.read(inode, { handle, offset: 0, size: 10 });
    for (let waited = 0; read.pending && waited < 100; waited++) await reader.pass(500);
    assert.equal(read.errno, 5);
    assert(reader.missing > 0);
    reader.answered(reader.kernel.release(inode, { handle }));
    await reader.look();
    assert.deepEqual(await reader.read(inode), data(2 * CHUNK, 2));
  }, (writer) => writer.write("file", data(2 * CHUNK, 1))));

Deno.test("following goes on after a remount, and is given up where the series went another way", () =>
  pair(async (writer, reader) => {
    writer.write("one", bytes("1"));
    await writer.ship();
    const { head } = followedTo(reader.database);
    const options = { store: writer.bucket, fileSystem: FILE_SYSTEM };
    assert.equal(await cannotContinue(head, options), undefined);
    const elsewhere = { ...head, hash: "7".repeat(64) };
    assert.match(await cannotContinue(elsewhere, options) ?? "", /gone on from another state/);
    await reader.look();
    assert.deepEqual(reader.names(), ["file", "one"]);
  }, (writer) => writer.write("file", bytes("first"))));

async function keys(writer: ShippingFixture): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of writer.bucket.listVersions("")) found.push(key);
  return found;
}

/** Anything that a mount may do, and how much of it reaches the bucket. */
async function step(writer: ShippingFixture, random: SeededRandom): Promise<void> {
  const name = () => `f${random.below(6)}`;
  const { kernel } = writer;
  const inode = writer.find(name());
  switch (random.below(10)) {
    case 0:
    case 1:
      return void writer.write(name(), random.bytes(random.below(4 * CHUNK)));
    case 2:
      if (writer.find(name()) === undefined) return;
      return void kernel.rename(1, { name: name(), newParent: 1, newName: name() });
    case 3: {
      const gone = name();
      if (writer.find(gone) !== undefined) writer.unlink(gone);
      return;
    }
    case 4:
      if (inode !== undefined) kernel.setattr(inode, { size: random.below(5 * CHUNK) });
      return;
    case 5:
      if (inode !== undefined) {
        kernel.setxattr(inode, { name: `user.${random.below(3)}`, value: random.bytes(9) });
      }
      return;
    case 6:
      if (inode !== undefined) kernel.link(1, { name: name(), target: inode });
      return;
    case 7:
      if (random.below(2) === 0) writer.engine.pauseUploads();
      else writer.engine.resumeUploads();
      return await writer.pass(20_000);
    case 8:
      // Packs that are mostly garbage are copied: chunks move.
      writer.days(8);
      return void await writer.collect();
    default:
      writer.days(random.below(5));
      writer.engine.resumeUploads();
      return void await writer.ship();
  }
}

for (let seed = 1; seed <= SEEDS; seed++) {
  Deno.test(`random changes are followed to what recovery shows, seed ${seed}`, () =>
    pair(async (writer, reader) => {
      const random = new SeededRandom(seed);
      for (let at = 0; at < STEPS; at++) {
        await step(writer, random);
        writer.turn();
        if (random.below(3) > 0) continue;
        await writer.shipMetadata();
        if (random.below(2) === 0) continue;
        await reader.look();
        await assertLikeRecovery(writer, reader);
        for (const name of reader.names()) {
          if (random.below(3) === 0) await reader.read(reader.find(name)!);
        }
      }
    }));
}
