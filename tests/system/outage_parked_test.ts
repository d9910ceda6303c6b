/**
 * While the store stalls, those who need it wait, and nobody else: 200 parked readers, page faults among
 * them, must not slow opens, reads, stats and closes of what is here.
 */
import assert from "node:assert/strict";
import { soak } from "../harness/fault_seed.ts";
import { evictAll } from "../harness/life_cycle.ts";
import { isMounted, ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { until } from "../harness/until.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const READERS = 200;
/**
 * At full size, on a machine with nothing else to do. Otherwise it only tells those who wait for their
 * turn, on a busy machine, from those who wait for the store, which answers nobody.
 */
const LONGEST_P99_MS = soak ? 5 : 1_000;
const TRIES = 3;
const program = new URL("../harness/parked_readers.py", import.meta.url).pathname;

/** Requests that the kernel waits for, from its own count. */
async function waitingRequests(mountpoint: string): Promise<number> {
  const file = `/sys/fs/fuse/connections/${isMounted(mountpoint)!.connection}/waiting`;
  const { stdout } = await run("sh", [
    "-c",
    "mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections; " +
    'cat "$0"',
    file,
  ]);
  return Number(stdout);
}

Deno.test("200 readers that wait for a stalled store slow nobody else, and all get their bytes", async () => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await ScratchMount.create({
    store: simulator.url(),
    env: { ...simulator.env, ZERO_RECALL_TIMEOUT: "5m" },
  });
  await mount.sh(
    "mkdir cold warm && for i in $(seq 1 150); do head -c 70000 /dev/urandom > cold/read-$i; done; " +
      "for i in $(seq 1 50); do head -c 70000 /dev/urandom > cold/mapped-$i; done; " +
      "for i in $(seq 1 20); do head -c 70000 /dev/urandom > warm/$i; done",
  );
  const sums = (await mount.sh("cd cold && sha256sum *")).trim().split("\n").sort();
  await evictAll(mount);
  await mount.sh("cat warm/* > /dev/null");

  const results = `${mount.directory}/results`;
  await Deno.mkdir(results);
  await simulator.fail({ kind: "hold" });
  const readers = run("python3", [program, "read", `${mount.mountpoint}/cold`, results], {
    timeoutMs: 280_000,
  });
  await until("all readers wait", async () => await waitingRequests(mount.mountpoint) >= READERS, {
    timeoutMs: 120_000,
  });

  let best: Record<string, number> = {};
  const worst = (times: Record<string, number>) => Math.max(...Object.values(times));
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const measured = await run("python3", [program, "measure", `${mount.mountpoint}/warm`]);
    const times = JSON.parse(requireCode(measured, 0, "measuring").stdout);
    console.log(`p99 with ${READERS} parked, ms: ${JSON.stringify(times)}`);
    if (attempt === 0 || worst(times) < worst(best)) best = times;
    if (worst(best) < LONGEST_P99_MS) break;
  }
  assert.deepEqual([...Deno.readDirSync(results)], [], "nobody can have got its bytes yet");
  assert.ok(worst(best) < LONGEST_P99_MS, `99th percentiles, ms: ${JSON.stringify(best)}`);

  await simulator.heal();
  requireCode(await readers, 0, "the readers");
  const read = [...Deno.readDirSync(results)]
    .map(({ name }) => `${Deno.readTextFileSync(`${results}/${name}`)}  ${name}`).sort();
  assert.deepEqual(read, sums);
  await mount.unmount();
});
