/** Law 1 (change) and law 7 (sync, crash): what is on the disk, and in which order. */
import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import { hex } from "../../src/runtime/random.ts";
import type { Upload } from "../harness/fake_engine.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { assertDone, cached, CHUNK, data, Flag, labels, lawTest } from "../harness/law_test.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const EIO = 5;
const HOUR_MS = 3_600_000;
const EROFS = 30;

lawTest(
  "a clean chunk is written only after the mark that it is dirty is on the disk",
  (fixture) => {
    const before = data(1, 3 * CHUNK);
    const inode = fixture.saved("a", before);
    const handle = fixture.open(inode);
    const written = fixture.kernel.write(inode, { handle, offset: 100, data: data(2, 10) });
    assert(written.pending);
    assert.deepEqual(labels(fixture), ["sync wal"]);
    assert.deepEqual(
      cached(fixture, inode).get(`${inode}.1`),
      before,
      "bytes changed before the mark was durable",
    );
    assert.equal(fixture.engine.call("residency", { inode })?.dirty, true);
    fixture.disk.step();
    assert.equal(written.value, 10);
    assert.notDeepEqual(cached(fixture, inode).get(`${inode}.1`), before);
  },
);

lawTest("nobody else writes into a chunk while its mark is on its way to the disk", (fixture) => {
  const before = data(1, CHUNK);
  const inode = fixture.saved("a", before);
  const handle = fixture.open(inode);
  const both = [0, 500].map((offset) =>
    fixture.kernel.write(inode, { handle, offset, data: data(2, 10) })
  );
  assert(both.every((written) => written.pending));
  assert.deepEqual(cached(fixture, inode).get(`${inode}.1`), before);
  assert.equal(labels(fixture).length, 1, "one mark serves both");
  fixture.work();
  both.forEach(assertDone);
});

lawTest("a second change of a dirty chunk asks nothing of the disk", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  const file = { inode, handle: fixture.open(inode) };
  fixture.write(file, 0, "one");
  const orders = fixture.disk.log.length;
  const again = fixture.kernel.write(inode, { ...file, offset: 5, data: data(3, 10) });
  assert.equal(again.value, 10);
  assert.equal(fixture.disk.log.length + fixture.disk.waiting.length, orders);
});

lawTest(
  "after a truncate, a write waits until the clean chunks that it takes are durably gone",
  (fixture) => {
    const before = data(1, 4 * CHUNK);
    const inode = fixture.saved("a", before);
    const handle = fixture.open(inode);
    fixture.kernel.setattr(inode, { size: CHUNK });
    const written = fixture.kernel.write(inode, { handle, offset: 2 * CHUNK, data: data(2, 99) });
    assert(written.pending);
    assert.deepEqual(cached(fixture, inode).get(`${inode}.1`), before);
    const next = fixture.crash("power cut", new SeededRandom(3));
    next.assertCleanIsSaved();
  },
);

lawTest(
  "a file that is truncated to nothing keeps its old bytes until that is durable",
  (fixture) => {
    const before = data(1, 2 * CHUNK);
    const inode = fixture.saved("a", before);
    const file = { inode, handle: fixture.open(inode, Flag.RDWR | Flag.TRUNC) };
    fixture.write(file, 0, "new");
    assert.deepEqual(cached(fixture, inode).get(`${inode}.1`), before);
    assert.equal(cached(fixture, inode).get(`${inode}.2`)?.length, 3);
  },
);

lawTest("fsync syncs content, its folder and the log, and answers after that", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 100));
  const synced = fixture.kernel.fsync(file.inode, file);
  assert(synced.pending);
  assert.deepEqual(labels(fixture), [
    `sync ${file.inode}.1 folder wal`,
  ]);
  const rows = fixture.database.statement("SELECT length FROM map WHERE inode = ?").all(file.inode);
  assert.equal(rows.length, 1, "the row is committed before the log is synced");
  fixture.disk.step();
  assertDone(synced);
});

lawTest(
  "a second fsync during the first does not answer before the content is durable",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 100));
    fixture.kernel.fsync(file.inode, file);
    const second = fixture.kernel.fsync(file.inode, file);
    fixture.disk.step(1);
    assert(fixture.disk.log[0].includes(`${file.inode}.1`), fixture.disk.log[0]);
    assert(!second.pending);
  },
);

lawTest("a write during a sync is not taken for synced", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 100));
  fixture.kernel.fsync(file.inode, file);
  fixture.write(file, 0, data(2, 100));
  fixture.disk.step();
  fixture.kernel.fsync(file.inode, file);
  assert.deepEqual(labels(fixture), [`sync ${file.inode}.1 wal`]);
});

lawTest("fdatasync over bytes of a local chunk waits for the content alone", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 100));
  fixture.fsync(file);
  fixture.write(file, 10, data(2, 50));
  const synced = fixture.kernel.fsync(file.inode, { ...file, dataOnly: true });
  assert.deepEqual(labels(fixture), [`sync ${file.inode}.1`]);
  fixture.disk.step();
  assertDone(synced);
  assertDone(fixture.kernel.fsync(file.inode, { ...file, dataOnly: true }));
  const expected = fixture.read(file, 0, 100);
  const next = fixture.crash("power cut", new SeededRandom(1));
  assert.deepEqual(next.read({ inode: file.inode, handle: next.open(file.inode) }), expected);
  next.assertCleanIsSaved();
});

for (
  const [what, change] of [
    ["growth", (fixture, file) => fixture.write(file, 90, data(2, 50))],
    ["a chunk of its own", (fixture, file) => fixture.write(file, 2 * CHUNK, data(2, 50))],
    [
      "a truncation",
      (fixture, file) => fixture.kernel.setattr(file.inode, { size: 50, handle: file.handle }),
    ],
    [
      "an end moved away",
      (fixture, file) => fixture.kernel.setattr(file.inode, { size: 5000, handle: file.handle }),
    ],
    ["an upload of what was there", (fixture, file) => {
      fixture.clock.pass(HOUR_MS);
      fixture.save(file.inode);
      fixture.write(file, 10, data(2, 50));
    }],
  ] satisfies [
    string,
    (fixture: FilesystemFixture, file: { inode: number; handle: number }) => void,
  ][]
) {
  lawTest(`fdatasync after ${what} waits for the log, too`, (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 100));
    fixture.fsync(file);
    change(fixture, file);
    fixture.work();
    fixture.write(file, 10, data(3, 10));
    const orders = fixture.disk.log.length;
    const synced = fixture.kernel.fsync(file.inode, { ...file, dataOnly: true });
    fixture.answered(synced);
    const since = fixture.disk.log.slice(orders);
    assert(since.some((label) => label.includes("wal")), `only ${since.join(", ")}`);
    const expected = fixture.read(file);
    const next = fixture.crash("power cut", new SeededRandom(1));
    assert.deepEqual(next.read({ inode: file.inode, handle: next.open(file.inode) }), expected);
  });
}

lawTest("fsync of what is on the disk already asks nothing of it", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 100));
  const { inode } = fixture.answered(fixture.kernel.lookup(1, "a")).value;
  fixture.fsync(file);
  assertDone(fixture.kernel.fsync(inode, file));
  assertDone(fixture.kernel.fsyncdir(1));
  assert.deepEqual(labels(fixture), []);
  fixture.kernel.setattr(inode, { mode: 0o600 });
  assert(fixture.kernel.fsync(inode, file).pending);
  fixture.work();
  fixture.create("b");
  assert(fixture.kernel.fsyncdir(1).pending, "a name is not on the disk yet");
  fixture.work();
  fixture.disk.fault = (label) => label.startsWith("sync") ? EIO : 0;
  fixture.create("c");
  fixture.answered(fixture.kernel.fsyncdir(1));
  fixture.disk.fault = () => 0;
  assert.equal(fixture.kernel.fsyncdir(1).errno, EIO);
});

lawTest("fdatasync is not answered from rows that a sync has failed to bring down", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 100));
  fixture.disk.fault = (label) => label.startsWith("sync") ? EIO : 0;
  fixture.answered(fixture.kernel.fsync(file.inode, file));
  fixture.disk.fault = () => 0;
  assert.equal(fixture.kernel.fsync(file.inode, { ...file, dataOnly: true }).errno, EIO);
});

lawTest(
  "a failed fsync is EIO, makes the mount read-only, and is never a success later",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 100));
    fixture.disk.fault = (label) => label.startsWith("sync") ? EIO : 0;
    assert.equal(fixture.answered(fixture.kernel.fsync(file.inode, file)).errno, EIO);
    fixture.disk.fault = () => 0;
    assert.equal(fixture.kernel.fsync(file.inode, file).errno, EIO);
    assert.equal(
      fixture.kernel.write(file.inode, { ...file, offset: 0, data: data(1, 5) }).errno,
      30,
    );
    assert(fixture.engine.events.some(({ event }) => event === "readOnly"));
    const next = fixture.crash("kill");
    assert.match(next.core.readOnlyReason ?? "", /sync/);
    assert.equal(next.answered(next.kernel.open(file.inode, { flags: Flag.RDWR })).errno, EROFS);
  },
);

lawTest(
  "two fsyncs of one file are both told of a failure that the disk reports once",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 100));
    let failures = 1;
    fixture.disk.fault = () => failures-- > 0 ? EIO : 0;
    const [first, second] = [0, 1].map(() => fixture.kernel.fsync(file.inode, file));
    fixture.work();
    assert.deepEqual([first.errno, second.errno], [EIO, EIO]);
  },
);

lawTest("after a failed sync nothing is saved, evicted or spilled", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  const other = fixture.create("b");
  fixture.write(other, 0, data(2, CHUNK));
  fixture.core.syncFailed(EIO, "a test");
  assert.equal(typeof fixture.engine.evict(inode), "string");
  assert.equal(fixture.engine.call("spill", { bytes: CHUNK }), 0);
  fixture.closeFile({ ...other });
  assert.equal(typeof fixture.save(other.inode), "string");
});

lawTest("flush tells the engine of a failed sync", (fixture) => {
  fixture.disk.fault = (label) => label === "syncAll" ? EIO : 0;
  let answered = false;
  fixture.engine.ask("flush", {}, () => answered = true);
  fixture.work();
  assert(!answered);
  assert.equal(fixture.engine.errors.length, 1);
});

lawTest("a rename over another name makes the new content durable first", (fixture) => {
  fixture.saved("a", data(1, CHUNK));
  const file = fixture.create("new");
  fixture.write(file, 0, data(2, CHUNK));
  const renamed = fixture.kernel.rename(1, { name: "new", newParent: 1, newName: "a" });
  assert(renamed.pending);
  assert(fixture.disk.waiting[0].label.includes(`${file.inode}.1 folder wal`));
  assert.equal(fixture.kernel.lookup(1, "a").value.inode === file.inode, false);
  fixture.work();
  assertDone(renamed);
});

lawTest("a name that was taken over is never durable without the rows of its file", (fixture) => {
  fixture.saved("a", data(1, CHUNK));
  const file = fixture.create("new");
  fixture.write(file, 0, data(2, CHUNK));
  // Synced with everything else, while its rows are still in memory.
  fixture.core.syncAll();
  fixture.work();
  fixture.answered(fixture.kernel.rename(1, { name: "new", newParent: 1, newName: "a" })).value;
  const next = fixture.crash("kill");
  const handle = next.open(next.kernel.lookup(1, "a").value.inode, 0);
  assert.deepEqual(next.read({ inode: file.inode, handle }), data(2, CHUNK));
});

lawTest(
  "the close that ends `> file` waits for the disk, the shell's first close does not",
  (fixture) => {
    const inode = fixture.saved("a", data(1, CHUNK));
    const file = { inode, handle: fixture.open(inode, Flag.RDWR | Flag.TRUNC) };
    assert(!fixture.kernel.flush(inode, file.handle).pending, "nothing was written yet");
    fixture.write(file, 0, "new");
    const closed = fixture.kernel.flush(inode, file.handle);
    assert(closed.pending);
    assert(fixture.disk.waiting.some(({ label }) => /^sync \d+\.2 folder wal$/.test(label)));
    fixture.work();
    assertDone(closed);
  },
);

lawTest("content files that no row names are gone after a crash, and no others", (fixture) => {
  const kept = data(1, CHUNK);
  const inode = fixture.saved("a", kept);
  const folder = `${fixture.store.directory}/00/00`;
  for (const name of [`${inode}.7`, "1.5"]) Deno.writeTextFileSync(`${folder}/${name}`, "x");
  Deno.writeTextFileSync(`${fixture.store.directory}/note`, "not a folder");
  const next = fixture.crash("kill");
  next.work();
  assert.deepEqual([...cached(next, inode).keys()], [`${inode}.1`]);
  assert.deepEqual(next.read({ inode, handle: next.open(inode, 0) }), kept);
});

lawTest("the sweep after a crash never unlinks content that was made meanwhile", (fixture) => {
  const file = fixture.create("a");
  fixture.fsync(file);
  const folder = `${fixture.store.directory}/00/00`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeTextFileSync(`${folder}/${file.inode}.1`, "left by an unsynced write");
  const next = fixture.crash("kill");
  // The sweep has looked, the unlinking waits.
  for (let i = 0; i < 20; i++) next.turn();
  const again = { inode: file.inode, handle: next.open(file.inode) };
  next.write(again, 10, "kept");
  next.work();
  next.closeFile(again);
  assert.equal(
    new TextDecoder().decode(next.read({ ...again, handle: next.open(file.inode, 0) })),
    `${"\0".repeat(10)}kept`,
  );
});

lawTest("content of an incarnation that is over is swept after a crash", (fixture) => {
  const inode = fixture.evicted("a", data(1, CHUNK));
  fixture.read({ inode, handle: fixture.open(inode, 0) });
  fixture.quiesce();
  Deno.writeTextFileSync(fixture.store.path(inode, 1), "the power went before it was unlinked");
  const next = fixture.crash("kill");
  next.work();
  assert.deepEqual([...cached(next, inode).keys()], [`${inode}.2`]);
});

lawTest("the sweep unlinks nothing before the rows that do not name it are durable", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  const next = fixture.crash("kill");
  next.engine.evict(inode);
  for (let i = 0; i < 20; i++) next.turn();
  assert(!labels(next).some((label) => label.startsWith("unlink")), labels(next).join(", "));
  next.work();
});

for (const seed of [1, 2, 3, 4]) {
  lawTest(
    `a power cut brought back into a synced hole what a kill had left there (seed ${seed})`,
    (fixture) => {
      const bytes = new Uint8Array(3 * CHUNK);
      bytes.set(data(1, 100));
      const file = fixture.create("a");
      fixture.write(file, 0, bytes.subarray(0, 100));
      fixture.answered(fixture.kernel.setattr(file.inode, { size: bytes.length })).value;
      // As a kill leaves it: bytes, and no row.
      const content = fixture.store.open(file.inode, 1, false)!;
      fixture.store.write(content, data(2, CHUNK), CHUNK);
      fixture.fsync(file);
      fixture.write(file, CHUNK + 9000, data(3, 10));
      bytes.set(data(3, 10), CHUNK + 9000);
      fixture.core.flushAll();
      // Somebody else's sync takes the row to the disk.
      fixture.fsync(fixture.create("other"));
      const next = fixture.crash("power cut", new SeededRandom(seed));
      next.work();
      const got = next.read({ inode: file.inode, handle: next.open(file.inode, 0) });
      assert.deepEqual(got.subarray(0, CHUNK + 9000), bytes.subarray(0, CHUNK + 9000));
    },
  );
}

lawTest(
  "a content file that a power cut may bring back was followed by one of its name",
  (fixture) => {
    // Of what is killed at once no row has been written.
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, CHUNK));
    const next = fixture.crash("kill");
    next.work();
    const again = { inode: file.inode, handle: next.open(file.inode) };
    next.write(again, 0, "new");
    assert.equal(cached(next, file.inode).has(`${file.inode}.1`), false);
    assert.equal(cached(next, file.inode).size, 1);
  },
);

lawTest("trimming takes no bytes whose rows went while the log was being synced", (fixture) => {
  const before = data(1, 4 * CHUNK);
  const file = fixture.create("a");
  fixture.write(file, 0, before);
  fixture.fsync(file);
  fixture.kernel.setattr(file.inode, { size: 3 * CHUNK });
  fixture.clock.pass(300);
  fixture.turn();
  assert.deepEqual(labels(fixture), ["sync wal"]);
  fixture.kernel.setattr(file.inode, { size: CHUNK });
  fixture.disk.step();
  const left = cached(fixture, file.inode).get(`${file.inode}.1`)!;
  assert(left.length >= 3 * CHUNK, "bytes are gone that a power cut would bring rows back for");
  fixture.pass(1000);
  assert.equal(cached(fixture, file.inode).get(`${file.inode}.1`)!.length, CHUNK);
});

lawTest(
  "a kill finds sums and rows in agreement, whatever was in memory when they were written",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, CHUNK));
    fixture.fsync(file);
    let upload;
    fixture.clock.pass(1000);
    fixture.engine.read(file.inode, (read) => upload = read);
    fixture.work();
    fixture.write(file, CHUNK, data(2, CHUNK));
    fixture.engine.stage(upload!);
    fixture.crash("kill");
  },
);

lawTest("trimming takes no bytes of a chunk whose spilling is not durable yet", (fixture) => {
  const { kernel, engine, clock, disk } = fixture;
  const shared = data(1, CHUNK);
  const source = fixture.evicted("source", shared);
  const inode = fixture.saved("a", data(2, 2 * CHUNK));
  const handle = fixture.open(inode);
  // Chunk 1 becomes a hole, and then the source's chunk: it is brought back, all while the trimming waits.
  const hole = { handle, offset: CHUNK, length: CHUNK, mode: 3 };
  assertDone(kernel.fallocate(inode, hole));
  const from = { handle: fixture.open(source, 0), offset: 0, length: CHUNK };
  const to = { targetInode: inode, targetHandle: handle, targetOffset: CHUNK };
  assert.equal(kernel.copyFileRange(source, { ...from, ...to }).value, CHUNK);
  const read = kernel.read(inode, { handle, offset: CHUNK, size: 10 });
  engine.installAll();
  assertDone(read);
  clock.pass(100);
  fixture.turn();
  assert.deepEqual(labels(fixture), [`sync ${inode}.1 folder`]);
  disk.step();
  clock.pass(100);
  fixture.turn();
  assert.deepEqual(labels(fixture), ["sync wal"], "the trimming");
  // Now it goes again, and the log that says so is not on the disk when the trimming's turn comes.
  assert.equal(engine.call("spill", { bytes: 2 * CHUNK }), 2 * CHUNK);
  assert.deepEqual(labels(fixture), ["sync wal", "sync wal"]);
  disk.step();
  const left = cached(fixture, inode).get(`${inode}.1`)!;
  assert(hex(left.subarray(CHUNK)) === hex(shared), "rows on the disk still say that it is here");
  fixture.work();
  assert.deepEqual(fixture.read({ inode, handle }, CHUNK), shared);
});

lawTest(
  "a write that a full disk refuses leaves no bytes that an upload under way does not have",
  (f) => {
    const file = f.create("a");
    f.write(file, 0, data(1, CHUNK));
    f.fsync(file);
    f.clock.pass(1000);
    let upload: Upload | undefined;
    f.engine.read(file.inode, (read) => upload = read);
    f.work();
    // The next generation needs a row, for which there is no room.
    const { database } = f;
    database.setSetting = () => {
      throw new FsError(Errno.ENOSPC, "metadata: the disk is full");
    };
    assert.throws(() => {
      for (;;) database.nextGeneration();
    }, FsError);
    const written = f.kernel.write(file.inode, { ...file, offset: 0, data: data(2, 100) });
    assert.equal(written.errno, Errno.ENOSPC);
    const shown = hex(f.read(file));
    delete (database as Partial<typeof database>).setSetting;
    f.engine.stage(upload!);
    f.closeFile(file);
    f.work();
    assert.equal(f.save(file.inode), true);
    assert.equal(typeof f.engine.evict(file.inode), "number");
    f.work();
    const again = { inode: file.inode, handle: f.open(file.inode, 0) };
    assert(hex(f.read(again)) === shown, "what comes back is not what was here");
  },
);
