/** Lookup counts, against a Map. */
import assert from "node:assert/strict";
import { LookupCounts } from "../../../src/filesystem/lookup_counts.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";

Deno.test("lookup counts agree with a plain map through growth, collisions and forgetting", () => {
  const random = new SeededRandom(7);
  const counts = new LookupCounts();
  const expected = new Map<number, number>();
  // Neighbours, as a walk makes them, and numbers above 2^32.
  const pick = () => 1 + random.below(6000) + (random.below(10) === 0 ? 2 ** 40 : 0);
  for (let i = 0; i < 60_000; i++) {
    const inode = pick();
    if (random.below(100) < (i < 30_000 ? 60 : 25)) {
      counts.add(inode);
      expected.set(inode, (expected.get(inode) ?? 0) + 1);
    } else {
      const count = 1 + random.below(3);
      const left = Math.max(0, (expected.get(inode) ?? 0) - count);
      if (left === 0) expected.delete(inode);
      else expected.set(inode, left);
      assert.equal(counts.subtract(inode, count), left);
    }
    assert.equal(counts.size, expected.size);
  }
  for (let inode = 1; inode <= 6000; inode++) {
    assert.equal(counts.get(inode), expected.get(inode) ?? 0);
    assert.equal(counts.get(inode + 2 ** 40), expected.get(inode + 2 ** 40) ?? 0);
  }
  for (const [inode, count] of expected) assert.equal(counts.subtract(inode, count), 0);
  assert.equal(counts.size, 0);
});

Deno.test("forgetting what was never known, or more than was known, leaves zero", () => {
  const counts = new LookupCounts();
  assert.equal(counts.subtract(5, 1), 0);
  counts.add(5);
  assert.equal(counts.subtract(5, 9), 0);
  assert.equal(counts.get(5), 0);
});
