import assert from "node:assert/strict";
import type { Core } from "../../../src/filesystem/core.ts";
import { volumeStatistics } from "../../../src/filesystem/volume_statistics.ts";

const GiB = 1024 ** 3;

function freeOf(
  { capacity, hard, allocated, resident, local, diskRoom = Infinity }: {
    capacity: number;
    hard: number;
    allocated: number;
    resident: number;
    local: number;
    diskRoom?: number;
  },
): { size: number; free: number } {
  const core = {
    space: { used: resident, diskRoom },
    settings: { capacity, hard },
    database: { statement: () => ({ get: () => ({ files: 7, allocated, resident, local }) }) },
  } as unknown as Core;
  const { blocks, freeBlocks, availableBlocks, blockSize, files, freeFiles } = volumeStatistics(
    core,
  );
  assert.equal(freeBlocks, availableBlocks);
  assert.equal(files - freeFiles, 7);
  return { size: blocks * blockSize, free: freeBlocks * blockSize };
}

Deno.test("free is what the capacity leaves, wherever the content is", () => {
  const sizes = { capacity: 100 * GiB, hard: 10 * GiB, allocated: 30 * GiB };
  const here = freeOf({ ...sizes, resident: 9 * GiB, local: GiB });
  const away = freeOf({ ...sizes, resident: 0, local: 0 });
  assert.deepEqual(here, { size: 100 * GiB, free: 70 * GiB });
  assert.deepEqual(away, here);
});

Deno.test("free never looks smaller than 1 GiB while anything can be evicted", () => {
  const full = { capacity: 100 * GiB, hard: 10 * GiB, allocated: 100 * GiB };
  assert.equal(freeOf({ ...full, resident: 10 * GiB, local: 9 * GiB }).free, GiB);
  assert.equal(freeOf({ ...full, resident: 10 * GiB, local: 10 * GiB }).free, 0);
});

Deno.test("a file system that outgrew its capacity is as large as its content", () => {
  const { size } = freeOf({
    capacity: GiB,
    hard: 10 * GiB,
    allocated: 5 * GiB,
    resident: GiB,
    local: 0,
  });
  assert.equal(size, 5 * GiB);
});
