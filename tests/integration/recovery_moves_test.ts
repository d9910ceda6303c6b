/**
 * Recovery of what moves and goes while metadata is shipped: chunks that a repack put into another pack,
 * versions that left the trash, packs that were deleted. Whatever stands in which object, every state
 * that counts can be rebuilt.
 */
import assert from "node:assert/strict";
import { RecordTable } from "../../src/domain/metadata_rows.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { ExportReader } from "../../src/metadata/export_reader.ts";
import { Rebuild, REBUILD_ORDER } from "../../src/metadata/rebuild.ts";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { CHUNK, FILE_SYSTEM } from "../harness/care_fixture.ts";
import {
  assertSound,
  recoverFrom,
  scratch,
  ShippingFixture,
  treeOf,
} from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

/** Recovers from the bucket as it is, and asserts that it is sound. */
async function assertRecovers(fixture: ShippingFixture, tree?: Map<string, unknown>) {
  const { directory } = await recoverFrom(fixture.bucket, fixture);
  try {
    assertSound(directory);
    if (tree === undefined) return;
    const database = MetadataDatabase.open({ directory, readOnly: true });
    const recovered = treeOf(database);
    database.close({ clean: false });
    assert.deepEqual(recovered, tree);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Moves some live chunks of a pack to a new one, as a repack does; the rows only. */
function moveChunks({ database }: ShippingFixture, random: SeededRandom): void {
  const packs = database.statement("SELECT id FROM pack WHERE live_chunks > 0").all();
  if (packs.length === 0) return;
  const from = packs[random.below(packs.length)].id as number;
  const chunks = database.statement("SELECT id FROM chunk WHERE pack = ? AND refs > 0").all(from)
    .filter(() => random.fraction() < 0.7) as { id: number }[];
  if (chunks.length === 0) return;
  database.transaction(() => {
    database.statement("UPDATE total SET sequence = sequence + 1").run();
    const { id } = database.statement(
      `INSERT INTO pack (name, version_id, bytes, verified, created_ms)
       VALUES (?, 'v', 500, 1, 0) RETURNING id`,
    ).get(random.bytes(16)) as { id: number };
    const move = database.statement(
      "UPDATE chunk SET pack = ?, ordinal = ?, offset = ? WHERE id = ?",
    );
    chunks.forEach((chunk, i) => move.run(id, i, 48 + i * 10, chunk.id));
  });
}

/** Packs that nothing refers to are deleted, without any care. */
function forgetDead({ database }: ShippingFixture): void {
  const dead = "SELECT id FROM pack WHERE live_chunks = 0 AND dead_at IS NOT NULL";
  database.transaction(() => {
    database.statement("UPDATE total SET sequence = sequence + 1").run();
    database.statement(`DELETE FROM chunk WHERE pack IN (${dead})`).run();
    database.statement(`DELETE FROM pack WHERE id IN (${dead})`).run();
  });
}

async function emptyTrash({ port }: ShippingFixture): Promise<void> {
  const trash = await port.call("trash", { after: 0, limit: 1000 });
  await port.call("purgeTrash", { versions: trash.map(({ version }) => version) });
}

Deno.test("what has left the trash, and packs that were deleted, do not stand in the way of a recovery", async () => {
  await using zero = new ShippingFixture();
  zero.write("gone", new Uint8Array(3 * CHUNK).fill(1));
  await zero.ship();
  zero.write("stays", new Uint8Array(3 * CHUNK).fill(2));
  await zero.ship();
  zero.unlink("gone");
  await emptyTrash(zero);
  zero.turn();
  await zero.ship();
  // Its list of chunks was told once, and nobody ever says that it is gone.
  await assertRecovers(zero, treeOf(zero.database));
  forgetDead(zero);
  await zero.ship();
  await assertRecovers(zero, treeOf(zero.database));
});

Deno.test("a chunk that two packs list, one as before a repack and one as after it, is in the newer one", async () => {
  await using zero = new ShippingFixture();
  const random = new SeededRandom(5);
  zero.write("file", random.bytes(4 * CHUNK));
  await zero.ship();
  const reader = new ExportReader(zero.cache);
  const list = (key: number) => reader.read(() => reader.record({ table: 7, key }));
  const [{ id: old }] = zero.database.statement("SELECT id FROM pack").all() as { id: number }[];
  const before = list(old);
  moveChunks(zero, random);
  const moved = zero.database.statement("SELECT id, pack FROM chunk ORDER BY id").all();
  assert(moved.some(({ pack }) => pack !== old));
  const directory = scratch();
  const database = MetadataDatabase.create({
    directory,
    fileSystemId: FILE_SYSTEM,
    chunkSize: CHUNK,
    store: "memory:",
    clock: zero.clock,
  });
  database.transaction(() => {
    const rebuild = new Rebuild(database);
    for (const table of REBUILD_ORDER) {
      for (const key of reader.keys(table, 0, 1000)) {
        const isOld = table === RecordTable.PACK_LIST && key === old;
        rebuild.add(isOld ? before : reader.read(() => reader.record({ table, key })));
      }
    }
    rebuild.finish({ nowMs: 0, newest: true });
  });
  assert.deepEqual(
    database.statement("SELECT id, pack FROM chunk ORDER BY id").all(),
    moved,
  );
  database.close({ clean: true });
  reader.close();
  assertSound(directory);
});

/** A bucket that lets a test look at it after PUTs of metadata. */
function watched(inner: MemoryObjectStore, afterPut: () => Promise<void>): ObjectStore {
  return new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== "put") return typeof value === "function" ? value.bind(target) : value;
      return async (...rest: Parameters<ObjectStore["put"]>) => {
        const result = await target.put(...rest);
        if (rest[0].startsWith("metadata/")) await afterPut();
        return result;
      };
    },
  });
}

/** Objects of three keys and groups of six, so that every state is told in many. */
const TINY = {
  OBJECT_KEYS: 3,
  GROUP_KEYS: 6,
  SEGMENT_KEYS: { 1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2 },
};

for (const seed of [1, 2, 3]) {
  Deno.test(`chunks that move between the objects that tell of them are found again, seed ${seed}`, async () => {
    const random = new SeededRandom(seed);
    let looking = true;
    let looks = 0;
    await using zero: ShippingFixture = new ShippingFixture({
      snapshotBytes: 1500,
      exportLimits: TINY,
      wrap: (inner) =>
        watched(inner, async () => {
          if (looking || random.fraction() > 0.1) return;
          looking = true;
          await assertRecovers(zero);
          looks++;
          looking = false;
        }),
    });
    zero.write("first", random.bytes(CHUNK));
    await zero.ship();
    looking = false;
    zero.exporter.before = (call) => {
      if (call === "unshipped" || random.fraction() > 0.3) return;
      moveChunks(zero, random);
      if (random.fraction() < 0.3) forgetDead(zero);
    };
    for (let step = 0; step < 12; step++) {
      const name = `name${random.below(6)}`;
      if (random.fraction() < 0.2 && zero.find(name) !== undefined) zero.unlink(name);
      else zero.write(name, random.bytes(1 + random.below(5 * CHUNK)));
      if (random.fraction() < 0.2) await emptyTrash(zero);
      if (random.fraction() < 0.3) await zero.ship();
      else await zero.pass(random.below(20_000));
    }
    zero.exporter.before = () => {};
    await zero.ship();
    looking = true;
    await assertRecovers(zero, treeOf(zero.database));
    assert(looks > 3, `${looks} looks`);
    assert.deepEqual(zero.log.filter((line) => line.startsWith("error")), []);
  });
}
