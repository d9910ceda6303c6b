/** Laws 2 (save), 3 (evict), 4 (recall) and 8 (errors are not absence). */
import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import type { Commands } from "../../src/filesystem/protocol.ts";
import type { Upload } from "../harness/fake_engine.ts";
import { assertSaved } from "../harness/filesystem_checks.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { assertDone, cached, CHUNK, data, labels, lawTest } from "../harness/law_test.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const EIO = 5;

/** Reads what is to be uploaded, once it is durable. */
function upload(fixture: FilesystemFixture, inode: number): Upload {
  let read: Upload | undefined;
  fixture.engine.read(inode, (upload) => read = upload);
  fixture.work();
  return read!;
}

function saveAs(fixture: FilesystemFixture, { inode, generation }: Upload): unknown {
  let answer: unknown;
  fixture.engine.ask("save", { files: [{ inode, generation }] }, ([result]) => answer = result);
  fixture.work();
  return answer;
}

lawTest("a file that changed since it was read is neither staged nor saved", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 2 * CHUNK));
  fixture.closeFile(file);
  const read = upload(fixture, file.inode);
  const again = { inode: file.inode, handle: fixture.open(file.inode) };
  fixture.write(again, 5, "!");
  fixture.closeFile(again);
  let placed: unknown;
  fixture.engine.stage(read, { later: (answer) => placed = answer });
  assert.deepEqual(placed, ["changed", true]);
  assert.equal(saveAs(fixture, read), "changed");
  assert.equal(fixture.engine.call("residency", { inode: file.inode })?.dirty, true);
});

lawTest("of files that are saved together each is looked at by itself", (fixture) => {
  const files = [1, 2, 3, 4].map((seed) => {
    const file = fixture.create(`file ${seed}`);
    fixture.write(file, 0, data(seed, CHUNK + seed));
    fixture.closeFile(file);
    return { ...file, bytes: data(seed, CHUNK + seed) };
  });
  const uploads = files.map(({ inode }) => upload(fixture, inode));
  // The third is never staged, the second changes after it was.
  for (const at of [0, 1, 3]) fixture.engine.stage(uploads[at]);
  const again = { inode: files[1].inode, handle: fixture.open(files[1].inode) };
  fixture.write(again, 5, "!");
  fixture.closeFile(again);
  let answers: unknown;
  const asked = [...uploads, { inode: 999, generation: 1 }].map(({ inode, generation }) => ({
    inode,
    generation,
  }));
  fixture.engine.ask("save", { files: asked }, (results) => answers = results);
  assert.deepEqual(answers, [true, "changed", "unstaged", true, "gone"]);
  for (const at of [0, 3]) assertSaved(fixture, files[at]);
  const dirty = files.map(({ inode }) => fixture.engine.call("residency", { inode })!.dirty);
  assert.deepEqual(dirty, [false, true, true, false]);
});

/** More than one slice of `save` and of `stage` takes. */
const MANY = 100;

function writeChunks(
  fixture: FilesystemFixture,
  file: { inode: number; handle: number },
  bytes: Uint8Array,
): void {
  for (let at = 0; at < bytes.length; at += CHUNK) {
    fixture.write(file, at, bytes.subarray(at, at + CHUNK));
  }
}

lawTest("of many files that are saved together those count that change meanwhile", (fixture) => {
  const files = Array.from({ length: MANY }, (_, seed) => {
    const file = fixture.create(`file ${seed}`);
    fixture.write(file, 0, data(seed, 10 + seed));
    fixture.closeFile(file);
    return { ...file, bytes: data(seed, 10 + seed) };
  });
  const uploads = files.map(({ inode }) => upload(fixture, inode));
  for (const each of uploads) fixture.engine.stage(each);
  let answers: unknown[] | undefined;
  const asked = uploads.map(({ inode, generation }) => ({ inode, generation }));
  fixture.engine.ask("save", { files: asked }, (results) => answers = results);
  fixture.turn();
  assert.equal(answers, undefined, "all are saved in one slice");
  assertDone(fixture.kernel.unlink(1, `file ${MANY - 2}`));
  const again = { inode: files[MANY - 1].inode, handle: fixture.open(files[MANY - 1].inode) };
  fixture.write(again, 5, "!");
  fixture.closeFile(again);
  fixture.work();
  const expected = [...Array(MANY - 2).fill(true), "gone", "changed"];
  assert.deepEqual(answers, expected);
  for (const file of files.slice(0, MANY - 2)) assertSaved(fixture, file);
});

lawTest("of many chunks that are staged together those count that change meanwhile", (fixture) => {
  const file = fixture.create("a");
  const bytes = data(1, MANY * CHUNK);
  writeChunks(fixture, file, bytes);
  fixture.fsync(file);
  fixture.clock.pass(1000);
  const read = upload(fixture, file.inode);
  let placed: unknown[] | undefined;
  // The first one once more, in another slice than the first time.
  const twice = { ...read, chunks: [...read.chunks, read.chunks[0]] };
  fixture.engine.stage(twice, { later: (answer) => placed = answer });
  assert.equal(placed, undefined, "all are staged in one slice");
  fixture.write(file, (MANY - 1) * CHUNK + 3, "!");
  fixture.work();
  assert.deepEqual(placed, [...Array(MANY - 1).fill(true), "changed", "changed"]);
  fixture.closeFile(file);
  assert.equal(fixture.save(file.inode), true);
  bytes[(MANY - 1) * CHUNK + 3] = "!".charCodeAt(0);
  assertSaved(fixture, { inode: file.inode, bytes });
});

lawTest("a pack that is condemned while it is staged gets no references any more", (fixture) => {
  const file = fixture.create("a");
  writeChunks(fixture, file, data(1, MANY * CHUNK));
  fixture.fsync(file);
  fixture.clock.pass(1000);
  const read = upload(fixture, file.inode);
  // Of the first slice nothing is bound, so the pack is dead from the start.
  const first = MANY / 2;
  for (let index = 0; index < first; index++) fixture.write(file, index * CHUNK, "!");
  let placed: unknown[] | undefined;
  fixture.engine.stage(read, { later: (answer) => placed = answer });
  const { database } = fixture.core;
  const condemned = database.transaction(() =>
    database.statement("UPDATE pack SET condemned = 1 WHERE dead_at IS NOT NULL").run()
  );
  assert.equal(Number(condemned.changes), 1);
  fixture.work();
  const rest = Array(MANY - first).fill("unverified");
  assert.deepEqual(placed, [...Array(first).fill("changed"), ...rest]);
});

lawTest("a file with a chunk that is not staged is not saved", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 3 * CHUNK));
  fixture.closeFile(file);
  const read = upload(fixture, file.inode);
  fixture.engine.stage({ ...read, chunks: read.chunks.slice(0, 2) });
  assert.equal(saveAs(fixture, read), "unstaged");
  fixture.engine.stage({ ...read, chunks: read.chunks.slice(2) });
  assert.equal(saveAs(fixture, read), true);
});

lawTest("a file that is open for writing is not saved", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.clock.pass(1000);
  const read = upload(fixture, file.inode);
  fixture.engine.stage(read);
  assert.equal(saveAs(fixture, read), "open");
  fixture.closeFile(file);
  assert.equal(saveAs(fixture, read), true);
});

lawTest("a chunk that is placed twice in one stage is counted once", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.fsync(file);
  fixture.clock.pass(1000);
  const read = upload(fixture, file.inode);
  let placed: unknown;
  const twice = { ...read, chunks: [...read.chunks, ...read.chunks] };
  fixture.engine.stage(twice, { later: (answer) => placed = answer });
  assert.deepEqual(placed, [true, "changed"]);
});

lawTest(
  "the engine is told of what becomes dirty before it is closed, which may be never",
  (fixture) => {
    const { engine, clock, timers } = fixture;
    const told = (what: string, action: () => void) => {
      // Until what was told of before is told of no more.
      while (timers.nextDelay() !== undefined) {
        clock.pass(1000);
        timers.run();
      }
      engine.events.length = 0;
      action();
      const times = engine.events.filter(({ event }) => event === "dirty").length;
      assert.equal(times, 1, what);
    };
    const saved = fixture.saved("saved", data(1, CHUNK));
    const hole = fixture.saved("hole", new Uint8Array());
    const shorter = fixture.saved("shorter", data(1, CHUNK));
    told("creating", () => fixture.create("new"));
    const rewritten = { inode: saved, handle: fixture.open(saved) };
    told("writing over what is saved", () => fixture.write(rewritten, 0, "!"));
    const grown = { inode: hole, handle: fixture.open(hole) };
    told("writing behind the end", () => fixture.write(grown, 0, "!"));
    told("truncating", () => assertDone(fixture.kernel.setattr(shorter, { size: 5 })));
  },
);

lawTest("content is unlinked only after the rows that say so are on the disk", (fixture) => {
  const inode = fixture.saved("a", data(1, 2 * CHUNK));
  assert.equal(fixture.engine.evict(inode), 2 * CHUNK);
  fixture.turn();
  assert.deepEqual(labels(fixture), ["sync wal"]);
  assert.equal(cached(fixture, inode).size, 1);
  const before = fixture.core.space.used;
  fixture.disk.step();
  assert.deepEqual(labels(fixture), [`unlink ${inode}.1`]);
  assert.equal(fixture.core.space.used, before, "the space is not free yet");
  fixture.disk.step();
  assert.equal(cached(fixture, inode).size, 0);
  assert.equal(fixture.core.space.used, 0);
});

lawTest("a power cut between rows and unlink loses nothing", (fixture) => {
  const bytes = data(1, 2 * CHUNK);
  const inode = fixture.saved("a", bytes);
  fixture.engine.evict(inode);
  fixture.turn();
  const next = fixture.crash("power cut", new SeededRandom(5));
  assert.deepEqual(next.read({ inode, handle: next.open(inode, 0) }), bytes);
});

lawTest("nothing dirty, unverified, pinned or open is evicted", (fixture) => {
  const { engine } = fixture;
  const dirty = fixture.create("dirty");
  fixture.write(dirty, 0, data(1, CHUNK));
  fixture.closeFile(dirty);
  assert.equal(engine.evict(dirty.inode), "dirty");
  assert.equal(fixture.save(dirty.inode, { verified: false }), true);
  assert.equal(engine.evict(dirty.inode), "unverified");
  const pinned = fixture.saved("pinned", data(2, CHUNK));
  engine.call("pin", { inode: pinned, pinned: true });
  assert.equal(engine.evict(pinned), "pinned");
  const open = fixture.saved("open", data(3, CHUNK));
  const handle = fixture.open(open, 0);
  assert.equal(engine.evict(open), "open");
  fixture.closeFile({ inode: open, handle });
  assert.equal(engine.evict(open), CHUNK);
});

lawTest(
  "a file that is used again while its old content is being unlinked keeps the new",
  (fixture) => {
    const bytes = data(1, CHUNK);
    const inode = fixture.saved("a", bytes);
    fixture.engine.evict(inode);
    fixture.turn();
    const handle = fixture.open(inode, 0);
    const read = fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
    fixture.engine.installAll();
    assert.deepEqual(read.value, bytes);
    fixture.work();
    assert.deepEqual([...cached(fixture, inode).keys()], [`${inode}.2`]);
    assert.deepEqual(fixture.read({ inode, handle }), bytes);
  },
);

lawTest("a chunk that a parked request is going to use is not spilled", (fixture) => {
  const bytes = data(1, 3 * CHUNK);
  const inode = fixture.evicted("a", bytes);
  const handle = fixture.open(inode, 0);
  fixture.read({ inode, handle }, 2 * CHUNK, CHUNK);
  fixture.quiesce();
  const read = fixture.kernel.read(inode, { handle, offset: CHUNK, size: 2 * CHUNK });
  assert(read.pending);
  assert.equal(fixture.engine.call("spill", { bytes: CHUNK }), 0);
  fixture.answered(read);
});

lawTest(
  "a reader is answered before its chunk is on the disk, and the row follows the sync",
  (fixture) => {
    const bytes = data(1, 2 * CHUNK);
    const inode = fixture.evicted("a", bytes);
    const handle = fixture.open(inode, 0);
    const read = fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
    fixture.engine.install(fixture.engine.recalls[0]);
    assert.deepEqual(read.value, bytes.subarray(0, CHUNK));
    const resident = () =>
      fixture.database.statement("SELECT sum(resident) AS n FROM map WHERE inode = ?").get(inode)!
        .n;
    assert.equal(resident(), 0);
    fixture.clock.pass(150);
    fixture.turn();
    assert.deepEqual(labels(fixture), [`sync ${inode}.2 folder`]);
    assert.equal(resident(), 0);
    fixture.disk.step();
    assert.equal(resident(), 1);
  },
);

/** What the engine was asked for, and has not brought yet. */
const wanted = (fixture: FilesystemFixture) =>
  fixture.engine.recalls.map(({ index, urgency }) => `${index} ${urgency}`);

lawTest(
  "the first byte of a cold file shared the line with the next two chunks, which nobody may want",
  (fixture) => {
    const bytes = data(1, 8 * CHUNK);
    const inode = fixture.evicted("a", bytes);
    const handle = fixture.open(inode, 0);
    const at = (offset: number, size: number) =>
      fixture.kernel.read(inode, { handle, offset, size });
    const first = at(0, 1);
    assert.deepEqual(wanted(fixture), ["0 reader"]);
    assert.deepEqual(fixture.answered(first).value, bytes.subarray(0, 1));
    // Here and there in it, which may be all that is looked at.
    for (const offset of [CHUNK / 2, 100, CHUNK - 100]) assert.equal(at(offset, 50).errno, 0);
    assert.deepEqual(wanted(fixture), []);
    // Straight on: so it goes on.
    for (let offset = 0; offset < CHUNK / 2; offset += CHUNK / 8) at(offset, CHUNK / 8);
    assert.deepEqual(wanted(fixture), ["1 ahead", "2 ahead"]);
    fixture.engine.installAll();
    assert.deepEqual(at(CHUNK, 10).value, bytes.subarray(CHUNK, CHUNK + 10));
    assert.deepEqual(wanted(fixture), ["3 ahead", "4 ahead", "5 ahead"]);
    // Another place: only what lies there.
    at(7 * CHUNK, 10);
    assert.equal(wanted(fixture).at(-1), "7 reader");
  },
);

lawTest("a content file that could not be opened left others settling for ever", (fixture) => {
  const contents = [1, 2, 3].map((seed) => data(seed, CHUNK));
  const files = contents.map((bytes, index) => {
    const inode = fixture.evicted(`file ${index}`, bytes);
    return { inode, handle: fixture.open(inode, 0), bytes };
  });
  const reads = files.map(({ inode, handle }) =>
    fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK })
  );
  fixture.engine.installAll();
  for (const [index, read] of reads.entries()) assert.deepEqual(read.value, contents[index]);
  const { store } = fixture.core;
  const open = store.open.bind(store);
  store.open = (inode, ...rest) => {
    if (inode === files[1].inode) throw new FsError(Errno.EMFILE, "open a content file");
    return open(inode, ...rest);
  };
  fixture.clock.pass(150);
  fixture.turn();
  store.open = open;
  fixture.quiesce();
  const residentChunks = files.map(({ inode }) =>
    fixture.database.statement("SELECT sum(resident) AS n FROM map WHERE inode = ?").get(inode)!.n
  );
  assert.deepEqual(residentChunks, [1, 0, 1]);
  assert.match(fixture.defects.splice(0).join(), /EMFILE: open a content file/);
  for (const { inode, handle, bytes } of files) {
    assert.deepEqual(fixture.read({ inode, handle }), bytes);
  }
});

lawTest(
  "recalled bytes that were not synced are gone after a power cut and come back right",
  (fixture) => {
    const bytes = data(1, CHUNK);
    const inode = fixture.evicted("a", bytes);
    fixture.read({ inode, handle: fixture.open(inode, 0) });
    const next = fixture.crash("power cut", new SeededRandom(4));
    const handle = next.open(inode, 0);
    const read = next.kernel.read(inode, { handle, offset: 0, size: CHUNK });
    assert(read.pending, "it was not resident");
    assert.deepEqual(next.answered(read).value, bytes);
  },
);

lawTest("a write into a part of an evicted chunk waits for its recall, and stays", (fixture) => {
  const bytes = data(1, CHUNK);
  const inode = fixture.evicted("a", bytes);
  const handle = fixture.open(inode);
  const written = fixture.kernel.write(inode, { handle, offset: 10, data: data(2, 5) });
  assert(written.pending);
  assert.equal(fixture.engine.recalls.length, 1);
  fixture.answered(written);
  const expected = bytes.slice();
  expected.set(data(2, 5), 10);
  assert.deepEqual(fixture.read({ inode, handle }), expected);
});

lawTest(
  "a write over all of a chunk cancels its recall, and late bytes do not undo it",
  (fixture) => {
    const inode = fixture.evicted("a", data(1, CHUNK));
    const handle = fixture.open(inode);
    const read = fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
    const [event] = fixture.engine.recalls;
    const written = fixture.kernel.write(inode, { handle, offset: 0, data: data(2, CHUNK) });
    assertDone(written);
    assert.deepEqual(read.value, data(2, CHUNK), "the reader that waited sees the new bytes");
    assert(fixture.engine.events.some(({ event }) => event === "recallCancelled"));
    assert.equal(fixture.engine.install(event), false);
    assert.deepEqual(fixture.read({ inode, handle }), data(2, CHUNK));
  },
);

lawTest("a reader whose chunk is truncated away is answered at once", (fixture) => {
  const inode = fixture.evicted("a", data(1, 2 * CHUNK));
  const handle = fixture.open(inode);
  const read = fixture.kernel.read(inode, { handle, offset: CHUNK, size: CHUNK });
  assert(read.pending);
  const [event] = fixture.engine.recalls;
  assertDone(fixture.kernel.setattr(inode, { size: 100 }));
  assert.equal(read.value.length, 0);
  assert.equal(fixture.engine.install(event), false);
});

lawTest("bytes of an earlier incarnation are not taken", (fixture) => {
  const bytes = data(1, CHUNK);
  const inode = fixture.evicted("a", bytes);
  const handle = fixture.open(inode, 0);
  fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
  const [event] = fixture.engine.recalls;
  assert.equal(fixture.engine.install({ ...event, incarnation: event.incarnation - 1 }), false);
  fixture.engine.recalls.push(event);
  assert.equal(fixture.engine.install(event), true);
});

lawTest(
  "a chunk that was forgotten and recalled again during a sync is not taken for synced",
  (fixture) => {
    const bytes = data(1, CHUNK);
    const inode = fixture.evicted("a", bytes);
    const file = { inode, handle: fixture.open(inode, 0) };
    fixture.kernel.read(inode, { ...file, offset: 0, size: CHUNK });
    fixture.engine.installAll();
    fixture.clock.pass(150);
    fixture.turn();
    // Somebody has emptied the cache's file; the reader notices, and gets the chunk once more.
    Deno.truncateSync(fixture.store.path(inode, 2), 0);
    const again = fixture.kernel.read(inode, { ...file, offset: 0, size: CHUNK });
    fixture.engine.installAll();
    assert.deepEqual(again.value, bytes);
    fixture.disk.step();
    assert.equal(fixture.core.files.peek(inode)?.volatile.has(0), true);
    fixture.defects.length = 0;
    fixture.quiesce();
  },
);

lawTest("what had just been read was passed over by an eviction, and stayed", (fixture) => {
  const inode = fixture.evicted("a", data(1, 5 * CHUNK));
  const handle = fixture.open(inode, 0);
  const read = (index: number) => {
    const asked = { handle, offset: index * CHUNK, size: CHUNK };
    const answer = fixture.kernel.read(inode, asked);
    fixture.engine.install(fixture.engine.recalls.find((recall) => recall.index === index)!);
    assertDone(answer);
  };
  read(0);
  read(1);
  // One more comes while the first two are being synced, and others are on their way, for nobody.
  fixture.clock.pass(150);
  fixture.turn();
  read(2);
  assert(fixture.engine.recalls.some(({ urgency }) => urgency === "ahead"));
  assertDone(fixture.kernel.release(inode, { handle }));
  const resident = () => fixture.engine.call("residency", { inode })!.residentBytes;
  assert.equal(resident(), 0);
  let settled = false;
  fixture.engine.ask("settleRecalls", {}, () => settled = true);
  while (fixture.disk.waiting.some(({ label }) => label.startsWith("sync "))) {
    assert(!settled, "it was answered before the bytes were durable");
    fixture.disk.step();
  }
  assert(settled);
  assert.equal(resident(), 3 * CHUNK);
  assert.equal(fixture.engine.evict(inode), 3 * CHUNK);
  fixture.quiesce();
  assert.equal(resident(), 0, "what nobody waited for came after all");
});

lawTest("where nothing was recalled, nobody waits for it to settle", (fixture) => {
  let settled = false;
  fixture.engine.ask("settleRecalls", {}, () => settled = true);
  assert(settled);
  const inode = fixture.evicted("a", data(1, CHUNK));
  const file = { inode, handle: fixture.open(inode, 0) };
  fixture.answered(fixture.kernel.read(inode, { ...file, offset: 0, size: CHUNK }));
  fixture.disk.fault = (label) => label.startsWith("sync") ? EIO : 0;
  let failed = false;
  fixture.engine.ask("settleRecalls", {}, () => failed = true);
  fixture.disk.step();
  assert(failed, "a failing disk kept it waiting");
  assert.equal(fixture.engine.call("residency", { inode })!.residentBytes, 0);
});

lawTest("a lost chunk is EIO, and nothing of the file goes", (fixture) => {
  const inode = fixture.evicted("a", data(1, 2 * CHUNK));
  const handle = fixture.open(inode, 0);
  const read = fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
  fixture.engine.fail(fixture.engine.recalls[0], { lost: true });
  assert.equal(read.errno, EIO);
  assert.equal(fixture.engine.call("statistics", {}).lostChunks, 1);
  const { attributes } = fixture.kernel.getattr(inode).value;
  assert.equal(attributes.size, 2 * CHUNK);
  assert(attributes.blocks > 0);
  assert.deepEqual(fixture.read({ inode, handle }, CHUNK), data(1, 2 * CHUNK).subarray(CHUNK));
});

lawTest("a chunk that moved to another pack is not lost because the old one is gone", (fixture) => {
  const bytes = data(1, CHUNK);
  const inode = fixture.evicted("a", bytes);
  const handle = fixture.open(inode, 0);
  const read = fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
  const [asked] = fixture.engine.recalls;
  const { chunk, hash, stored, length, codec } = asked.location;
  const from = Number(
    fixture.database.statement("SELECT pack FROM chunk WHERE id = ?").get(chunk)!.pack,
  );
  const entry = { hash, offset: 7, stored, length, codec };
  const name = new Uint8Array(16).fill(9);
  const pack = { name, versionId: "v9", bytes: 7 + stored, verified: true, chunks: [entry] };
  assert.equal(fixture.engine.call("relocate", { pack, chunks: [{ chunk, from }] }), 1);
  fixture.engine.fail(asked, { lost: true });
  assert.equal(fixture.engine.call("statistics", {}).lostChunks, 0);
  assert(read.pending, "it is asked for in its new place");
  assert.deepEqual(fixture.engine.recalls[0].location.pack, name);
  fixture.engine.installAll();
  assert.deepEqual(read.value, bytes);
  fixture.work();
});

lawTest("a recall that fails for now is EIO for its readers, and is asked for again", (fixture) => {
  const bytes = data(1, CHUNK);
  const inode = fixture.evicted("a", bytes);
  const handle = fixture.open(inode, 0);
  const read = fixture.kernel.read(inode, { handle, offset: 0, size: CHUNK });
  fixture.engine.fail(fixture.engine.recalls[0]);
  assert.equal(read.errno, EIO);
  assert.equal(fixture.engine.call("statistics", {}).lostChunks, 0);
  assert.deepEqual(fixture.read({ inode, handle }), bytes);
});

lawTest("a reader that gives up does not end the recall of the whole file", (fixture) => {
  const inode = fixture.evicted("a", data(1, 2 * CHUNK));
  let answer: unknown;
  fixture.engine.ask("recallFile", { inode }, (result) => answer = result);
  const handle = fixture.open(inode, 0);
  const read = fixture.kernel.read(inode, { handle, offset: 0, size: 100 });
  fixture.core.lot.fail(fixture.core.lot.find(read.unique)!, 4);
  assert.equal(read.errno, 4);
  fixture.quiesce();
  assert.deepEqual(answer, { recalled: 2 });
});

lawTest(
  "the recall of a whole file goes on when a program writes over a chunk of it",
  (fixture) => {
    const inode = fixture.evicted("a", data(1, 3 * CHUNK));
    let answer: unknown;
    fixture.engine.ask("recallFile", { inode }, (result) => answer = result);
    const file = { inode, handle: fixture.open(inode) };
    fixture.write(file, CHUNK, data(2, CHUNK));
    fixture.quiesce();
    assert.deepEqual(answer, { recalled: 3 });
  },
);

lawTest(
  "a removed file whose content is still being recalled is deleted all the same",
  (fixture) => {
    const inode = fixture.evicted("a", data(1, 3 * CHUNK));
    fixture.engine.ask("recallFile", { inode }, () => {});
    fixture.kernel.unlink(1, "a");
    fixture.kernel.forget(inode, fixture.kernel.lookups.get(inode) ?? 0);
    fixture.quiesce();
    assert.equal(
      fixture.database.statement("SELECT id FROM inode WHERE id = ?").get(inode),
      undefined,
    );
    fixture.assertAtRest();
  },
);

lawTest("what a writer saw of rows that are being deleted in slices is forgotten", (fixture) => {
  const chunks = 1200;
  const inode = fixture.create("a").inode;
  const file = { inode, handle: fixture.open(inode) };
  for (let index = 0; index < chunks; index++) fixture.write(file, index * CHUNK, "old");
  fixture.fsync(file);
  fixture.kernel.setattr(inode, { size: CHUNK });
  const written = fixture.kernel.write(inode, {
    ...file,
    offset: 1150 * CHUNK + 9,
    data: data(1, 1),
  });
  assert(written.pending, "its rows are still being deleted");
  fixture.answered(written);
  const got = fixture.read(file, 1150 * CHUNK, 10);
  assert.deepEqual(got, new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, data(1, 1)[0]]));
}, { chunkSize: CHUNK });

lawTest("a mount that somebody has taken the bucket from drops nothing and sends nothing", (f) => {
  const inode = f.saved("a", data(1, 2 * CHUNK));
  const open = { inode, handle: f.open(inode, 0) };
  const dirty = f.create("b");
  f.write(dirty, 0, data(2, CHUNK));
  f.closeFile(dirty);
  f.work();
  assert.equal(f.engine.call("space", {})?.keepsAll, undefined);
  f.engine.call("readOnly", { reason: "somebody else has claimed the bucket" });
  assert.equal(f.engine.call("space", {})?.keepsAll, true, "the engine need not even ask");
  assert.equal(f.engine.call("spill", { bytes: 2 * CHUNK }), 0);
  f.closeFile(open);
  assert.equal(f.engine.evict(inode), "readOnly");
  f.work();
  assert.deepEqual([...cached(f, inode).keys()], [`${inode}.1`]);
  let page: Commands["dirtyChunks"][1];
  f.engine.ask("dirtyChunks", { ...dirty, from: 0, limit: 10 }, (answer) => page = answer);
  f.work();
  assert.deepEqual(page?.chunks, []);
});
