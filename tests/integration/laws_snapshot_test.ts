/** Snapshots: a file that is never closed gets versions, each of which is one state that it had. */
import assert from "node:assert/strict";
import type { SnapshotRefusal } from "../../src/filesystem/protocol.ts";
import { assertSaved } from "../harness/filesystem_checks.ts";
import { type FilesystemFixture, QUIET_MS } from "../harness/filesystem_fixture.ts";
import { assertDone, CHUNK, data, Flag, lawTest } from "../harness/law_test.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

/** More than are copied in one slice. */
const MANY = 300;

/** Asks for a snapshot, and does nothing else yet. */
function ask(fixture: FilesystemFixture, inode: number) {
  const asked: { answer: { shadow: number } | SnapshotRefusal | undefined } = { answer: undefined };
  fixture.engine.ask("snapshot", { inode }, (answer) => asked.answer = answer);
  return asked;
}

/** A snapshot of the file as it is now. */
function taken(fixture: FilesystemFixture, inode: number): number {
  const asked = ask(fixture, inode);
  fixture.work();
  assert(typeof asked.answer === "object", `there is no snapshot: ${asked.answer}`);
  return asked.answer.shadow;
}

const end = (fixture: FilesystemFixture, shadow: number) => {
  fixture.engine.call("endSnapshot", { shadow });
  fixture.work();
};

/** Inodes without a name, and content files of others than these. */
const leftovers = ({ database }: FilesystemFixture) =>
  database.statement("SELECT id FROM inode WHERE nlink = 0").all();

/** An open file with a few bytes in each of many chunks, and what is in it. */
function wide(fixture: FilesystemFixture): {
  file: { inode: number; handle: number };
  bytes: Uint8Array;
} {
  const file = fixture.create("a");
  const bytes = new Uint8Array((MANY - 1) * CHUNK + 3);
  for (let index = 0; index < MANY; index++) {
    const piece = data(index, 3);
    bytes.set(piece, index * CHUNK);
    fixture.write(file, index * CHUNK, piece);
  }
  return { file, bytes };
}

lawTest(
  "a version is what the file was at one moment, however it is written to since",
  (fixture) => {
    const { file, bytes } = wide(fixture);
    const asked = ask(fixture, file.inode);
    // Before anything is copied, between two slices, and behind the end.
    const places = [0, 5, MANY - 1, MANY + 3];
    for (const index of places) fixture.write(file, index * CHUNK + 1, data(index + 1000, 9));
    fixture.turn();
    assert.equal(asked.answer, undefined, "it is copied in one slice");
    for (const index of [1, MANY - 2, MANY / 2]) {
      fixture.write(file, index * CHUNK, data(index + 2000, 5000));
    }
    fixture.work();
    const { shadow } = asked.answer as unknown as { shadow: number };
    fixture.write(file, 7 * CHUNK, data(7, 100));
    assert.equal(fixture.save(shadow), true);
    assertSaved(fixture, { inode: file.inode, bytes });
    end(fixture, shadow);
    assert.deepEqual(leftovers(fixture), []);
  },
);

lawTest(
  "a snapshot that is saved together with its file's newer state does not take its place",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, CHUNK));
    const shadow = taken(fixture, file.inode);
    fixture.write(file, 0, data(2, CHUNK + 7));
    fixture.closeFile(file);
    fixture.quiesce();
    const files: { inode: number; generation: number }[] = [];
    for (const inode of [file.inode, shadow]) {
      fixture.engine.read(inode, (upload) => {
        fixture.engine.stage(upload!);
        files.push({ inode, generation: upload!.generation });
      });
      fixture.work();
    }
    let answers: unknown;
    fixture.engine.ask("save", { files }, (results) => answers = results);
    fixture.work();
    assert.deepEqual(answers, [true, "gone"]);
    assertSaved(fixture, { inode: file.inode, bytes: data(2, CHUNK + 7) });
    end(fixture, shadow);
  },
);

lawTest("a file with a snapshot stays dirty and here, and its own version follows", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 2 * CHUNK));
  const shadow = taken(fixture, file.inode);
  assert.equal(fixture.save(shadow), true);
  end(fixture, shadow);
  assert.equal(fixture.engine.call("residency", { inode: file.inode })?.dirty, true);
  assert.equal(fixture.engine.evict(file.inode), "dirty");
  fixture.write(file, 10, data(2, 10));
  const newest = fixture.read(file);
  fixture.closeFile(file);
  fixture.work();
  assert.equal(fixture.save(file.inode), true);
  assertSaved(fixture, { inode: file.inode, bytes: newest });
  const versions = fixture.database.statement("SELECT kind FROM version ORDER BY id").all();
  assert.deepEqual(versions.map(({ kind }) => kind), [3, 1], "the older one goes to the trash");
});

lawTest("an older state never replaces a newer version", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  const shadow = taken(fixture, file.inode);
  fixture.write(file, 0, data(2, CHUNK));
  fixture.closeFile(file);
  fixture.work();
  assert.equal(fixture.save(file.inode), true);
  assert.equal(fixture.save(shadow), "gone");
  end(fixture, shadow);
  assertSaved(fixture, { inode: file.inode, bytes: data(2, CHUNK) });
});

lawTest(
  "who cuts the file off or empties parts of it waits until its chunks are copied",
  (fixture) => {
    const { file, bytes } = wide(fixture);
    const asked = ask(fixture, file.inode);
    const { inode, handle } = file;
    const punched = fixture.kernel.fallocate(inode, { handle, offset: 0, length: CHUNK, mode: 3 });
    const cut = fixture.kernel.setattr(inode, { size: 0 });
    assert(punched.pending && cut.pending);
    fixture.work();
    assertDone(punched);
    assertDone(cut);
    const { shadow } = asked.answer as unknown as { shadow: number };
    assert.equal(fixture.save(shadow), true);
    assertSaved(fixture, { inode, bytes });
    end(fixture, shadow);
  },
);

lawTest("nothing is staged for a file while its chunks are copied", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  fixture.closeFile(file);
  let placed: unknown;
  fixture.engine.read(file.inode, (upload) => {
    ask(fixture, file.inode);
    fixture.engine.stage(upload!, { later: (answer) => placed = answer });
  });
  while (fixture.disk.step());
  assert.deepEqual(placed, ["changed"]);
  fixture.work();
});

lawTest("what the bucket holds already is neither brought back nor uploaded again", (fixture) => {
  const inode = fixture.evicted("a", data(1, 3 * CHUNK));
  const file = { inode, handle: fixture.open(inode) };
  fixture.write(file, CHUNK, data(2, CHUNK));
  const shadow = taken(fixture, inode);
  assert.equal(fixture.engine.recalls.length, 0);
  const local = fixture.database.statement("SELECT idx FROM map WHERE inode = ? AND resident = 1");
  assert.deepEqual(local.all(shadow).map(({ idx }) => idx), [1]);
  assert.equal(fixture.save(shadow), true);
  end(fixture, shadow);
  const bytes = data(1, 3 * CHUNK);
  bytes.set(data(2, CHUNK), CHUNK);
  assertSaved(fixture, { inode, bytes });
});

for (const how of ["kill", "power cut"] as const) {
  lawTest(`after a ${how} nothing is left of a snapshot`, (fixture) => {
    const { file, bytes } = wide(fixture);
    fixture.fsync(file);
    ask(fixture, file.inode);
    fixture.turn();
    const whole = taken(fixture, fixture.create("b").inode);
    assert(leftovers(fixture).length >= 2, String(whole));
    const next = fixture.crash(how, new SeededRandom(5));
    next.work();
    assert.deepEqual(leftovers(next), []);
    next.kernel.lookup(1, "a");
    const handle = next.open(file.inode, 0);
    const read = next.read({ inode: file.inode, handle });
    assert.deepEqual(read, bytes.subarray(0, read.length));
  });
}

lawTest("a file that is removed meanwhile gets no version", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK));
  const shadow = taken(fixture, file.inode);
  const late = fixture.create("b");
  fixture.write(late, 0, data(2, CHUNK));
  const asked = ask(fixture, late.inode);
  for (const name of ["a", "b"]) fixture.answered(fixture.kernel.unlink(1, name));
  fixture.work();
  assert.equal(asked.answer, "gone");
  assert.equal(fixture.save(shadow), "gone");
  end(fixture, shadow);
  assert.deepEqual(fixture.database.statement("SELECT * FROM version WHERE kind <> 4").all(), []);
});

lawTest("without room for the copy there is no snapshot, and writers notice nothing", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 6 * CHUNK));
  assert.equal(ask(fixture, file.inode).answer, "full");
  // Room that somebody else takes before the copy is made.
  const small = fixture.create("b");
  fixture.write(small, 0, data(2, CHUNK));
  const asked = ask(fixture, small.inode);
  fixture.write(file, 6 * CHUNK, data(3, 2 * CHUNK));
  fixture.write(small, 0, data(4, CHUNK));
  fixture.work();
  assert.equal(asked.answer, "full");
  assert.deepEqual(fixture.read(small), data(4, CHUNK));
  assert.deepEqual(leftovers(fixture), []);
}, { settings: { high: 8 * CHUNK, low: 6 * CHUNK, hard: 9 * CHUNK } });

lawTest("there is no snapshot of what a program may be changing without a request", (fixture) => {
  const file = fixture.create("a");
  const { inode } = file;
  fixture.write(file, 0, data(1, CHUNK));
  fixture.closeFile(file);
  fixture.pass(QUIET_MS + 50);
  fixture.answered(fixture.kernel.open(inode, { flags: 0 })).value;
  const asked = ask(fixture, inode);
  assert.equal(asked.answer, undefined);
  // It is lent: whoever opens it to read and write can map it from then on.
  const writer = fixture.kernel.open(inode, { flags: Flag.RDWR });
  assert.equal(asked.answer, "open", "it goes on");
  const mapping = fixture.kernel.map(inode, fixture.answered(writer).value.handle)!;
  mapping.store(10, data(2, 10));
  assert.equal(ask(fixture, inode).answer, "open");
  mapping.unmap();
}, { passthrough: true });
