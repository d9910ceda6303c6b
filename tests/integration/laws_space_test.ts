/** Law 9 (full disk): bounded waiting, ENOSPC and never EIO, and memory that equals the rows. */
import assert from "node:assert/strict";
import { FsError } from "../../src/domain/errors.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { assertDone, CHUNK, data, Flag, lawTest } from "../harness/law_test.ts";

const ENOSPC = 28;
const tight = {
  settings: { high: 6 * CHUNK, low: 4 * CHUNK, hard: 8 * CHUNK, spaceTimeoutMs: 60_000 },
};

/** From now on this method of the map fails as they do where the metadata's disk is full. */
function fillDisk(fixture: FilesystemFixture, method: "put" | "remove" | "removeAll"): () => void {
  const { maps } = fixture.core;
  const full = () => {
    throw new FsError(ENOSPC, "a full disk, by the test");
  };
  Object.assign(maps, { [method]: full });
  return () => Reflect.deleteProperty(maps, method);
}

lawTest("a writer at the hard mark waits, and gets ENOSPC after its time", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 8 * CHUNK));
  const written = fixture.kernel.write(file.inode, {
    ...file,
    offset: 9 * CHUNK,
    data: data(2, 9),
  });
  fixture.pass(59_000);
  assert(written.pending);
  fixture.pass(2000);
  assert.equal(written.errno, ENOSPC);
  assert(fixture.engine.events.some(({ event }) => event === "pressure"));
}, tight);

lawTest("a writer at the hard mark goes on as soon as something is evicted", (fixture) => {
  const other = fixture.saved("other", data(1, 4 * CHUNK));
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 4 * CHUNK));
  const written = fixture.kernel.write(file.inode, {
    ...file,
    offset: 4 * CHUNK,
    data: data(2, 9),
  });
  assert(written.pending);
  fixture.engine.evict(other);
  fixture.work();
  assertDone(written);
}, tight);

lawTest("a mark that is crossed again before anybody looked was not told of again", (fixture) => {
  const told = () => fixture.engine.events.filter(({ event }) => event === "pressure").length;
  const other = fixture.saved("other", data(1, 4 * CHUNK));
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 3 * CHUNK));
  assert.equal(told(), 1);
  fixture.engine.evict(other);
  fixture.work();
  fixture.write(file, 3 * CHUNK, data(2, 4 * CHUNK));
  assert.equal(told(), 2);
}, tight);

lawTest("a writer that waits for the space of a recall gets ENOSPC, not EIO", (fixture) => {
  const inode = fixture.evicted("old", data(1, CHUNK));
  const full = fixture.create("full");
  fixture.write(full, 0, data(2, 8 * CHUNK));
  const handle = fixture.open(inode);
  const written = fixture.kernel.write(inode, { handle, offset: 5, data: data(3, 5) });
  assert.equal(fixture.engine.recalls.length, 0, "there is no space to recall into");
  fixture.pass(61_000);
  assert.equal(written.errno, ENOSPC);
  fixture.kernel.release(inode, { handle });
}, tight);

lawTest(
  "a writer that waits now for space and now for a recall has one bounded time for each",
  (fixture) => {
    const bytes = data(1, 2 * CHUNK);
    const inode = fixture.evicted("old", bytes);
    const file = { inode, handle: fixture.open(inode) };
    fixture.read(file);
    fixture.quiesce();
    const full = fixture.create("full");
    fixture.write(full, 0, data(2, 6 * CHUNK));
    // Overwrites two clean chunks and grows: needs them, and space.
    const how = { ...file, offset: CHUNK, data: data(3, 2 * CHUNK) };
    const written = fixture.kernel.write(inode, how);
    for (let round = 0; written.pending && round < 400; round++) {
      fixture.engine.call("spill", { bytes: 2 * CHUNK });
      fixture.engine.installAll();
      fixture.pass(500);
    }
    assert.equal(written.pending, false, "it waits for ever");
  },
  tight,
);

lawTest("files can be removed while the cache is full, and whoever waits goes on", (fixture) => {
  const victim = fixture.create("victim");
  fixture.write(victim, 0, data(1, 4 * CHUNK));
  fixture.closeFile(victim);
  const file = fixture.create("a");
  fixture.write(file, 0, data(2, 4 * CHUNK));
  const written = fixture.kernel.write(file.inode, {
    ...file,
    offset: 4 * CHUNK,
    data: data(3, 9),
  });
  assert(written.pending);
  assertDone(fixture.kernel.unlink(1, "victim"));
  fixture.kernel.forget(victim.inode, fixture.kernel.lookups.get(victim.inode) ?? 0);
  fixture.work();
  assertDone(written);
}, tight);

for (const method of ["put", "remove"] as const) {
  lawTest(
    `a truncate that the full disk undoes at ${method} leaves memory as the rows are`,
    (fixture) => {
      const bytes = data(1, 3 * CHUNK);
      const file = fixture.create("a");
      fixture.write(file, 0, bytes);
      fixture.fsync(file);
      const empty = fillDisk(fixture, method);
      const cut = fixture.kernel.setattr(file.inode, { size: CHUNK + 100 });
      assert.equal(cut.errno, ENOSPC);
      empty();
      fixture.assertIntact();
      assert.equal(fixture.kernel.getattr(file.inode).value.attributes.size, bytes.length);
      assert.deepEqual(fixture.read(file), bytes);
      assertDone(fixture.kernel.setattr(file.inode, { size: CHUNK + 100 }));
      assert.deepEqual(fixture.read(file), bytes.subarray(0, CHUNK + 100));
    },
  );
}

lawTest("the ballast lets an operation through that the full disk had stopped", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.fsync(file);
  fixture.onBallast = fillDisk(fixture, "remove");
  fixture.ballast = true;
  assertDone(fixture.kernel.setattr(file.inode, { size: 0 }));
  assert.equal(fixture.ballast, false);
});

lawTest("an opening that the full disk has stopped leaves nothing behind", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.closeFile(file);
  fixture.quiesce();
  const empty = fillDisk(fixture, "remove");
  const opened = fixture.kernel.open(file.inode, { flags: Flag.RDWR | Flag.TRUNC });
  assert.equal(opened.errno, ENOSPC);
  empty();
  fixture.assertAtRest();
});

lawTest("a close that cannot write its rows keeps them, and releases the file", (fixture) => {
  const bytes = data(1, CHUNK);
  const file = fixture.create("a");
  fixture.write(file, 0, bytes);
  const empty = fillDisk(fixture, "put");
  assert.equal(fixture.kernel.flush(file.inode, file.handle).errno, ENOSPC);
  fixture.kernel.release(file.inode, { handle: file.handle });
  empty();
  fixture.core.flushAll();
  fixture.quiesce();
  fixture.assertAtRest();
  const next = fixture.crash("kill");
  assert.deepEqual(next.read({ inode: file.inode, handle: next.open(file.inode, 0) }), bytes);
});

lawTest("a removed file whose last close met a full disk is deleted later", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.kernel.unlink(1, "a");
  fixture.kernel.forget(file.inode, fixture.kernel.lookups.get(file.inode) ?? 0);
  const empty = fillDisk(fixture, "put");
  assertDone(fixture.kernel.release(file.inode, { handle: file.handle }));
  empty();
  fixture.core.flushAll();
  fixture.quiesce();
  const row = fixture.database.statement("SELECT id FROM inode WHERE id = ?").get(file.inode);
  assert.equal(row, undefined);
});

lawTest("background work that a full disk has stopped is done later", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 3 * CHUNK));
  fixture.closeFile(file);
  fixture.kernel.unlink(1, "a");
  const empty = fillDisk(fixture, "removeAll");
  fixture.kernel.forget(file.inode, fixture.kernel.lookups.get(file.inode) ?? 0);
  fixture.turn();
  assert.equal(fixture.defects.length, 1);
  assert.equal(fixture.filesystem.reaper.busy, false, "it must not spin");
  assert.equal(fixture.core.readOnlyReason, undefined);
  empty();
  fixture.defects.length = 0;
  fixture.pass(2000);
  fixture.work();
  const row = fixture.database.statement("SELECT id FROM inode WHERE id = ?").get(file.inode);
  assert.equal(row, undefined);
});

lawTest(
  "recalled bytes whose rows do not fit on the disk stay readable, and their rows follow",
  (fixture) => {
    const bytes = data(1, CHUNK);
    const inode = fixture.evicted("a", bytes);
    const file = { inode, handle: fixture.open(inode, 0) };
    const read = fixture.kernel.read(inode, { ...file, offset: 0, size: CHUNK });
    fixture.engine.installAll();
    const empty = fillDisk(fixture, "put");
    fixture.pass(500);
    assert.deepEqual(read.value, bytes);
    assert.equal(fixture.core.space.reserved, 0);
    empty();
    fixture.core.flushAll();
    const row = fixture.database.statement("SELECT resident FROM map WHERE inode = ?").get(inode);
    assert.equal(row?.resident, 1);
  },
);

lawTest(
  "an exception in a callback of the disk ends neither the loop nor other callbacks",
  (fixture) => {
    const file = fixture.create("a");
    fixture.core.helper.sync({ files: [], folders: [], wal: true }, () => {
      throw new FsError(ENOSPC);
    });
    const synced = fixture.kernel.fsync(file.inode, file);
    fixture.work();
    assertDone(synced);
    assert.equal(fixture.defects.length, 1);
    fixture.defects.length = 0;
  },
);

lawTest("fallocate of more than statfs shows was answered as if it were there", (fixture) => {
  const { kernel } = fixture;
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 2 * CHUNK));
  const free = () => {
    const { free, blockSize } = kernel.statfs().value;
    return free * blockSize;
  };
  const ask = (length: number) => kernel.fallocate(file.inode, { ...file, offset: 0, length });
  const shown = free();
  assert.equal(ask(shown + 2 * CHUNK + 1).errno, ENOSPC);
  assert.equal(kernel.getattr(file.inode).value.attributes.size, 2 * CHUNK, "nothing has changed");
  assertDone(ask(shown + 2 * CHUNK));
}, { settings: { capacity: 16 * CHUNK } });
