/** Holes: where they are found, whatever is here and what is in the bucket only. */
import assert from "node:assert/strict";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { CHUNK, data, lawTest } from "../harness/law_test.ts";

const DATA = 3;
const HOLE = 4;
const ENXIO = 6;

/** Data and holes in turn, as `cp --sparse` finds them. */
function layout(fixture: FilesystemFixture, inode: number): number[] {
  const handle = fixture.open(inode, 0);
  const places: number[] = [];
  for (let at = 0, whence = DATA;; whence = DATA + HOLE - whence) {
    const answer = fixture.kernel.lseek(inode, { handle, offset: at, whence });
    if (answer.errno === ENXIO) break;
    assert.equal(answer.errno, 0);
    places.push(at = answer.value);
  }
  fixture.closeFile({ inode, handle });
  return places;
}

lawTest(
  "holes are found behind the data of a chunk, and stay where they are when it leaves",
  (fixture) => {
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, 5000));
    fixture.write(file, 3 * CHUNK, data(2, CHUNK));
    fixture.write(file, 4 * CHUNK, data(3, 10));
    fixture.kernel.setattr(file.inode, { size: 9 * CHUNK });
    fixture.closeFile(file);
    const expected = [0, 8192, 3 * CHUNK, 4 * CHUNK + 4096];
    assert.deepEqual(layout(fixture, file.inode), expected);
    fixture.clock.pass(1000);
    assert.equal(fixture.save(file.inode), true);
    fixture.engine.evict(file.inode);
    fixture.quiesce();
    assert.deepEqual(layout(fixture, file.inode), expected);
    assert.deepEqual(fixture.engine.recalls, []);
  },
);

lawTest("a file that ends in data has its hole at the end only", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, CHUNK + 7));
  fixture.closeFile(file);
  assert.deepEqual(layout(fixture, file.inode), [0, CHUNK + 7]);
});

lawTest("a small hole was taken for data, though nothing of the file had ever left", (fixture) => {
  const file = fixture.create("a");
  const block = CHUNK / 4;
  fixture.write(file, block, data(1, block));
  fixture.write(file, 3 * block, data(2, 2 * block));
  fixture.write(file, 6 * block, data(3, block));
  assert.deepEqual(
    layout(fixture, file.inode),
    [1, 2, 3, 5, 6, 7].map((blocks) => blocks * block),
  );
  // A chunk that begins with a hole, and one whose hole reaches its end.
  const punch = (from: number) => ({ ...file, offset: from * block, length: block, mode: 3 });
  assert.equal(fixture.kernel.fallocate(file.inode, punch(1)).errno, 0);
  fixture.quiesce();
  assert.deepEqual(
    layout(fixture, file.inode),
    [3, 5, 6, 7].map((blocks) => blocks * block),
  );
  fixture.closeFile(file);
  fixture.clock.pass(1000);
  assert.equal(fixture.save(file.inode), true);
  fixture.engine.evict(file.inode);
  fixture.quiesce();
  // What is known of a chunk in the bucket is how long its data is.
  assert.deepEqual(layout(fixture, file.inode), [0, 7 * block]);
});
