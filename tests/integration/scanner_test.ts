/** What a program that goes through everything leaves behind: nothing. */
import assert from "node:assert/strict";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { CHUNK, data, lawTest } from "../harness/law_test.ts";

const FILES = 1_200;
const DAY = 86_400_000;
const process = (pid: number) => ({ key: String(pid), pid, program: `program${pid}` });

/** Files that nobody has used for days; the last 20 are in the bucket only. */
function coldFiles(fixture: FilesystemFixture): number[] {
  const inodes: number[] = [];
  for (let n = 0; n < FILES - 20; n++) {
    const file = fixture.create(`f${n}`);
    fixture.write(file, 0, "some bytes");
    fixture.closeFile(file);
    inodes.push(file.inode);
  }
  for (let n = FILES - 20; n < FILES; n++) {
    inodes.push(fixture.evicted(`f${n}`, data(n, CHUNK)));
  }
  fixture.core.usage.flush();
  fixture.clock.pass(5 * DAY);
  return inodes;
}

function readAs(fixture: FilesystemFixture, pid: number, inode: number): void {
  fixture.kernel.caller = { uid: 0, gid: 0, pid };
  const file = { inode, handle: fixture.open(inode, 0) };
  assert.ok(fixture.read(file).length > 0);
  fixture.closeFile(file);
}

const scanners = (fixture: FilesystemFixture) =>
  fixture.engine.call("statistics", {}).scanners!.map(({ program }) => program);

lawTest(
  "what a scanner reads is no use of a file, and is not kept; it is reported; no rule may name it",
  (fixture) => {
    const inodes = coldFiles(fixture);
    // Whoever a rule names is treated as it says, whatever it does: here, like everybody.
    fixture.core.readers.configure([{ names: ["^.*$"], recall: "allow", counts: true }]);
    for (const inode of inodes.slice(0, -20)) readAs(fixture, 7, inode);
    assert.deepEqual(scanners(fixture), []);
    fixture.core.readers.configure([]);
    fixture.clock.pass(5 * DAY);
    for (const inode of inodes) readAs(fixture, 7, inode);
    assert.deepEqual(scanners(fixture), ["program7"]);
    const usedAt = (inode: number) => fixture.core.usage.lastUsed(inode)!;
    const now = fixture.clock.wallMs();
    assert.ok(now - usedAt(inodes[0]) < DAY);
    for (const inode of inodes.slice(-50)) assert.ok(now - usedAt(inode) > 4 * DAY);
    for (const inode of inodes.slice(-20)) {
      assert.equal(fixture.core.inodes.require(inode).resident, 0);
    }
    // Anybody else's reading counts, and brings content back.
    readAs(fixture, 8, inodes.at(-1)!);
    fixture.quiesce();
    assert.ok(now - usedAt(inodes.at(-1)!) < DAY);
    assert.equal(fixture.core.inodes.require(inodes.at(-1)!).resident, CHUNK);
    assert.deepEqual(scanners(fixture), ["program7"]);
  },
  { identify: process },
);
