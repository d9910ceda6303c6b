/**
 * Random system calls on a mount and on an ordinary directory of this machine at once: results,
 * attributes, times and bytes must be the same after every step, with eviction, recall, sync and
 * remounts on Zero's side in between. ZERO_POSIX_SEED replays one seed.
 *
 * Sequences are short, and as many as fit into ZERO_POSIX_MS (15 seconds). With ZERO_SOAK they are long:
 * 10 seeds of 10,000 steps for root and as many for an unprivileged program. ZERO_POSIX_STEPS says how
 * long each one is, ZERO_POSIX_SEEDS how many are taken instead of the time. A seed means other steps
 * where ZERO_POSIX_STEPS is another.
 */
import { PosixComparison, SMALL_CHUNK_BYTES } from "../harness/posix/comparison.ts";
import { generateSteps } from "../harness/posix/generator.ts";
import { until } from "../harness/until.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const soak = Deno.env.get("ZERO_SOAK") !== undefined;

function setting(name: string, otherwise: number | undefined): number | undefined {
  const value = Deno.env.get(name);
  return value === undefined ? otherwise : Number(value);
}

const onlySeed = setting("ZERO_POSIX_SEED", undefined);
const firstSeed = onlySeed ?? (soak ? Math.floor(Date.now() / 1000) * 1000 : 1);
const stepsOfOne = setting("ZERO_POSIX_STEPS", soak ? 10_000 : 80)!;
const seeds = onlySeed !== undefined ? 1 : setting("ZERO_POSIX_SEEDS", soak ? 10 : undefined);
const runMs = setting("ZERO_POSIX_MS", 15_000)!;

async function explore(unprivileged: boolean): Promise<void> {
  await using comparison = await PosixComparison.create();
  const started = performance.now();
  let [count, taken] = [0, 0];
  const goesOn = () => seeds !== undefined ? count < seeds : performance.now() - started < runMs;
  while (goesOn()) {
    const seed = firstSeed + count;
    const steps = generateSteps(new SeededRandom(seed), {
      steps: stepsOfOne,
      chunkSize: SMALL_CHUNK_BYTES,
      users: !unprivileged,
      zeroEvery: seed % 6 === 3 ? 25 : 400,
    });
    await comparison.expectSame(steps, { unprivileged, seed });
    count++;
    taken += steps.length;
  }

  if (soak) console.log(`${taken} steps of ${count} seeds were the same on both sides`);

  // Everything was removed again, so nothing may be left that waits for the bucket.
  const { mount } = comparison;
  await until(
    "nothing is left that waits for the bucket",
    async () => (await mount.zero(["sync", mount.mountpoint])).code === 0,
  );
  await mount.unmount();
}

Deno.test("a mount answers every call as the local file system does, for root and others", () =>
  explore(false));

Deno.test("a mount answers an unprivileged program as the local file system does", () =>
  explore(true));
