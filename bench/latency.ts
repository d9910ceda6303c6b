/**
 * How long a stat takes that the kernel cannot answer itself, of a name that does not exist and was
 * never asked for, while others work: one every 2 ms, the median and the 99th percentile.
 */
import type { ScratchMount } from "../tests/harness/scratch_mount.ts";

const TIMEOUT_MS = 600_000;

/** Asks until its standard input ends, and for a second at least. */
const PROBE = `
const times = [];
let over = false;
Deno.stdin.read(new Uint8Array(1)).then(() => over = true);
for (const end = performance.now() + 1000; !over || performance.now() < end;) {
  const start = performance.now();
  try { Deno.lstatSync(Deno.args[0] + "/none " + times.length + " " + start); } catch { /* as meant */ }
  times.push(performance.now() - start);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
times.sort((a, b) => a - b);
const at = (part) => times[Math.floor((times.length - 1) * part)].toFixed(2);
console.log([at(0.5), at(0.99), at(1), times.length].join(" "));`;

interface Storm {
  readonly name: string;
  readonly before?: (mount: ScratchMount) => Promise<unknown>;
  readonly work: (mount: ScratchMount) => Promise<unknown>;
  readonly after?: (mount: ScratchMount) => Promise<unknown>;
}

const sh = (mount: ScratchMount, script: string) => mount.sh(script, { timeoutMs: TIMEOUT_MS });

const storms = (scale: number): Storm[] => [
  { name: "nothing", work: () => new Promise((resolve) => setTimeout(resolve, 3000)) },
  {
    name: "fsync storm of 8 processes",
    work: (mount) =>
      sh(
        mount,
        `for p in 1 2 3 4 5 6 7 8; do (i=0; while [ $i -lt ${Math.round(100 * scale)} ]; do
          dd if=/dev/zero of=s$p bs=4k count=4 conv=fsync status=none; i=$((i + 1)); done) & done; wait`,
      ),
    after: (mount) => sh(mount, "rm s?"),
  },
  {
    name: "visible write of 4 GiB",
    work: (mount) =>
      sh(mount, `dd if=/dev/zero of=big bs=1M count=${Math.round(4096 * scale)} status=none`),
    after: (mount) => sh(mount, "rm big"),
  },
  {
    name: "unlink of an evicted sparse file of 1 TiB",
    before: async (mount) => {
      await sh(
        mount,
        `truncate -s 1T sparse && i=0; while [ $i -lt 2000 ]; do
          dd if=/dev/urandom of=sparse bs=4k count=1 seek=$((i * 130000)) conv=notrunc status=none
          i=$((i + 1)); done`,
      );
      await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: TIMEOUT_MS });
      await mount.zeroOk(["evict", `${mount.mountpoint}/sparse`], { timeoutMs: TIMEOUT_MS });
    },
    work: (mount) => sh(mount, "rm sparse && sleep 2"),
  },
  {
    name: "snapshot of the metadata",
    before: (mount) =>
      sh(
        mount,
        `mkdir names && cd names && seq ${Math.round(50_000 * scale)} | xargs -n 1000 touch`,
      ),
    work: (mount) => mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: TIMEOUT_MS }),
    after: (mount) => sh(mount, "rm -rf names"),
  },
  {
    name: "rm -r of a large directory",
    before: (mount) =>
      sh(
        mount,
        `mkdir gone && cd gone && seq ${Math.round(200_000 * scale)} | xargs -n 1000 touch`,
      ),
    work: (mount) => sh(mount, "rm -r gone"),
  },
  {
    name: "200 parked recalls",
    before: async (mount) => {
      await sh(mount, "for i in $(seq 200); do head -c 100000 /dev/urandom > cold$i; done");
      await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: TIMEOUT_MS });
      await mount.zeroOk(["evict", mount.mountpoint], { timeoutMs: TIMEOUT_MS });
    },
    // The bucket is away, so all of them wait.
    work: async (mount) => {
      await Deno.rename(mount.storeDirectory, `${mount.storeDirectory}.away`);
      await sh(
        mount,
        'for i in $(seq 200); do cat cold$i > /dev/null 2>&1 & p="$p $!"; done; sleep 5; kill $p; wait',
      );
      await Deno.rename(`${mount.storeDirectory}.away`, mount.storeDirectory);
    },
  },
];

/** Prints a line per storm whose name is `wanted`: milliseconds. */
export async function measureLatency(
  mount: ScratchMount,
  { scale, wanted }: { scale: number; wanted: (storm: string) => boolean },
): Promise<void> {
  console.log("\nstat during               median, ms   p99, ms   longest, ms\n");
  for (const storm of storms(scale)) {
    if (!wanted(storm.name)) continue;
    await storm.before?.(mount);
    const probe = new Deno.Command(Deno.execPath(), {
      args: ["eval", PROBE, mount.mountpoint],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    try {
      await storm.work(mount);
    } finally {
      await probe.stdin.close();
    }
    const { stdout } = await probe.output();
    const [median, p99, longest] = new TextDecoder().decode(stdout).split(" ");
    console.log(
      `  ${storm.name.padEnd(42)} ${median.padStart(8)} ${p99.padStart(9)} ${longest.padStart(9)}`,
    );
    await storm.after?.(mount);
  }
}
