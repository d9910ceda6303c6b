/** What becomes of files that are gone: rows and content of many go together, of large ones in slices. */
import assert from "node:assert/strict";
import { CHUNK, data, lawTest } from "../harness/law_test.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";

const ROWS = 1000;
const OPEN_READ_WRITE = 2;

/** A file without bytes that has so many rows, as a large evicted one has. */
function manyRows(fixture: FilesystemFixture, name: string, rows: number): number {
  const file = fixture.create(name, { flags: OPEN_READ_WRITE });
  fixture.write(file, 0, data(1, CHUNK));
  fixture.closeFile(file);
  fixture.database.transaction(() => {
    const insert = fixture.database.statement(
      "INSERT INTO map (inode, idx, chunk, length, resident, generation) VALUES (?, ?, NULL, 1, 1, 1)",
    );
    for (let index = 1; index < rows; index++) insert.run(file.inode, index);
    const charge = rows * 4096 - 4096 + CHUNK;
    const inode = fixture.core.inodes.require(file.inode);
    Object.assign(inode, { allocated: charge, resident: charge, local: charge });
    fixture.core.inodes.writeContent(inode);
    fixture.core.space.resident += charge - CHUNK;
  });
  return file.inode;
}

function remove(fixture: FilesystemFixture, name: string, inode: number): void {
  assert.equal(fixture.kernel.unlink(1, name).errno, 0);
  fixture.kernel.forget(inode, fixture.kernel.lookups.get(inode) ?? 0);
}

const count = (fixture: FilesystemFixture, table: string) =>
  (fixture.database.statement(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n;

lawTest("large files among small ones that are removed together go in slices", (fixture) => {
  const files: [string, number][] = [];
  for (let i = 0; i < 40; i++) {
    const name = `f${i}`;
    const inode = manyRows(fixture, name, i % 13 === 5 ? 2 * ROWS + 7 : 1);
    files.push([name, inode]);
  }
  fixture.core.flushAll();
  const resident = fixture.core.space.resident;
  assert.ok(resident > 0);
  for (const [name, inode] of files) remove(fixture, name, inode);
  for (let turns = 0; fixture.filesystem.reaper.busy; turns++) {
    assert.ok(turns < 1000, "it never ends");
    const before = count(fixture, "map");
    fixture.turn();
    assert.ok(before - count(fixture, "map") <= ROWS, "more rows than a slice may have");
    fixture.disk.step();
  }
  fixture.quiesce();
  assert.equal(count(fixture, "map"), 0);
  assert.equal(count(fixture, "orphan"), 0);
  assert.equal(count(fixture, "inode"), 1);
});

lawTest(
  "content of files that are removed one after the other leaves with few syncs",
  (fixture) => {
    const names = Array.from({ length: 200 }, (_, i) => `f${i}`);
    const inodes = names.map((name) => {
      const file = fixture.create(name);
      fixture.write(file, 0, data(1, 100));
      fixture.closeFile(file);
      return file.inode;
    });
    fixture.quiesce();
    const before = fixture.disk.log.length;
    names.forEach((name, i) => {
      remove(fixture, name, inodes[i]);
      fixture.clock.pass(1);
      fixture.turn();
      while (fixture.disk.step());
    });
    fixture.quiesce();
    const syncs = fixture.disk.log.slice(before).filter((label) => label.startsWith("sync")).length;
    assert.ok(syncs <= 4, `${syncs} syncs`);
    assert.equal(fixture.core.space.leaving, 0);
    fixture.assertAtRest();
  },
);

lawTest("rows of files that are let go of one after the other go together, and soon", (fixture) => {
  const names = Array.from({ length: 100 }, (_, i) => `f${i}`);
  const inodes = names.map((name) => {
    const file = fixture.create(name);
    fixture.closeFile(file);
    return file.inode;
  });
  fixture.quiesce();
  let left = count(fixture, "inode");
  let batches = 0;
  names.forEach((name, i) => {
    remove(fixture, name, inodes[i]);
    fixture.clock.pass(1);
    fixture.turn();
    const now = count(fixture, "inode");
    if (now < left) batches++;
    // Nobody finds what is not deleted yet.
    assert.equal(fixture.kernel.lookup(1, name).value.inode, 0);
    assert.equal(count(fixture, "orphan"), now - (names.length - 1 - i) - 1);
    left = now;
  });
  assert.ok(batches <= 8, `${batches} batches`);
  fixture.clock.pass(20);
  fixture.turn();
  assert.equal(count(fixture, "inode"), 1);
  assert.equal(count(fixture, "orphan"), 0);
});

lawTest("rows of what is removed last are not left to the next mount", (fixture) => {
  const inodes = ["a", "b"].map((name) => {
    const file = fixture.create(name);
    fixture.closeFile(file);
    return file.inode;
  });
  remove(fixture, "a", inodes[0]);
  fixture.turn();
  remove(fixture, "b", inodes[1]);
  fixture.turn();
  assert.equal(count(fixture, "orphan"), 1, "it does not wait for others");
  fixture.filesystem.reaper.discardNow();
  assert.equal(count(fixture, "orphan"), 0);
});
