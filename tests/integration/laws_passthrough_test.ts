/** How opens are served, and the lease probe: nothing that a program has mapped is dropped, split or saved. */
import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import * as libc from "../../src/runtime/libc.ts";
import { SEEK } from "../../src/runtime/libc_constants.ts";
import { type FilesystemFixture, QUIET_MS } from "../harness/filesystem_fixture.ts";
import { assertDone, cached, CHUNK, data, labels, lawTest } from "../harness/law_test.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const RDONLY = 0;
const WRONLY = 1;
const RDWR = 2;
const TRUNC = 0o1000;
const Fopen = { DIRECT: 1, KEEP: 2, NOFLUSH: 32, PASS: 128 };
const with_ = { passthrough: true };

const opened = (fixture: FilesystemFixture, inode: number, flags: number) =>
  fixture.answered(fixture.kernel.open(inode, { flags })).value;

const quiet = (fixture: FilesystemFixture) => fixture.pass(QUIET_MS + 50);

/** A closed, clean file that is quiet. */
function clean(fixture: FilesystemFixture, name: string, bytes: Uint8Array): number {
  const inode = fixture.saved(name, bytes);
  quiet(fixture);
  return inode;
}

/** A mapping of a lent file, made through an open with `flags`, that has been closed since. */
function mapping(fixture: FilesystemFixture, inode: number, flags: number) {
  const reader = opened(fixture, inode, RDONLY);
  assert(reader.flags & Fopen.PASS, "it is not lent");
  const file = { inode, handle: opened(fixture, inode, flags).handle };
  const mapped = fixture.kernel.map(inode, file.handle)!;
  fixture.closeFile(file);
  fixture.closeFile({ inode, handle: reader.handle });
  return mapped;
}

const setting = (fixture: FilesystemFixture) => fixture.database.setting("lent_boot_id");
const marked = (fixture: FilesystemFixture) =>
  fixture.database.statement("SELECT inode FROM mapped").all().map(({ inode }) => inode);

/** Of whole chunks, that may differ in all their bytes: deepEqual would print each, and take gigabytes. */
function assertBytes(got: Uint8Array, expected: Uint8Array): void {
  assert.equal(got.length, expected.length);
  const at = got.findIndex((byte, i) => byte !== expected[i]);
  assert(at < 0, `byte ${at} is ${got[at]}, not ${expected[at]}`);
}

lawTest("a quiet, wholly local file is lent to whoever reads it, under one id", (fixture) => {
  const bytes = data(1, 3 * CHUNK + 77);
  const inode = clean(fixture, "a", bytes);
  const first = opened(fixture, inode, RDONLY);
  assert.equal(first.flags, Fopen.PASS | Fopen.NOFLUSH);
  const second = opened(fixture, inode, RDONLY);
  assert.equal(second.backingId, first.backingId);
  assert.deepEqual(fixture.read({ inode, handle: second.handle }), bytes);
  assert.equal(fixture.kernel.backing.size, 1);
  fixture.kernel.unlink(1, "a");
  assert.deepEqual(
    fixture.read({ inode, handle: first.handle }, CHUNK, 50),
    bytes.slice(CHUNK, CHUNK + 50),
  );
  for (const { handle } of [first, second]) fixture.closeFile({ inode, handle });
  assert.equal(fixture.kernel.backing.size, 0, "the id is given back with the last handle");
}, with_);

lawTest("what was written a moment ago is lent where its content file is the file", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.write(file, CHUNK, data(2, 100));
  fixture.closeFile(file);
  const recent = opened(fixture, file.inode, RDONLY);
  assert.equal(recent.flags & Fopen.PASS, Fopen.PASS);
  assert.deepEqual(labels(fixture), [], "nobody waits for the disk");
  fixture.closeFile({ inode: file.inode, handle: recent.handle });
  const again = fixture.open(file.inode, WRONLY);
  fixture.write({ inode: file.inode, handle: again }, 50, data(3, 10));
  assert.equal(opened(fixture, file.inode, RDONLY).flags & Fopen.PASS, 0, "as those that are open");
}, with_);

lawTest("what was cut a moment ago is not lent before its content file is the file", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.kernel.setattr(file.inode, { size: 3 * CHUNK, handle: file.handle });
  fixture.closeFile(file);
  const recent = opened(fixture, file.inode, RDONLY);
  assert.equal(recent.flags & (Fopen.PASS | Fopen.DIRECT), 0);
  fixture.closeFile({ inode: file.inode, handle: recent.handle });
  fixture.work();
  quiet(fixture);
  const later = fixture.kernel.open(file.inode, { flags: RDONLY });
  fixture.work();
  assert.equal(later.value.flags & Fopen.PASS, Fopen.PASS);
}, with_);

lawTest("what is empty or partly away is served visibly", (fixture) => {
  const empty = fixture.create("empty");
  fixture.closeFile(empty);
  quiet(fixture);
  assert.equal(opened(fixture, empty.inode, RDONLY).flags & Fopen.PASS, 0);
  const away = fixture.evicted("away", data(2, 2 * CHUNK));
  quiet(fixture);
  assert.equal(opened(fixture, away, RDONLY).flags, Fopen.DIRECT | Fopen.NOFLUSH);
}, with_);

lawTest("the first open for writing is served visibly, and so are all beside it", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  for (const flags of [RDWR, RDONLY, WRONLY]) {
    assert.equal(opened(fixture, inode, flags).flags & (Fopen.PASS | Fopen.DIRECT), 0);
  }
}, with_);

lawTest("while a file is lent, writers get the same id, and their writes come here", (fixture) => {
  const inode = clean(fixture, "a", data(1, 2 * CHUNK));
  const reader = opened(fixture, inode, RDONLY);
  for (const flags of [WRONLY, RDWR]) {
    const writer = opened(fixture, inode, flags);
    assert.equal(writer.flags, Fopen.PASS | Fopen.DIRECT);
    assert.equal(writer.backingId, reader.backingId);
    fixture.write({ inode, handle: writer.handle }, 5, `by ${flags}`);
    assert.deepEqual(
      fixture.read({ inode, handle: reader.handle }, 5, 4),
      new TextEncoder().encode(`by ${flags}`),
    );
  }
  assert.equal(fixture.engine.call("residency", { inode })?.dirty, true);
}, with_);

lawTest("what is lent keeps its length and zeros through truncate, extend and punch", (fixture) => {
  const bytes = data(1, 3 * CHUNK);
  const inode = clean(fixture, "a", bytes);
  const reader = { inode, handle: opened(fixture, inode, RDONLY).handle };
  const writer = { inode, handle: opened(fixture, inode, WRONLY).handle };
  const { kernel } = fixture;
  const expected = new Uint8Array(2 * CHUNK);
  expected.set(bytes.subarray(0, CHUNK + 9));
  fixture.answered(kernel.setattr(inode, { size: CHUNK + 9 }));
  assert.equal(fixture.read(reader).length, CHUNK + 9);
  fixture.answered(kernel.setattr(inode, { size: 2 * CHUNK }));
  assert.deepEqual(fixture.read(reader), expected);
  const hole = { ...writer, offset: 0, length: CHUNK, mode: 3 };
  assertDone(fixture.answered(kernel.fallocate(inode, hole)));
  assert.deepEqual(fixture.read(reader), expected.fill(0, 0, CHUNK));
  fixture.answered(kernel.setattr(inode, { size: 0 }));
  assert.equal(fixture.read(reader).length, 0);
  fixture.write(writer, 3, "new");
  assert.deepEqual(fixture.read(reader), new TextEncoder().encode("\0\0\0new"));
  assert.equal(cached(fixture, inode).size, 1, "one content file");
}, with_);

lawTest(
  "a truncation of what is lent reaches the bytes only once its rows are durable",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, 2 * CHUNK));
    const reader = { inode, handle: opened(fixture, inode, RDONLY).handle };
    const cut = fixture.kernel.setattr(inode, { size: 10 });
    assert(cut.pending);
    assert.equal(fixture.read(reader).length, 2 * CHUNK);
    assert(labels(fixture).includes("sync wal"));
    fixture.answered(cut);
    assert.equal(fixture.read(reader).length, 10);
  },
  with_,
);

lawTest(
  "bytes that no row names are not lent: they read as zeros, and end where the file ends",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 100));
    fixture.write(file, 2 * CHUNK, data(2, 100));
    fixture.kernel.setattr(file.inode, { size: 3 * CHUNK });
    fixture.closeFile(file);
    quiet(fixture);
    // As a crash between bytes and rows leaves it.
    const content = fixture.store.open(file.inode, 1, false)!;
    fixture.store.write(content, data(3, 5000), 100);
    fixture.store.write(content, data(4, CHUNK), CHUNK);
    fixture.store.write(content, data(5, 2 * CHUNK), 2 * CHUNK + 100);
    const handle = opened(fixture, file.inode, RDONLY);
    assert(handle.flags & Fopen.PASS);
    const expected = new Uint8Array(3 * CHUNK);
    expected.set(data(1, 100));
    expected.set(data(2, 100), 2 * CHUNK);
    assert.deepEqual(fixture.read({ inode: file.inode, handle: handle.handle }), expected);
  },
  with_,
);

lawTest("what read-ahead left while a file was lent is not kept", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  const flagsOf = (flags: number) => {
    const { handle, flags: got } = opened(fixture, inode, flags);
    fixture.closeFile({ inode, handle });
    return got;
  };
  flagsOf(WRONLY);
  assert(flagsOf(WRONLY) & Fopen.KEEP);
  assert(flagsOf(RDONLY) & Fopen.PASS);
  assert.equal(flagsOf(WRONLY) & Fopen.KEEP, 0);
  assert(flagsOf(WRONLY) & Fopen.KEEP);
}, with_);

// The lease probe, rule by rule.

lawTest("a file that somebody has mapped is not evicted before the mapping ends", (fixture) => {
  const bytes = data(1, 2 * CHUNK);
  const inode = clean(fixture, "a", bytes);
  const mapped = mapping(fixture, inode, RDONLY);
  assert.equal(fixture.engine.evict(inode), "open");
  fixture.quiesce();
  assert.deepEqual(mapped.read(0, 2 * CHUNK), bytes);
  mapped.unmap();
  assert.equal(fixture.engine.evict(inode), 2 * CHUNK);
}, with_);

lawTest("a head that stays does not let the rest of a mapped file be punched", (fixture) => {
  const bytes = data(1, 3 * CHUNK);
  const inode = clean(fixture, "a", bytes);
  const mapped = mapping(fixture, inode, RDONLY);
  const generation = fixture.engine.call("residency", { inode })!.generation;
  let answer: unknown;
  fixture.engine.ask(
    "evict",
    { files: [{ inode, generation, keepHead: CHUNK }] },
    ([result]) => answer = result,
  );
  fixture.quiesce();
  assert.equal(answer, "open");
  assert.deepEqual(mapped.read(0, 3 * CHUNK), bytes);
  mapped.unmap();
}, with_);

lawTest("no chunk of a file that is lent is spilled", (fixture) => {
  const bytes = data(1, 3 * CHUNK);
  const inode = clean(fixture, "a", bytes);
  const handle = opened(fixture, inode, RDONLY).handle;
  assert.equal(fixture.engine.call("spill", { bytes: 3 * CHUNK }), 0);
  fixture.quiesce();
  assert.deepEqual(fixture.read({ inode, handle }), bytes);
}, with_);

lawTest("our own descriptors do not pass for a mapping", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  mapping(fixture, inode, RDONLY).unmap();
  fixture.core.content(fixture.core.inodes.require(inode), false);
  assert.equal(fixture.engine.evict(inode), CHUNK);
}, with_);

lawTest(
  "who truncates a mapped file does not part it from those that have it mapped",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, CHUNK));
    const mapped = mapping(fixture, inode, RDONLY);
    const { handle, flags } = opened(fixture, inode, WRONLY | TRUNC);
    assert.equal(flags, Fopen.PASS | Fopen.DIRECT, "or it would be cached beside the mapping");
    fixture.write({ inode, handle }, 0, "new bytes");
    assert.deepEqual(mapped.read(0, 99), new TextEncoder().encode("new bytes"));
    mapped.unmap();
  },
  with_,
);

lawTest("a file is not saved while somebody may store into it unseen", (fixture) => {
  const inode = clean(fixture, "a", data(1, 2 * CHUNK));
  const mapped = mapping(fixture, inode, RDWR);
  const again = { inode, handle: opened(fixture, inode, WRONLY).handle };
  fixture.write(again, 0, "seen");
  fixture.closeFile(again);
  fixture.quiesce();
  const { generation } = fixture.engine.call("residency", { inode })!;
  let answer: unknown;
  fixture.engine.ask("save", { files: [{ inode, generation }] }, ([result]) => answer = result);
  assert.equal(answer, "open");
  assert.equal(fixture.engine.evict(inode), "open");
  mapped.store(CHUNK, new TextEncoder().encode("unseen"));
  mapped.unmap();
  fixture.quiesce();
  assert.equal(fixture.save(inode), true);
  fixture.assertCleanIsSaved();
  assert.equal(fixture.engine.evict(inode), 2 * CHUNK);
}, with_);

lawTest(
  "what was stored through a mapping into a clean file makes it dirty, and is saved",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, 2 * CHUNK));
    const mapped = mapping(fixture, inode, RDWR);
    assert.deepEqual(marked(fixture), [inode]);
    mapped.store(CHUNK + 5, new TextEncoder().encode("unseen"));
    assert.equal(
      fixture.engine.call("dirtyFiles", { changedBefore: 1e15, limit: 9 })[0]?.writers,
      1,
    );
    mapped.unmap();
    fixture.quiesce();
    assert.deepEqual(marked(fixture), []);
    assert.equal(fixture.engine.evict(inode), "dirty");
    assert.equal(fixture.save(inode), true);
    fixture.assertCleanIsSaved();
  },
  with_,
);

lawTest(
  "what was stored through a mapping into a hole or behind valid bytes was lost when it left the disk",
  (fixture) => {
    const bytes = new Uint8Array(5 * CHUNK);
    bytes.set(data(1, 3 * CHUNK + 100));
    bytes.fill(0, CHUNK, 2 * CHUNK);
    const inode = fixture.saved("a", bytes.slice(0, 3 * CHUNK + 100));
    assertDone(fixture.answered(fixture.kernel.setattr(inode, { size: bytes.length })));
    quiet(fixture);
    const mapped = mapping(fixture, inode, RDWR);
    for (const offset of [CHUNK + 7, 3 * CHUNK + 5000, 4 * CHUNK + 1]) {
      const stored = new TextEncoder().encode(`unseen at ${offset}`);
      mapped.store(offset, stored);
      bytes.set(stored, offset);
    }
    mapped.unmap();
    fixture.quiesce();
    assert.deepEqual(marked(fixture), []);
    assert.equal(fixture.save(inode), true);
    fixture.assertCleanIsSaved();
    assert.equal(fixture.engine.evict(inode), 5 * CHUNK);
    fixture.quiesce();
    const file = { inode, handle: opened(fixture, inode, RDONLY).handle };
    assert.deepEqual(fixture.read(file, 0, bytes.length), bytes);
  },
  with_,
);

/** A lent file of five chunks, the three in the middle holes, who has mapped it, and a handle beside. */
function storedInto(fixture: FilesystemFixture, flags = RDWR) {
  const bytes = data(1, 5 * CHUNK);
  bytes.fill(0, CHUNK, 4 * CHUNK);
  const inode = clean(fixture, "a", bytes);
  const mapped = mapping(fixture, inode, RDWR);
  const file = { inode, handle: opened(fixture, inode, flags).handle };
  return {
    file,
    mapped,
    bytes,
    store(offset: number, text: string) {
      const stored = new TextEncoder().encode(text);
      mapped.store(offset, stored);
      bytes.set(stored, offset);
    },
    /** Everybody sees the same, now and when it has come back from the bucket. */
    assertSame() {
      assert.deepEqual(mapped.read(0, 6 * CHUNK), bytes);
      const again = { inode, handle: opened(fixture, inode, RDWR).handle };
      assert.deepEqual(fixture.read(again), bytes);
      fixture.closeFile(again);
      fixture.closeFile(file);
      mapped.unmap();
      fixture.quiesce();
      assert.deepEqual(marked(fixture), []);
      fixture.save(inode);
      fixture.assertCleanIsSaved();
      assert.equal(typeof fixture.engine.evict(inode), "number");
      fixture.quiesce();
      const later = { inode, handle: opened(fixture, inode, RDONLY).handle };
      assert.deepEqual(fixture.read(later), bytes);
    },
  };
}

lawTest(
  "who had opened it for writing read zeros where somebody had stored through a mapping into a hole",
  (fixture) => {
    const { file, store, bytes, assertSame } = storedInto(fixture);
    store(CHUNK + 7, "into a hole");
    assert.deepEqual(fixture.read(file), bytes);
    fixture.write(file, 3 * CHUNK, "short");
    bytes.set(new TextEncoder().encode("short"), 3 * CHUNK);
    store(3 * CHUNK + 100, "behind valid bytes");
    assert.deepEqual(fixture.read(file), bytes);
    assertSame();
  },
  with_,
);

lawTest(
  "a write behind what was stored through a mapping into the same hole wiped it out",
  (fixture) => {
    const { file, store, bytes, assertSame } = storedInto(fixture, WRONLY);
    store(2 * CHUNK + 7, "stored");
    fixture.write(file, 2 * CHUNK + 5000, "written");
    bytes.set(new TextEncoder().encode("written"), 2 * CHUNK + 5000);
    assertSame();
  },
  with_,
);

lawTest("what was stored through a mapping into a hole outlived its being punched", (fixture) => {
  const { file, store, bytes, assertSame } = storedInto(fixture, WRONLY);
  fixture.write(file, 2 * CHUNK, "short");
  for (const offset of [CHUNK - 20, 2 * CHUNK + 100, 3 * CHUNK - 3, 4 * CHUNK - 3]) {
    store(offset, "stored");
  }
  const hole = { ...file, offset: CHUNK - 10, length: 2 * CHUNK + 10, mode: 3 };
  assertDone(fixture.answered(fixture.kernel.fallocate(file.inode, hole)));
  bytes.fill(0, hole.offset, hole.offset + hole.length);
  assertSame();
}, with_);

lawTest("a copy of what was stored through a mapping into a hole was a hole", (fixture) => {
  const { file, store, bytes, assertSame } = storedInto(fixture);
  store(CHUNK + 7, "stored");
  store(3 * CHUNK + 7, "overwritten");
  const copied = { handle: file.handle, offset: CHUNK, targetInode: file.inode };
  const to = { targetHandle: file.handle, targetOffset: 3 * CHUNK, length: CHUNK };
  const answer = fixture.kernel.copyFileRange(file.inode, { ...copied, ...to, wide: true });
  assert.equal(fixture.answered(answer).value, CHUNK);
  bytes.copyWithin(3 * CHUNK, CHUNK, 2 * CHUNK);
  assertSame();
}, with_);

lawTest(
  "a file that was growing while somebody had it mapped could not be read after a kill",
  (fixture) => {
    const bytes = new Uint8Array(3 * CHUNK);
    bytes.set(data(1, CHUNK + 100));
    const inode = clean(fixture, "a", bytes.slice(0, CHUNK + 100));
    assertDone(fixture.answered(fixture.kernel.setattr(inode, { size: CHUNK + 5000 })));
    quiet(fixture);
    const mapped = mapping(fixture, inode, RDWR);
    mapped.store(CHUNK + 4500, data(2, 500));
    bytes.set(data(2, 500), CHUNK + 4500);
    const writer = { inode, handle: opened(fixture, inode, WRONLY).handle };
    fixture.write(writer, 0, "dirty");
    bytes.set(new TextEncoder().encode("dirty"));
    assert(fixture.kernel.setattr(inode, { size: bytes.length }).pending);
    mapped.unmap();
    const next = fixture.crash("kill");
    next.pass(1000);
    assert.deepEqual(marked(next), []);
    const file = { inode, handle: opened(next, inode, RDWR).handle };
    assert.deepEqual(next.read(file), bytes);
    next.closeFile(file);
    next.quiesce();
    assert.equal(next.save(inode), true);
    next.assertCleanIsSaved();
    next.assertIntact();
  },
  with_,
);

lawTest(
  "a kill between the rows and the bytes of a truncation left readers what was beyond the end",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, CHUNK));
    const mapped = mapping(fixture, inode, RDWR);
    assert(fixture.kernel.setattr(inode, { size: 0 }).pending);
    const next = fixture.crash("kill");
    const { value } = next.kernel.getattr(inode);
    assert.equal(value.attributes.size, 0);
    const reader = { inode, handle: opened(next, inode, RDONLY).handle };
    assert.equal(next.read(reader).length, 0);
    assert.equal(mapped.read(0, CHUNK).length, 0);
    next.answered(next.kernel.setattr(inode, { size: CHUNK })).value;
    assert.deepEqual(next.read(reader), new Uint8Array(CHUNK));
    mapped.unmap();
  },
  with_,
);

lawTest(
  "a store that was noticed between a write and its rows left sums that count no rows",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, CHUNK));
    const mapped = mapping(fixture, inode, RDWR);
    const writer = { inode, handle: opened(fixture, inode, WRONLY).handle };
    fixture.write(writer, CHUNK, data(2, CHUNK));
    const mtime = () => fixture.kernel.getattr(inode).value.attributes.mtime;
    const before = mtime();
    // Until the disk's clock, from which the store has its time, has moved on.
    do mapped.store(0, data(3, 10)); while (mtime().nanoseconds === before.nanoseconds);
    fixture.assertIntact();
    mapped.unmap();
  },
  with_,
);

lawTest(
  "a kill between the size of a file that grew and its content file left readers a short file",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, 100));
    const mapped = mapping(fixture, inode, RDWR);
    fixture.write({ inode, handle: opened(fixture, inode, RDWR).handle }, 0, data(2, 10));
    assert(fixture.kernel.setattr(inode, { size: 3 * CHUNK }).pending, "it is not synced yet");
    const next = fixture.crash("kill");
    assert.equal(next.kernel.getattr(inode).value.attributes.size, 3 * CHUNK);
    const reader = { inode, handle: opened(next, inode, RDONLY).handle };
    const expected = new Uint8Array(3 * CHUNK);
    expected.set(data(1, 100));
    expected.set(data(2, 10));
    assert.deepEqual(next.read(reader), expected);
    mapped.unmap();
  },
  with_,
);

lawTest(
  "what was truncated away from a file that had been mapped came back where it grew again at once",
  (fixture) => {
    const { kernel } = fixture;
    const bytes = data(1, 2 * CHUNK);
    const inode = clean(fixture, "a", bytes);
    mapping(fixture, inode, RDWR).unmap();
    fixture.answered(kernel.setattr(inode, { size: CHUNK + 100 })).value;
    fixture.answered(kernel.setattr(inode, { size: 3 * CHUNK })).value;
    fixture.quiesce();
    const expected = new Uint8Array(3 * CHUNK);
    expected.set(bytes.subarray(0, CHUNK + 100));
    const reader = { inode, handle: opened(fixture, inode, RDONLY).handle };
    assertBytes(fixture.read(reader), expected);
  },
  with_,
);

for (const flags of [RDONLY, RDWR]) {
  lawTest(
    `what a kill had left of a truncation of what is mapped came back where it grew, opened with ${flags}`,
    (fixture) => {
      const bytes = data(1, 2 * CHUNK);
      const inode = clean(fixture, "a", bytes);
      const mapped = mapping(fixture, inode, flags);
      assert(fixture.kernel.setattr(inode, { size: CHUNK + 100 }).pending);
      const next = fixture.crash("kill");
      next.answered(next.kernel.setattr(inode, { size: 3 * CHUNK })).value;
      const expected = new Uint8Array(3 * CHUNK);
      expected.set(bytes.subarray(0, CHUNK + 100));
      assertBytes(mapped.read(0, 4 * CHUNK), expected);
      const reader = { inode, handle: opened(next, inode, RDONLY).handle };
      assertBytes(next.read(reader), expected);
      mapped.unmap();
    },
    with_,
  );
}

lawTest(
  "what was punched came back where an open to store unseen had come to be served visibly",
  (fixture) => {
    const { kernel } = fixture;
    const bytes = data(1, 3 * CHUNK);
    const inode = clean(fixture, "a", bytes);
    const reader = opened(fixture, inode, RDONLY);
    const open = kernel.open(inode, { flags: RDWR });
    assert(open.pending, "its mark is not durable yet");
    kernel.release(inode, { handle: reader.handle });
    const { handle, flags } = fixture.answered(open).value;
    assert.equal(flags & Fopen.PASS, 0);
    const file = { inode, handle };
    fixture.write(file, 0, "written");
    bytes.set(new TextEncoder().encode("written"));
    // So that a probe for the last writer falls between the rows and the bytes of the hole.
    fixture.pass(200);
    const hole = { handle, offset: CHUNK, length: CHUNK, mode: 3 };
    assertDone(kernel.fallocate(inode, hole));
    bytes.fill(0, CHUNK, 2 * CHUNK);
    fixture.quiesce();
    assertBytes(fixture.read(file), bytes);
    assert.deepEqual(marked(fixture), []);
  },
  with_,
);

lawTest(
  "who opened a mapped file while the rows of a truncation went did not see what was stored",
  (fixture) => {
    const file = fixture.create("a");
    for (let index = 0; index < 2200; index++) fixture.write(file, index * CHUNK, "x");
    fixture.closeFile(file);
    const { inode } = file;
    quiet(fixture);
    const mapped = mapping(fixture, inode, RDWR);
    const cut = fixture.kernel.setattr(inode, { size: 100 });
    const open = fixture.kernel.open(inode, { flags: RDONLY });
    assert(cut.pending && open.pending);
    const reader = { inode, handle: fixture.answered(open).value.handle };
    assert.deepEqual(fixture.read(reader, 0, 3), new TextEncoder().encode("x\0\0"));
    mapped.store(0, new TextEncoder().encode("stored"));
    assert.deepEqual(fixture.read(reader, 0, 6), new TextEncoder().encode("stored"));
    mapped.unmap();
    fixture.answered(cut).value;
  },
  with_,
);

lawTest("SEEK_DATA skipped what was stored through a mapping into a hole", (fixture) => {
  const { kernel } = fixture;
  const bytes = data(1, 5 * CHUNK);
  bytes.fill(0, CHUNK, 4 * CHUNK);
  const inode = clean(fixture, "a", bytes);
  const mapped = mapping(fixture, inode, RDWR);
  const { handle } = opened(fixture, inode, RDONLY);
  const seek = (offset: number, whence: number) => kernel.lseek(inode, { handle, offset, whence });
  assert.equal(seek(CHUNK, SEEK.DATA).value, 4 * CHUNK);
  mapped.store(2 * CHUNK, new TextEncoder().encode("unseen"));
  assert.equal(seek(CHUNK, SEEK.DATA).value, 2 * CHUNK);
  const behind = seek(2 * CHUNK, SEEK.HOLE).value;
  assert(behind > 2 * CHUNK && behind < 4 * CHUNK, `${behind}`);
  assert.equal(seek(behind, SEEK.DATA).value, 4 * CHUNK);
  assert.equal(seek(4 * CHUNK, SEEK.HOLE).value, 5 * CHUNK);
  mapped.unmap();
  fixture.closeFile({ inode, handle });
  fixture.quiesce();
  const again = { inode, handle: opened(fixture, inode, RDONLY).handle };
  const later = { handle: again.handle, offset: CHUNK, whence: SEEK.DATA };
  assert.equal(kernel.lseek(inode, later).value, 2 * CHUNK, "and rows say so later");
}, with_);

lawTest("a file of one hole that was stored into through a mapping had no blocks", (fixture) => {
  const { kernel } = fixture;
  const inode = clean(fixture, "a", data(1, 2 * CHUNK));
  const mapped = mapping(fixture, inode, RDWR);
  fixture.answered(kernel.setattr(inode, { size: 0 }));
  fixture.answered(kernel.setattr(inode, { size: 2 * CHUNK }));
  const blocks = () => kernel.getattr(inode).value.attributes.blocks;
  mapped.store(CHUNK, new TextEncoder().encode("unseen"));
  assert(blocks() > 0, "tar would take it for a hole");
  mapped.unmap();
  fixture.quiesce();
  assert(blocks() > 0, "and rows say so later");
}, with_);

lawTest(
  "an open beside a mapping that has stored into a hole punched what was stored",
  (fixture) => {
    const bytes = data(1, 3 * CHUNK);
    bytes.fill(0, CHUNK, 2 * CHUNK);
    const inode = clean(fixture, "a", bytes);
    const mapped = mapping(fixture, inode, RDWR);
    const stored = new TextEncoder().encode("unseen");
    mapped.store(CHUNK + 7, stored);
    bytes.set(stored, CHUNK + 7);
    fixture.kernel.getattr(inode);
    const file = { inode, handle: opened(fixture, inode, RDONLY).handle };
    fixture.quiesce();
    assert.deepEqual(mapped.read(0, bytes.length), bytes);
    fixture.closeFile(file);
    mapped.unmap();
    fixture.quiesce();
    assert.equal(fixture.save(inode), true);
    fixture.assertCleanIsSaved();
  },
  with_,
);

lawTest(
  "a file that was opened for writing and not written to is clean again at once",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, 2 * CHUNK));
    mapping(fixture, inode, RDWR).unmap();
    fixture.quiesce();
    assert.deepEqual(marked(fixture), []);
    assert.equal(fixture.engine.evict(inode), 2 * CHUNK);
  },
  with_,
);

lawTest(
  "an upload that was read before somebody stored unseen does not bind what it read",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 2 * CHUNK));
    fixture.closeFile(file);
    quiet(fixture);
    const { inode } = file;
    fixture.engine.read(inode, (upload) => {
      const mapped = mapping(fixture, inode, RDWR);
      mapped.store(0, new TextEncoder().encode("unseen"));
      fixture.engine.stage(upload!);
      mapped.unmap();
      fixture.quiesce();
      fixture.engine.stage(upload!);
    });
    fixture.quiesce();
    assert.equal(fixture.engine.call("residency", { inode })?.localBytes, 2 * CHUNK);
  },
  with_,
);

lawTest("a chunk of zeros into which somebody stores unseen does not become a hole", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.write(file, CHUNK, new Uint8Array(CHUNK));
  fixture.closeFile(file);
  quiet(fixture);
  const { inode } = file;
  const stored = new TextEncoder().encode("unseen");
  fixture.engine.read(inode, (upload) => {
    const mapped = mapping(fixture, inode, RDWR);
    mapped.store(CHUNK, stored);
    fixture.engine.stage(upload!);
    fixture.pass(1000);
    assert.deepEqual(mapped.read(CHUNK, stored.length), stored);
    mapped.unmap();
  });
  fixture.quiesce();
  assert.equal(fixture.engine.call("residency", { inode })?.localBytes, 2 * CHUNK);
}, with_);

lawTest(
  "the open that lets a program store unseen is answered once that is durably known",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, CHUNK));
    opened(fixture, inode, RDONLY);
    const open = fixture.kernel.open(inode, { flags: RDWR });
    assert(open.pending);
    const mapped = fixture.kernel.map(inode, fixture.answered(open).value.handle)!;
    mapped.store(0, new TextEncoder().encode("unseen"));
    mapped.unmap();
    const next = fixture.crash("power cut", new SeededRandom(3));
    assert.deepEqual(marked(next), [inode]);
    assert.equal(next.engine.evict(inode), "open");
    next.quiesce();
    assert.equal(next.engine.evict(inode), "dirty");
  },
  with_,
);

lawTest(
  "after a kill, programs may still store into what they have mapped: it is found",
  (fixture) => {
    const inode = clean(fixture, "a", data(1, 2 * CHUNK));
    const mapped = mapping(fixture, inode, RDWR);
    const next = fixture.crash("kill");
    next.quiesce();
    assert.equal(next.engine.evict(inode), "open");
    mapped.store(CHUNK, new TextEncoder().encode("after the kill"));
    mapped.unmap();
    next.quiesce();
    assert.equal(next.engine.evict(inode), "dirty");
    assert.equal(next.save(inode), true);
    next.assertCleanIsSaved();
  },
  with_,
);

for (const how of ["kill", "clean"] as const) {
  lawTest(`after a ${how} nothing that was mapped before is evicted or split`, (fixture) => {
    const bytes = data(1, 2 * CHUNK);
    const inode = clean(fixture, "a", bytes);
    const mapped = mapping(fixture, inode, RDONLY);
    // An orderly stop that does not wait for the last mapping is told from an unmount.
    if (how === "clean") fixture.core.lending.end = () => {};
    const next = fixture.crash(how);
    assert.equal(next.engine.evict(inode), "open");
    assert.deepEqual(mapped.read(0, 2 * CHUNK), bytes);
    mapped.unmap();
    assert.equal(next.engine.evict(inode), 2 * CHUNK);
  }, with_);
}

lawTest("no mapping outlives the machine, or an unmount: then nobody is asked", (fixture) => {
  clean(fixture, "a", data(1, CHUNK));
  const second = fixture.crash("clean");
  // It is told again at once, by the new mount.
  assert.equal(setting(second), "start 1");
  assert.equal(second.core.lending.reclaim({ id: 99, incarnation: -1 } as never), true, "unasked");
  const third = second.crash("power cut", new SeededRandom(1));
  assert.equal(setting(third), "start 2");
  assert.equal(third.core.lending.reclaim({ id: 99, incarnation: -1 } as never), true, "unasked");
}, with_);

lawTest("times follow what is stored unseen, and nobody believes them for long", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  opened(fixture, inode, RDONLY);
  const { handle } = opened(fixture, inode, RDWR);
  assert(fixture.kernel.invalidated.includes(inode));
  const before = fixture.kernel.getattr(inode).value;
  assert.equal(before.attributeTimeoutMs, 0);
  const mapped = fixture.kernel.map(inode, handle)!;
  mapped.store(0, new TextEncoder().encode("x"));
  mapped.unmap();
  const { mtime, ctime } = fixture.kernel.getattr(inode).value.attributes;
  assert.notDeepEqual(mtime, before.attributes.mtime);
  assert.deepEqual(ctime, mtime);
  fixture.fsync({ inode, handle });
  assert(
    fixture.disk.log.some((label) => label.startsWith(`sync ${inode}.1`)),
    "content is synced",
  );
}, with_);

lawTest("the first read after a change moves the access time, seen or not", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  const atimeOf = () => fixture.kernel.getattr(inode).value.attributes.atime;
  const { handle } = opened(fixture, inode, RDONLY);
  const before = atimeOf();
  fixture.read({ inode, handle }, 0, 10);
  const after = atimeOf();
  assert.notDeepEqual(after, before);
  fixture.read({ inode, handle }, 0, 10);
  assert.deepEqual(atimeOf(), after);
}, with_);

lawTest("closing counts as a use where reading is not seen", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  const { handle } = opened(fixture, inode, RDONLY);
  fixture.pass(5000);
  fixture.read({ inode, handle });
  fixture.closeFile({ inode, handle });
  fixture.core.usage.flush();
  const now = fixture.clock.wallMs();
  assert(now - fixture.engine.call("residency", { inode })!.lastUsedMs! < 100);
}, with_);

lawTest("READ of a lent file is answered, as fadvise wants it", (fixture) => {
  const bytes = data(1, CHUNK);
  const inode = clean(fixture, "a", bytes);
  const { handle } = opened(fixture, inode, RDONLY);
  assert.deepEqual(
    fixture.kernel.readAhead(inode, { handle, offset: 0, size: CHUNK }).value,
    bytes,
  );
}, with_);

for (
  const [errno, reason] of [
    [Errno.EPERM, /needs root/],
    [Errno.ELOOP, /overlayfs/],
    [Errno.EINVAL, /EINVAL/],
  ] as const
) {
  lawTest(
    `where the kernel says ${reason.source}, everything is served visibly, and says why`,
    (fixture) => {
      const inode = clean(fixture, "a", data(1, CHUNK));
      fixture.kernel.device.openBacking = () => -errno;
      fixture.core.lending.offer();
      assert.match(fixture.core.lending.obstacle!, reason);
      assert.equal(opened(fixture, inode, RDONLY).flags & Fopen.PASS, 0);
    },
    with_,
  );
}

lawTest("content that the kernel does not take after all is served visibly", (fixture) => {
  const inode = clean(fixture, "a", data(1, CHUNK));
  fixture.kernel.device.openBacking = () => -Errno.ENOMEM;
  assert.equal(opened(fixture, inode, RDONLY).flags & Fopen.PASS, 0);
  assert.equal(fixture.engine.evict(inode), "open");
}, with_);

lawTest(
  "a large file is looked at in slices before it is lent, while its open waits",
  (fixture) => {
    const file = fixture.create("a");
    for (let index = 0; index < 1200; index++) fixture.write(file, index * CHUNK, "x");
    fixture.write(file, 1200 * CHUNK - 1, "y");
    fixture.closeFile(file);
    quiet(fixture);
    const open = fixture.kernel.open(file.inode, { flags: RDONLY });
    assert(open.pending);
    const { handle, flags } = fixture.answered(open).value;
    assert(flags & Fopen.PASS);
    assert.deepEqual(
      fixture.read({ inode: file.inode, handle }, 1199 * CHUNK, 2).slice(0, 2),
      new TextEncoder().encode("x\0"),
    );
  },
  with_,
);

Deno.test("a lease that was asked for is not kept", () => {
  const path = Deno.makeTempFileSync();
  const fd = libc.open(path, libc.O.RDONLY);
  try {
    assert.equal(libc.probeLease(fd, libc.F.WRLCK), 0);
    assert.equal(libc.fcntl(fd, libc.F.GETLEASE), libc.F.UNLCK);
    const writer = libc.open(path, libc.O.RDWR | libc.O.NONBLOCK);
    assert.equal(libc.probeLease(fd, libc.F.RDLCK), -Errno.EAGAIN);
    libc.close(writer);
    const reader = libc.open(path, libc.O.RDONLY);
    assert.equal(libc.probeLease(fd, libc.F.RDLCK), 0);
    assert.equal(libc.probeLease(fd, libc.F.WRLCK), -Errno.EAGAIN);
    libc.close(reader);
  } finally {
    libc.close(fd);
    Deno.removeSync(path);
  }
});

for (const passthrough of [true, false]) {
  const how = passthrough ? "by passthrough" : "visibly";
  lawTest(
    `a file that is served ${how} is used when it is opened and closed, not by each read`,
    (fixture) => {
      const inode = clean(fixture, "a", data(1, 2 * CHUNK));
      const { core, clock } = fixture;
      const uses = () => {
        core.usage.flush();
        const row = fixture.database.statement("SELECT uses FROM history.usage WHERE inode = ?")
          .get(inode) as { uses: Uint8Array };
        return row.uses.length / 8;
      };
      // A use counts at most once a second, and making the file was one.
      clock.pass(2_000);
      const before = uses();
      const { handle, flags } = opened(fixture, inode, RDONLY);
      assert.equal((flags & Fopen.PASS) !== 0, passthrough);
      for (let n = 0; n < 10; n++) {
        fixture.read({ inode, handle });
        clock.pass(1_500);
      }
      assert.equal(uses() - before, 1);
      fixture.closeFile({ inode, handle });
      assert.equal(uses() - before, 2);
      assert.equal(core.usage.lastUsed(inode), clock.wallMs());
    },
    { passthrough },
  );
}
