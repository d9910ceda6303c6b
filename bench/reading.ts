/**
 * Reads of one wholly local file against the raw disk of the same run, with fio: by passthrough, and
 * visibly (while a program has it open for writing). Warm: from the page cache. Cold: the pages of the
 * raw file and of the content file are dropped before each run. Rounds take turns; the median of the
 * ratios counts.
 *
 *   deno run -A bench/reading.ts [--rounds N] [--mebibytes N] [--seconds N]
 */
import { ScratchMount } from "../tests/harness/scratch_mount.ts";

function option(name: string, fallback: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(Deno.args[at + 1]);
}

const rounds = option("rounds", 5);
const mebibytes = option("mebibytes", 512);
const seconds = option("seconds", 2);

const WORKLOADS = {
  "sequential read, 1 MiB": ["--rw=read", "--bs=1M"],
  "sequential read, 128 KiB": ["--rw=read", "--bs=128k"],
  "sequential read, 4 KiB": ["--rw=read", "--bs=4k"],
  "random read, 4 KiB": ["--rw=randread", "--bs=4k"],
  "mmap, sequential, 4 KiB": ["--rw=read", "--bs=4k", "--ioengine=mmap"],
  "mmap, random, 4 KiB": ["--rw=randread", "--bs=4k", "--ioengine=mmap"],
};

async function command(program: string, args: string[]): Promise<string> {
  const output = await new Deno.Command(program, { args, stdin: "null" }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!output.success) throw new Error(`${program} ${args.join(" ")}: ${text(output.stderr)}`);
  return text(output.stdout);
}

/** Bytes a second. */
async function fio(file: string, workload: string[], { once }: { once: boolean }): Promise<number> {
  const args = [
    "--name=reading",
    `--filename=${file}`,
    "--readonly",
    "--thread",
    "--invalidate=0",
    "--norandommap",
    "--randrepeat=0",
    "--output-format=json",
    ...once ? [] : ["--time_based", `--runtime=${seconds}`],
    // The last one wins.
    "--ioengine=psync",
    ...workload,
  ];
  const { jobs } = JSON.parse(await command("fio", args)) as {
    jobs: { read: { bw_bytes: number } }[];
  };
  return jobs[0].read.bw_bytes;
}

const DROP = "import os,sys\nfor p in sys.argv[1:]:\n" +
  " f=os.open(p,os.O_RDONLY); os.fsync(f); os.posix_fadvise(f,0,0,os.POSIX_FADV_DONTNEED); os.close(f)";

async function dropPages(raw: string, cache: string): Promise<void> {
  const content = (await command("find", [`${cache}/content`, "-type", "f", "-size", "+1M"]))
    .trim();
  await command("python3", ["-c", DROP, raw, ...content.split("\n")]);
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];

await using mount = await ScratchMount.create({ env: { ZERO_UPLOAD_AFTER: "10m" } });
const raw = `${mount.directory}/raw`;
const file = `${mount.mountpoint}/large`;
await command("dd", ["if=/dev/urandom", `of=${raw}`, "bs=1M", `count=${mebibytes}`, "conv=fsync"]);
await command("dd", [`if=${raw}`, `of=${file}`, "bs=1M", "conv=fsync"]);

/** Keeps the file open for writing, so that it is served visibly, until it is killed. */
function holdOpen(): Deno.ChildProcess {
  return new Deno.Command("sh", { args: ["-c", 'exec sleep 600 3<>"$0"', file], stdin: "null" })
    .spawn();
}

async function lent(): Promise<boolean> {
  const { serving } = await mount.json<{ serving: { passthrough: boolean } }>([
    "status",
    mount.mountpoint,
  ]);
  return serving.passthrough;
}

interface Column {
  name: string;
  cold: boolean;
  visible: boolean;
}
const columns: Column[] = [
  { name: "warm", cold: false, visible: false },
  { name: "cold", cold: true, visible: false },
  { name: "warm, visible", cold: false, visible: true },
];
const ratios = new Map<string, number[]>();
const speeds = new Map<string, number[]>();
for (const column of columns) {
  const holder = column.visible ? holdOpen() : undefined;
  for (const [name, workload] of Object.entries(WORKLOADS)) {
    // Cold random reads wait for the disk alone.
    if (column.cold && !workload.includes("--rw=read")) continue;
    const key = `${name} / ${column.name}`;
    for (let round = 0; round < rounds; round++) {
      if (column.cold) await dropPages(raw, mount.cache);
      else if (round === 0) {
        for (const each of [raw, file]) await fio(each, ["--rw=read", "--bs=1M"], { once: true });
      }
      const speed: Record<string, number> = {};
      const order = round % 2 === 0 ? [raw, file] : [file, raw];
      for (const each of order) speed[each] = await fio(each, workload, { once: column.cold });
      const [disk, zero] = [speed[raw], speed[file]];
      ratios.set(key, [...ratios.get(key) ?? [], zero / disk]);
      speeds.set(key, [...speeds.get(key) ?? [], zero]);
    }
  }
  if (holder !== undefined) {
    holder.kill("SIGKILL");
    await holder.status;
  }
}

console.log(`\npassthrough: ${await lent() ? "yes" : "no"}; ${mebibytes} MiB, ${rounds} rounds\n`);
console.log("| Read | Pages | Against the raw disk | lowest to highest | MiB/s |");
console.log("| --- | --- | --- | --- | --- |");
for (const [key, values] of ratios) {
  const [name, column] = key.split(" / ");
  const [low, high] = [Math.min(...values), Math.max(...values)].map((each) => each.toFixed(2));
  const speed = Math.round(median(speeds.get(key)!) / 2 ** 20);
  console.log(
    `| ${name} | ${column} | ${median(values).toFixed(2)} | ${low} to ${high} | ${speed} |`,
  );
}
