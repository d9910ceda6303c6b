/**
 * The disk burns at random moments: before and after any PUT, of packs or of metadata, and between any
 * two things that programs do. What a recovery owes then stands in burning_disk.ts. Each seed can be
 * replayed.
 */
import assert from "node:assert/strict";
import { BurningDisk } from "../harness/burning_disk.ts";
import { soak } from "../harness/fault_seed.ts";

const SEEDS = soak ? 25 : 4;
const BURNS = soak ? 4 : 2;
const STEPS = soak ? 40 : 20;

const outcomes = new Set<string>();
let looks = 0;
let burns = 0;

for (let seed = 1; seed <= SEEDS; seed++) {
  Deno.test(`whenever the disk burns, every file is whole in one version, and what is lost is listed, seed ${seed}`, async () => {
    await using disk = new BurningDisk(seed);
    await disk.begin();
    for (let burn = 0; burn < BURNS; burn++) {
      const steps = 1 + disk.random.below(2 * STEPS);
      for (let step = 0; step < steps; step++) {
        await disk.step();
        await disk.maybeLook(0.1);
      }
      await disk.burn();
    }
    for (let step = 0; step < STEPS; step++) await disk.step();
    await disk.look();
    looks += disk.looks;
    burns += disk.burns;
    for (const each of disk.outcomes) outcomes.add(each);
  });
}

Deno.test("those disks burned in all the ways that matter", () => {
  assert(looks > SEEDS * BURNS * 5, `${looks} looks`);
  assert.equal(burns, SEEDS * BURNS);
  assert.deepEqual([...outcomes].sort(), ["missing", "older", "predecessor"]);
});
