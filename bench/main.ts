/**
 * Benchmarks as ratios against the raw disk of the same run. These machines are noisy: each workload
 * runs several times, in turns, and the median of the ratios counts.
 *
 *   deno task bench [--rounds N] [--scale X]
 */
import { ScratchMount } from "../tests/harness/scratch_mount.ts";

function option(name: string, fallback: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(Deno.args[at + 1]);
}

async function run(directory: string, scale: number): Promise<Record<string, number>> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("./workloads.ts", import.meta.url).pathname, directory, `${scale}`],
    stdin: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

const rounds = option("rounds", 3);
const scale = option("scale", 1);
await using mount = await ScratchMount.create();
const raw = await Deno.makeTempDir({ dir: mount.directory, prefix: "raw-" });
const ratios = new Map<string, number[]>();
const times = new Map<string, number[]>();
for (let round = 0; round < rounds; round++) {
  const disk = await run(raw, scale);
  const zero = await run(mount.mountpoint, scale);
  for (const [name, seconds] of Object.entries(zero)) {
    ratios.set(name, [...ratios.get(name) ?? [], disk[name] / seconds]);
    times.set(name, [...times.get(name) ?? [], seconds]);
  }
}
console.log(`\nspeed against the raw disk, median of ${rounds} rounds (1.00: as fast)\n`);
for (const [name, values] of ratios) {
  const seconds = median(times.get(name)!);
  console.log(
    `  ${name.padEnd(32)} ${median(values).toFixed(2).padStart(6)}   ${seconds.toFixed(3)} s`,
  );
}
