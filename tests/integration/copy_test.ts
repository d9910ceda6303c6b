/** copy_file_range: what is shared, what is copied, and that neither shows. */
import assert from "node:assert/strict";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { cached, CHUNK, data, lawTest } from "../harness/law_test.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

interface Copy {
  from: number;
  to: number;
  length?: number;
  offset?: number;
  targetOffset?: number;
}

/** Copies as a program does: again and again until nothing is left. Returns the counts. */
function copy(fixture: FilesystemFixture, { from, to, ...range }: Copy): number[] {
  const source = fixture.open(from, 0);
  const target = fixture.open(to);
  const counts: number[] = [];
  let { offset = 0, targetOffset = 0, length = 1 << 30 } = range;
  for (;;) {
    const answer = fixture.answered(
      fixture.kernel.copyFileRange(from, {
        handle: source,
        offset,
        targetInode: to,
        targetHandle: target,
        targetOffset,
        length,
        wide: true,
      }),
    );
    assert.equal(answer.errno, 0);
    if (answer.value === 0) break;
    counts.push(answer.value);
    offset += answer.value;
    targetOffset += answer.value;
    length -= answer.value;
    if (length === 0) break;
  }
  fixture.closeFile({ inode: from, handle: source });
  fixture.closeFile({ inode: to, handle: target });
  return counts;
}

function empty(fixture: FilesystemFixture, name: string): number {
  const file = fixture.create(name);
  fixture.closeFile(file);
  return file.inode;
}

const contentOf = (fixture: FilesystemFixture, inode: number) =>
  fixture.read({ inode, handle: fixture.open(inode, 0) });

const chunksOf = (fixture: FilesystemFixture, inode: number) =>
  fixture.core.maps.range(inode, { from: 0, until: Infinity, limit: 100 }).map(({ chunk }) =>
    chunk
  );

lawTest("a copy of an evicted file shares its chunks, and brings nothing back", (fixture) => {
  const bytes = data(1, 3 * CHUNK + 500);
  const from = fixture.evicted("a", bytes);
  const to = empty(fixture, "b");
  assert.deepEqual(copy(fixture, { from, to }), [bytes.length]);
  assert.deepEqual(fixture.engine.recalls, []);
  assert.deepEqual(chunksOf(fixture, to), chunksOf(fixture, from));
  assert.equal(cached(fixture, to).size, 0);
  // The source may go: the chunks live on.
  assert.equal(fixture.kernel.unlink(1, "a").errno, 0);
  assert.equal(fixture.save(to), true);
  assert.deepEqual(contentOf(fixture, to), bytes);
});

lawTest("a copy of what is here shares the chunks, and is here too", (fixture) => {
  const bytes = data(2, 2 * CHUNK);
  const from = fixture.saved("a", bytes);
  const to = empty(fixture, "b");
  assert.deepEqual(copy(fixture, { from, to }), [bytes.length]);
  assert.deepEqual(chunksOf(fixture, to), chunksOf(fixture, from));
  fixture.pass(1000);
  fixture.work();
  const { resident, local } = fixture.core.inodes.require(to);
  assert.deepEqual({ resident, local }, { resident: 2 * CHUNK, local: 0 });
  assert.deepEqual(contentOf(fixture, to), bytes);
});

lawTest("what is not in the bucket, or lies between borders, is copied as bytes", (fixture) => {
  const bytes = data(3, 2 * CHUNK);
  const file = fixture.create("a");
  fixture.write(file, 0, bytes);
  fixture.closeFile(file);
  const to = empty(fixture, "b");
  copy(fixture, { from: file.inode, to });
  assert.deepEqual(contentOf(fixture, to), bytes);
  assert.deepEqual(chunksOf(fixture, to), [0, 0]);
  const clean = fixture.saved("c", bytes);
  const shifted = empty(fixture, "d");
  copy(fixture, { from: clean, to: shifted, offset: 5, targetOffset: 9 });
  const seen = contentOf(fixture, shifted);
  assert.deepEqual(seen.subarray(9), bytes.subarray(5));
  assert.deepEqual(seen.subarray(0, 9), new Uint8Array(9));
});

lawTest("a copy that begins between borders shares the whole chunks that follow", (fixture) => {
  const bytes = data(4, 3 * CHUNK);
  const from = fixture.evicted("a", bytes);
  const to = empty(fixture, "b");
  copy(fixture, { from, to, offset: 100, targetOffset: 100 });
  assert.deepEqual(chunksOf(fixture, to).slice(1), chunksOf(fixture, from).slice(1));
  assert.deepEqual(contentOf(fixture, to).subarray(100), bytes.subarray(100));
});

lawTest("holes are copied as holes, over data too", (fixture) => {
  const sparse = fixture.create("a");
  fixture.write(sparse, 2 * CHUNK, data(5, CHUNK));
  fixture.closeFile(sparse);
  const to = fixture.saved("b", data(6, 3 * CHUNK));
  copy(fixture, { from: sparse.inode, to });
  assert.deepEqual(contentOf(fixture, to), contentOf(fixture, sparse.inode));
  assert.deepEqual(chunksOf(fixture, to), [0]);
});

lawTest("what the target has behind the range in its last chunk stays", (fixture) => {
  const from = fixture.evicted("a", data(7, 2 * CHUNK));
  const old = data(8, 2 * CHUNK);
  const to = fixture.saved("b", old);
  copy(fixture, { from, to, length: CHUNK + 100 });
  const seen = contentOf(fixture, to);
  assert.deepEqual(
    seen.subarray(0, CHUNK + 100),
    contentOf(fixture, from).subarray(0, CHUNK + 100),
  );
  assert.deepEqual(seen.subarray(CHUNK + 100), old.subarray(CHUNK + 100));
});

lawTest("a power cut after a copy over local data shows the old bytes or the new", (fixture) => {
  const bytes = data(9, 2 * CHUNK);
  const old = data(10, 2 * CHUNK);
  const from = fixture.evicted("a", bytes);
  const to = fixture.saved("b", old);
  copy(fixture, { from, to });
  const next = fixture.crash("power cut", new SeededRandom(7));
  const seen = contentOf(next, to);
  assert.deepEqual(seen, seen[0] === old[0] ? old : bytes);
});
