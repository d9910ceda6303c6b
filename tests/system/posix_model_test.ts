/**
 * Random system calls on a mount and on an ordinary directory of this machine at once: results,
 * attributes, times and bytes must be the same after every step, with eviction, recall, sync and
 * remounts on Zero's side in between. ZERO_POSIX_SEED replays one seed; ZERO_SOAK makes it long.
 */
import { PosixComparison, SMALL_CHUNK_BYTES } from "../harness/posix/comparison.ts";
import { generateSteps } from "../harness/posix/generator.ts";
import { until } from "../harness/until.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const soak = Deno.env.get("ZERO_SOAK") !== undefined;
const onlySeed = Deno.env.get("ZERO_POSIX_SEED");
const firstSeed = soak ? Math.floor(Date.now() / 1000) * 1000 : 1;
const runMs = Number(Deno.env.get("ZERO_POSIX_MS") ?? (soak ? 20 * 60_000 : 15_000));

async function explore(unprivileged: boolean): Promise<void> {
  await using comparison = await PosixComparison.create();
  const started = performance.now();
  let seed = Number(onlySeed ?? firstSeed);
  let [count, taken] = [0, 0];
  do {
    const steps = generateSteps(new SeededRandom(seed), {
      steps: 80,
      chunkSize: SMALL_CHUNK_BYTES,
      users: !unprivileged,
      zeroEvery: seed % 6 === 3 ? 25 : 400,
    });
    await comparison.expectSame(steps, { unprivileged, seed });
    seed++;
    count++;
    taken += steps.length;
  } while (onlySeed === undefined && performance.now() - started < runMs);

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
