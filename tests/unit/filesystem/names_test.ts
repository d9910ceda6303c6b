/** Names behind a cache: what it remembers is never older than the table. */
import assert from "node:assert/strict";
import { NameCache, NO_NAME } from "../../../src/filesystem/name_cache.ts";
import { Names } from "../../../src/filesystem/names.ts";
import { MEMORY } from "../../../src/metadata/connection.ts";
import { MetadataDatabase } from "../../../src/metadata/database.ts";
import { DentryTable } from "../../../src/metadata/dentry_table.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function rig() {
  const database = MetadataDatabase.create({
    directory: MEMORY,
    fileSystemId: "test",
    chunkSize: 4 << 20,
    store: "file:///bucket",
    clock: new SimulatedClock(),
  });
  return { database, names: new Names(database), table: new DentryTable(database) };
}

Deno.test("names that are added, moved, pointed elsewhere, removed and rolled back are those of the table", () => {
  const { database, names, table } = rig();
  const random = new SeededRandom(7);
  const pick = () => bytes(`name${random.below(12)}`);
  for (let step = 0; step < 3000; step++) {
    const name = pick();
    const fails = random.below(5) === 0;
    try {
      database.transaction(() => {
        const found = names.find(1, name);
        if (found === undefined) names.insert(1, name, 1 + random.below(100));
        else if (random.below(3) === 0) names.remove(1, name, found.id);
        else if (random.below(2) === 0) names.point(found.id, 1 + random.below(100));
        else {
          const other = pick();
          if (names.find(1, other) === undefined) names.move(found.id, 1, other);
        }
        if (fails) throw new Error("as meant");
      });
    } catch (error) {
      assert.equal((error as Error).message, "as meant");
    }
    const asked = pick();
    const [known, stored] = [names.find(1, asked), table.find(1, asked)];
    assert.deepEqual([known?.id, known?.inode], [stored?.id, stored?.inode]);
  }
  database.close({ clean: true });
});

Deno.test("a name that others put into the table is found once that is said", () => {
  const { database, names, table } = rig();
  assert.equal(names.find(1, bytes("a")), undefined);
  table.insert(1, bytes("a"), 1);
  names.forget();
  assert.equal(names.find(1, bytes("a"))?.inode, 1);
  database.close({ clean: true });
});

Deno.test("of two names in one place of the cache each is answered as itself", () => {
  const cache = new NameCache();
  for (let i = 0; i < 200_000; i++) cache.put(1 + i % 7, bytes(`n${i}`), { id: i + 1, inode: i });
  let kept = 0;
  for (let i = 0; i < 200_000; i++) {
    const known = cache.get(1 + i % 7, bytes(`n${i}`));
    if (known === undefined) continue;
    kept++;
    assert.deepEqual([known.id, known.inode], [i + 1, i]);
  }
  assert(kept > 10_000 && kept <= 32_768, `${kept}`);
  const [long, longest] = ["x".repeat(64), "x".repeat(255)].map(bytes);
  for (const name of [long, longest]) {
    cache.put(3, name, { id: 1, inode: 2 });
    assert.equal(cache.get(3, name), undefined, "too long to be remembered");
  }
  cache.put(3, bytes("gone"), NO_NAME);
  assert.equal(cache.get(3, bytes("gone"))?.id, 0);
  assert.equal(cache.get(4, bytes("gone")), undefined);
});
