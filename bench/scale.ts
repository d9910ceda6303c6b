/**
 * What 1,000,000 files cost a mount of the built program, beside ext4 on the same disk in the same run:
 * time to mount, `find`, memory, processor while nothing happens, and a directory of 1,000,000 names.
 *
 *   deno run -A bench/scale.ts [--files N] [--listed N] [--removed N] [--idle SECONDS]
 *
 * Needs root (a loop device) and dist/zero. Takes half an hour and 8 GB at 1,000,000 each. Wall times
 * are ratios against ext4; processor times hold on a busy machine, too.
 */
import { LoopDisk, ScratchMount } from "../tests/harness/scratch_mount.ts";
import { requireCode, run } from "../tests/harness/zero_process.ts";
import { fill, type Tree } from "./scale_fill.ts";

function option(name: string, fallback: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(Deno.args[at + 1]);
}

const FILES = option("files", 1_000_000);
/** Names in the directory that is listed, and in the one that is removed. */
const LISTED = option("listed", FILES);
const REMOVED = option("removed", FILES);
const IDLE_SECONDS = option("idle", 60);
/** How long a mount may be busy with what it finds, seconds. */
const SETTLE_SECONDS = 1_800;
const PER_DIRECTORY = 1_000;
const TIMEOUT_MS = 3_600_000;
const worker = new URL("./scale_work.ts", import.meta.url).pathname;

const trees: Tree[] = [
  { name: "tree", files: FILES, perDirectory: PER_DIRECTORY },
  { name: "flat", files: LISTED, perDirectory: LISTED },
  { name: "gone", files: REMOVED, perDirectory: REMOVED },
];

async function shell(script: string, ...args: string[]): Promise<string> {
  const result = await run("sh", ["-c", script, ...args], { timeoutMs: TIMEOUT_MS });
  return requireCode(result, 0, script).stdout;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return (performance.now() - from) / 1000;
}

function print(what: string, figure: string): void {
  console.log(`${what.padEnd(62)} ${figure}`);
}

/** A line of /proc/PID/status, in MiB. */
function memory(pid: number, field: "VmRSS" | "VmHWM" | "RssAnon"): number {
  const text = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)![1]) / 1024;
}

/** Processor seconds and wakings of all threads so far. */
function activity(pid: number): { seconds: number; wakings: number } {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  let wakings = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const status = Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`);
    wakings += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)![1]);
  }
  return { seconds: (Number(fields[11]) + Number(fields[12])) / 100, wakings };
}

const rest = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits until the daemon uses less than 2 % of a processor for ten seconds; returns what it used till then. */
async function settled(pid: number): Promise<number> {
  const begin = activity(pid).seconds;
  for (let waited = 0; waited < SETTLE_SECONDS; waited += 10) {
    const before = activity(pid).seconds;
    await rest(10_000);
    if (activity(pid).seconds - before < 0.2) return before - begin;
  }
  throw new Error(`the mount is still busy after ${SETTLE_SECONDS} s`);
}

async function idle(pid: number): Promise<string> {
  const before = activity(pid);
  await rest(IDLE_SECONDS * 1000);
  const after = activity(pid);
  const share = (after.seconds - before.seconds) / IDLE_SECONDS * 100;
  const wakings = (after.wakings - before.wakings) / IDLE_SECONDS;
  return `${share.toFixed(2)} % of a processor, ${wakings.toFixed(1)} wakings/s (bound: 0.5 %)`;
}

/** Removes a directory while another process stats files elsewhere. */
async function removeProbed(
  root: string,
  stop: string,
): Promise<{ seconds: number; stat: string }> {
  const probing = shell(
    'exec "$0" run -A "$1" probe "$2" "$3" "$4" "$5"',
    Deno.execPath(),
    worker,
    `${root}/tree`,
    `${FILES}`,
    `${PER_DIRECTORY}`,
    stop,
  );
  await rest(1_000);
  const seconds = await timed(() => shell('rm -r "$0/gone"', root));
  await Deno.writeTextFile(stop, "");
  const answer = JSON.parse(await probing);
  await Deno.remove(stop);
  const [p50, p99, p999, longest] = [answer.p50, answer.p99, answer.p999, answer.longest]
    .map((each: number) => each.toFixed(2));
  return {
    seconds,
    stat:
      `${answer.probes} cold stats: p50 ${p50} ms, p99 ${p99}, p99.9 ${p999}, longest ${longest}`,
  };
}

async function remount(disk: LoopDisk): Promise<void> {
  // Whoever has just ended may have its files open for a moment.
  const until = "for again in $(seq 50); do umount disk && break; sleep 0.2; done";
  await shell(`cd "$0" && sync && { ${until}; } && mount -o loop image disk`, disk.directory);
}

await using disk = await LoopDisk.create({ mebibytes: 40 * 1024 });
const raw = `${disk.mountpoint}/raw`;
await Deno.mkdir(raw);
for (const { name, files, perDirectory } of trees) {
  const seconds = await timed(() =>
    shell('exec "$0" run -A "$1" make "$2/$3" "$4" "$5"', ...[
      Deno.execPath(),
      worker,
      raw,
      name,
      `${files}`,
      `${perDirectory}`,
    ])
  );
  print(`ext4: make ${files} files, ${perDirectory} a directory`, `${seconds.toFixed(1)} s`);
}
await using mount = await ScratchMount.create({
  cacheParent: disk.mountpoint,
  mountArguments: ["--disk-target", "30GiB"],
});
await mount.unmount();
print(
  "fill the database",
  `${(await timed(() => Promise.resolve(fill(mount.cache, trees)))).toFixed(1)} s`,
);

// What the first mount sorts, a later one finds sorted.
await mount.mount();
print("processor until all of it is sorted", `${(await settled(mount.daemonPid()!)).toFixed(1)} s`);
print("unmount", `${(await timed(() => mount.unmount())).toFixed(2)} s`);

await remount(disk);
print("mount until it answers", `${(await timed(() => mount.mount())).toFixed(2)} s (bound: 1 s)`);
const pid = mount.daemonPid()!;
print("memory after mount", `${memory(pid, "VmRSS").toFixed(0)} MiB`);
print("processor until it is quiet", `${(await settled(pid)).toFixed(1)} s`);
print("idle, nothing was looked at", await idle(pid));

const find = 'find "$0/tree" -type f | wc -l';
const zeroFind = await timed(() => shell(find, mount.mountpoint));
const ext4Find = await timed(() => shell(find, raw));
print(
  `find over ${FILES} files after remount, against ext4`,
  `${zeroFind.toFixed(2)} s / ${ext4Find.toFixed(2)} s = ${
    (zeroFind / ext4Find).toFixed(2)
  } (bound: 3)`,
);
const walk = 'find "$0/tree" -size +100M | wc -l';
print(
  "find that asks for sizes, again, against ext4",
  `${
    ((await timed(() => shell(walk, mount.mountpoint))) / (await timed(() => shell(walk, raw))))
      .toFixed(2)
  }`,
);
print(
  "memory after find",
  `${memory(pid, "VmRSS").toFixed(0)} MiB, of it anonymous ${memory(pid, "RssAnon").toFixed(0)}; ` +
    `highest ${memory(pid, "VmHWM").toFixed(0)} (bound: 250 MiB)`,
);
await settled(pid);
print("idle, after find", await idle(pid));

const list = 'ls -f "$0/flat/d0" | wc -l';
const zeroList = await timed(() => shell(list, mount.mountpoint));
const ext4List = await timed(() => shell(list, raw));
print(
  `list a directory of ${LISTED}, against ext4`,
  `${zeroList.toFixed(2)} s / ${ext4List.toFixed(2)} s = ${(zeroList / ext4List).toFixed(2)}`,
);
// The kernel has forgotten all names, so that each stat below comes to the daemon.
await mount.unmount();
await mount.mount();
const stop = `${mount.directory}/stop`;
const zeroRemove = await removeProbed(mount.mountpoint, stop);
const ext4Remove = await removeProbed(raw, stop);
print(
  `remove a directory of ${REMOVED}, against ext4`,
  `${zeroRemove.seconds.toFixed(1)} s / ${ext4Remove.seconds.toFixed(1)} s = ${
    (zeroRemove.seconds / ext4Remove.seconds).toFixed(2)
  }`,
);
print("  meanwhile, in the mount (bound: p99 5 ms)", zeroRemove.stat);
print("  meanwhile, on ext4", ext4Remove.stat);
print("memory at the end", `${memory(mount.daemonPid()!, "VmRSS").toFixed(0)} MiB`);
print("unmount", `${(await timed(() => mount.unmount())).toFixed(2)} s`);
