/** What is recorded of accesses, where it goes, and that losing it harms nobody. */
import assert from "node:assert/strict";
import { readTrace, recordAccesses } from "../../src/daemon/access_trace_file.ts";
import { HEADER_BYTES, RECORD_BYTES, type TraceEvent } from "../../src/domain/access_trace.ts";
import { TraceFile } from "../../src/filesystem/trace_file.ts";
import { TraceKind } from "../../src/policy/trace.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { assertDone, CHUNK, data, Flag, lawTest } from "../harness/law_test.ts";
import { withDirectory } from "../harness/scratch_directory.ts";

const event = (inode: number): TraceEvent => ({
  timeMs: 1_000 + inode,
  inode,
  kind: TraceKind.READ,
  reader: 0,
  size: inode * 10,
});

/** What is recorded so far, as `kind inode size`. */
function recorded(fixture: FilesystemFixture): string[] {
  fixture.core.uses.flush();
  const names = ["read", "write", "remove"];
  return [...readTrace(`${fixture.cache}/access.trace`).inOrderOfTime()]
    .map(({ kind, reader, inode, size }) =>
      `${names[kind]} ${inode} ${size}${reader === 0 ? "" : ` class ${reader}`}`
    );
}

/** Opens, reads and closes. */
function read(fixture: FilesystemFixture, inode: number): void {
  const file = { inode, handle: fixture.open(inode, 0) };
  fixture.read(file);
  fixture.closeFile(file);
}

lawTest(
  "reads, changes and removals are recorded with the size of the file, a use at most once a second",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, CHUNK));
    fixture.write(file, CHUNK, data(2, 100));
    fixture.closeFile(file);
    const { inode } = file;
    assert.deepEqual(recorded(fixture), [`write ${inode} ${CHUNK + 100}`]);
    fixture.clock.pass(2_000);
    read(fixture, inode);
    read(fixture, inode);
    fixture.clock.pass(2_000);
    read(fixture, inode);
    fixture.clock.pass(2_000);
    const again = { inode, handle: fixture.open(inode, Flag.RDWR | Flag.TRUNC) };
    fixture.closeFile(again);
    fixture.core.uses.flush();
    fixture.clock.pass(2_000);
    assertDone(fixture.kernel.unlink(1, "a"));
    fixture.kernel.forget(inode, 1);
    fixture.kernel.forget(inode, 1);
    fixture.work();
    assert.deepEqual(recorded(fixture), [
      `write ${inode} ${CHUNK + 100}`,
      `read ${inode} ${CHUNK + 100}`,
      `read ${inode} ${CHUNK + 100}`,
      `write ${inode} 0`,
      `remove ${inode} 0`,
    ]);
  },
  { traceRecords: 100 },
);

lawTest("looking at a file, renaming it and bringing it back are no accesses", (fixture) => {
  const inode = fixture.evicted("a", data(1, CHUNK));
  const before = recorded(fixture);
  fixture.clock.pass(5_000);
  assertDone(fixture.kernel.getattr(inode));
  assertDone(fixture.kernel.rename(1, { name: "a", newParent: 1, newName: "b" }));
  assertDone(fixture.kernel.setattr(inode, { mtime: "now" }));
  fixture.engine.ask("recallFile", { inode }, () => {});
  fixture.quiesce();
  assert.deepEqual(recorded(fixture), before);
}, { traceRecords: 100 });

lawTest("a trace survives a remount; a kill loses the last second of it at most", (fixture) => {
  const inode = fixture.saved("a", data(1, 10));
  fixture.clock.pass(2_000);
  read(fixture, inode);
  const whole = recorded(fixture);
  const second = fixture.crash("clean");
  assert.deepEqual(recorded(second), whole);
  second.clock.pass(2_000);
  read(second, inode);
  const third = second.crash("kill");
  assert.deepEqual(recorded(third), whole);
  third.clock.pass(2_000);
  read(third, inode);
  assert.equal(recorded(third).length, whole.length + 1);
}, { traceRecords: 100 });

lawTest("the newest records replace the oldest, however they come", (fixture) => {
  const inodes = Array.from({ length: 7 }, (_, index) => fixture.saved(`f${index}`, data(1, 10)));
  fixture.core.uses.flush();
  for (let round = 0; round < 3; round++) {
    for (const inode of inodes) {
      fixture.clock.pass(2_000);
      read(fixture, inode);
    }
  }
  const newest = inodes.slice(-5).map((inode) => `read ${inode} 10`);
  assert.deepEqual(recorded(fixture), newest);
  assert.equal(fixture.engine.call("statistics", {}).trace!.records, 5);
}, { traceRecords: 5 });

lawTest(
  "a refused open and an uncounted read are recorded with their class, and are no uses",
  (fixture) => {
    const inode = fixture.evicted("a", data(1, CHUNK));
    const here = fixture.saved("b", data(1, CHUNK));
    const before = recorded(fixture);
    const lastUsed = fixture.core.usage.lastUsed(here);
    fixture.clock.pass(2_000);
    const treat = (recall: "allow" | "deny") =>
      fixture.core.readers.configure([{ names: ["^.*$"], recall, counts: false }]);
    treat("deny");
    assert.equal(fixture.kernel.open(inode, { flags: 0 }).errno, 13);
    treat("allow");
    read(fixture, here);
    assert.deepEqual(recorded(fixture).slice(before.length), [
      `read ${inode} ${CHUNK} class 3`,
      `read ${here} ${CHUNK} class 1`,
    ]);
    assert.equal(fixture.core.usage.lastUsed(here), lastUsed);
  },
  { traceRecords: 100 },
);

Deno.test(
  "another size keeps the newest records; what is no trace is begun anew; none is kept where none is wanted",
  withDirectory((directory) => {
    const path = `${directory}/access.trace`;
    const warnings: string[] = [];
    const log = { warn: (message: string) => warnings.push(message) };
    const room = (records: number) => HEADER_BYTES + records * RECORD_BYTES + 7;
    const inodes = () => [...readTrace(path).records()].map(({ inode }) => inode);
    const write = (from: number, to: number) => {
      const file = TraceFile.open(path)!;
      for (let inode = from; inode <= to; inode++) file.note(event(inode));
      file.close();
    };
    assert.deepEqual(recordAccesses(path, { bytes: room(4), log }), { tracePath: path });
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    write(1, 6);
    assert.deepEqual(inodes(), [3, 4, 5, 6]);
    recordAccesses(path, { bytes: room(6), log });
    write(7, 9);
    assert.deepEqual(inodes(), [4, 5, 6, 7, 8, 9]);
    recordAccesses(path, { bytes: room(2), log });
    assert.deepEqual(inodes(), [8, 9]);
    write(10, 5_000);
    assert.deepEqual(inodes(), [4_999, 5_000]);
    assert.deepEqual(warnings, []);
    Deno.writeTextFileSync(path, "something else");
    recordAccesses(path, { bytes: room(2), log });
    assert.deepEqual(inodes(), []);
    assert.match(warnings.join(), /only 14 bytes; begun anew/);
    assert.deepEqual(recordAccesses(path, { bytes: 0, log }), {});
    assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
    assert.throws(() => readTrace(path), /cannot be read/);
  }),
);

Deno.test(
  "where the disk takes no more, records are dropped and counted, and nothing else happens",
  withDirectory((directory) => {
    const path = `${directory}/access.trace`;
    recordAccesses(path, { bytes: 1000, log: { warn: () => {} } });
    const file = TraceFile.open(path)!;
    file.note(event(1));
    file.close();
    file.note(event(2));
    file.flush();
    const { dropped, errno } = file.report();
    assert.deepEqual({ dropped, errno }, { dropped: 1, errno: 9 });
  }),
);
