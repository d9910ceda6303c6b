/** The cache of inodes: one record each, nothing lost by rollbacks, held records kept. */
import assert from "node:assert/strict";
import { InodeCache } from "../../../src/filesystem/inode_cache.ts";
import type { Inode } from "../../../src/filesystem/inode.ts";
import { MetadataDatabase } from "../../../src/metadata/database.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

const time = { seconds: 1, nanoseconds: 2 };

function test(
  name: string,
  body: (parts: { database: MetadataDatabase; inodes: InodeCache; add: () => Inode }) => void,
): void {
  Deno.test(name, () => {
    const clock = new SimulatedClock();
    const database = MetadataDatabase.create({
      directory: ":memory:",
      fileSystemId: "test",
      chunkSize: 4096,
      store: "file:///bucket",
      clock,
    });
    const inodes = new InodeCache(database, { limit: 64 });
    const add = () => inodes.insert({ mode: 0o100644, uid: 0, gid: 0, nlink: 1, time });
    try {
      body({ database, inodes, add });
    } finally {
      database.close({ clean: false });
    }
  });
}

/** What the row says, read past the cache. */
function row(database: MetadataDatabase, id: number): Inode | undefined {
  return new InodeCache(database, { limit: 64 }).get(id);
}

const values = (inode: Inode | undefined) =>
  inode && { ...inode, holds: 0, pending: false, behind: false, epoch: 0 };

test("a record is the same object until it is dropped, and equals its row", ({ database, inodes, add }) => {
  const inode = add();
  assert.equal(inodes.get(inode.id), inode);
  assert.deepEqual(values(row(database, inode.id)), values(inode));
  inodes.forget(inode.id);
  assert.notEqual(inodes.get(inode.id), inode);
  assert.deepEqual(values(inodes.get(inode.id)), values(inode));
});

test("who only looks sees what is newer in memory, and leaves nothing in it", ({ inodes, add }) => {
  const [pending, other] = [add(), add()];
  pending.size = 7;
  inodes.touch(pending);
  assert.equal(inodes.peek(pending.id), pending);
  inodes.forget(other.id);
  const { size } = inodes;
  assert.equal(inodes.peek(other.id), undefined);
  assert.equal(inodes.size, size);
});

test("memory stays bounded, but held and pending records are never dropped", ({ inodes, add }) => {
  const held = add();
  const pending = add();
  held.holds++;
  pending.size = 7;
  inodes.touch(pending);
  for (let i = 0; i < 1000; i++) add();
  assert(inodes.size <= 64 + 2, `${inodes.size} records`);
  assert.equal(inodes.get(held.id), held);
  assert.equal(inodes.get(pending.id), pending);
  assert.equal(inodes.get(pending.id)!.size, 7);
});

test("more held records than the limit neither get lost nor make the cache forget the rest at once", ({ inodes, add }) => {
  const held = Array.from({ length: 200 }, () => {
    const inode = add();
    inode.holds++;
    return inode;
  });
  const other = add();
  for (let i = 0; i < 20; i++) add();
  assert.equal(inodes.get(other.id), other);
  for (const inode of held) assert.equal(inodes.get(inode.id), inode);
});

test("touched records reach their rows with the next flush, so many at a time", ({ database, inodes, add }) => {
  const touched = [add(), add(), add()];
  for (const inode of touched) {
    inode.size = 99;
    inode.dirty = true;
    inodes.touch(inode);
    inodes.touch(inode);
  }
  assert.equal(inodes.unflushed, 3);
  assert.equal(row(database, touched[0].id)!.size, 0);
  assert.equal(inodes.flush(2), 2);
  assert.equal(inodes.unflushed, 1);
  assert.equal(inodes.flush(10), 1);
  assert.equal(inodes.flush(10), 0);
  for (const inode of touched) {
    assert.deepEqual(values(row(database, inode.id)), values(inode));
    assert.equal(inode.pending, false);
  }
});

test("after a rollback records say what their rows say, in place", ({ database, inodes, add }) => {
  const [written, held, other, removed] = [add(), add(), add(), add()];
  held.holds++;
  let inserted = 0;
  assert.throws(() =>
    database.transaction(() => {
      written.nlink = 9;
      inodes.write(written);
      held.mode = 0;
      other.uid = 5;
      removed.gid = 5;
      inodes.remove([removed.id]);
      inserted = add().id;
      throw new Error("no");
    }), /no/);
  assert.equal(written.nlink, 1);
  assert.equal(held.mode, 0o100644);
  assert.equal(inodes.get(other.id), other);
  assert.equal(other.uid, 0);
  assert.equal(inodes.get(removed.id), removed);
  assert.equal(removed.gid, 0);
  assert.equal(inodes.get(inserted), undefined);
  assert.equal(add().id, inserted);
});

test("a rollback takes back neither what was pending before nor that it is pending", ({ database, inodes, add }) => {
  const inode = add();
  inode.size = 100;
  inode.generation = 3;
  inodes.touch(inode);
  const fail = (body: () => void) =>
    assert.throws(() =>
      database.transaction(() => {
        body();
        throw new Error("no");
      }), /no/);
  fail(() => {
    inode.nlink = 0;
    inodes.write(inode);
  });
  assert.deepEqual([inode.size, inode.nlink, inode.generation], [100, 1, 3]);
  assert.equal(inode.pending, true);
  assert.equal(inodes.flush(10), 1);
  assert.equal(row(database, inode.id)!.size, 100);
  fail(() => (inode.size = 5));
  assert.equal(inodes.get(inode.id)!.size, 100);
});

test("what a committed transaction wrote is what a later rollback comes back to", ({ database, inodes, add }) => {
  const inode = add();
  inode.mtimeS = 50;
  inode.size = 10;
  inodes.touch(inode);
  database.transaction(() => {
    inode.size = 20;
    inode.allocated = inode.resident = 4096;
    inodes.writeContent(inode);
  });
  assert.equal(inode.pending, true);
  assert.throws(() =>
    database.transaction(() => {
      inode.size = 30;
      inodes.writeContent(inode);
      throw new Error("no");
    }), /no/);
  assert.deepEqual([inode.size, inode.allocated, inode.mtimeS], [20, 4096, 50]);
  inodes.flush(1);
  assert.deepEqual(values(row(database, inode.id)), values(inode));
});

test("inside a transaction a touch is written at once, with everything", ({ database, inodes, add }) => {
  const inode = add();
  database.transaction(() => {
    inode.size = 8;
    inode.dirty = true;
    inode.generation = 4;
    inodes.touch(inode);
  });
  assert.equal(inodes.unflushed, 0);
  assert.deepEqual(values(row(database, inode.id)), values(inode));
});

test("a nested transaction that failed fails the outer one, even if its error was caught", ({ database, inodes, add }) => {
  const inode = add();
  assert.throws(() =>
    database.transaction(() => {
      inode.uid = 1;
      inodes.write(inode);
      try {
        database.transaction(() => {
          throw new Error("inner");
        });
      } catch (error) {
        assert.match(String(error), /inner/);
      }
    }), /inner/);
  assert.equal(inode.uid, 0);
  assert.equal(database.inTransaction, false);
  database.transaction(() => {});
});

test("content that is ahead of its row survives a chmod, a flush of attributes and a rollback", ({ database, inodes, add }) => {
  const inode = add();
  inode.holds++;
  // As a write does: bytes are in the content file, map rows and sums wait for the next flush.
  inode.incarnation = 1;
  inode.allocated = inode.resident = inode.local = 4096;
  inodes.touch(inode);
  const ahead = () => [inode.incarnation, inode.allocated, inode.resident, inode.local];
  const rollBack = () =>
    assert.throws(() =>
      database.transaction(() => {
        inode.nlink = 7;
        inodes.write(inode);
        throw new Error("no");
      }), /no/);
  database.transaction(() => {
    inode.mode = 0o100600;
    inodes.write(inode);
  });
  assert.equal(inode.pending, true);
  rollBack();
  assert.equal(inodes.flush(10), 1);
  assert.equal(inodes.flush(10), 0);
  rollBack();
  assert.deepEqual(ahead(), [1, 4096, 4096, 4096]);
  assert.deepEqual([inode.mode, inode.nlink], [0o100600, 1]);
  database.transaction(() => {
    inodes.write(inode);
    inodes.writeContent(inode);
  });
  assert.equal(inode.pending, false);
  assert.equal(inodes.unflushed, 0);
  rollBack();
  assert.deepEqual(ahead(), [1, 4096, 4096, 4096]);
  assert.equal(row(database, inode.id)!.incarnation, 1);
});
