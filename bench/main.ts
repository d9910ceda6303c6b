/**
 * Benchmarks as ratios against raw ext4: the same disk, the same run, in turns, several rounds, the
 * median of the ratios. As root everything lies on a fresh ext4 image, because ext4 itself creates files
 * up to ten times slower where many were deleted in the last minutes.
 *
 *   deno task bench [--rounds N] [--scale X] [--rows TEXT,…] [--groups NAME,…] [--peers NAME,…]
 *                   [--latency] [--transfer] [--no-uploads] [--disk DIRECTORY]
 *
 * Groups: content, small, many, parallel, programs. Peers: unprivileged, bindfs, rclone, s3fs, where
 * they are installed. `--rows` shows only rows that hold one of the texts. `--latency` measures how long
 * stat takes while others work, instead (and `--rows` which of these). `--no-uploads` leaves both processors to the file system.
 * `--transfer` measures uploads and recalls against the raw SDK, instead (transfer.ts: `--no-line`,
 * `--swift`, `--encrypted`; groups: large, small).
 */
import { LoopDisk, ScratchMount } from "../tests/harness/scratch_mount.ts";
import { type Contestant, openPeer, rawDisk, zeroMount } from "./contestants.ts";
import { measureLatency } from "./latency.ts";
import { Programs } from "./programs.ts";
import { measureTransfer } from "./transfer.ts";

const DISK_MIB = 24 * 1024;
const TRANSFER = Deno.args.includes("--transfer");
const GROUPS = TRANSFER ? ["large", "small"] : ["content", "small", "many", "parallel", "programs"];

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

const list = (name: string) => option(name)?.split(",");
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function workloads(
  contestant: Contestant,
  groups: string[],
): Promise<Record<string, number>> {
  const { success, stdout, stderr } = await new Deno.Command(contestant.as[0] ?? Deno.execPath(), {
    args: [
      ...contestant.as.length === 0 ? [] : [...contestant.as.slice(1), Deno.execPath()],
      ...["run", "-A", "--quiet", "--no-lock", new URL("./workloads.ts", import.meta.url).pathname],
      ...[contestant.directory, `${scale}`, groups.join(",")],
    ],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`${contestant.name}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

const rounds = Number(option("rounds") ?? 3);
const scale = Number(option("scale") ?? 1);
const rows = list("rows");
const wanted = (row: string) => rows?.some((text) => row.includes(text)) ?? true;
const groups = list("groups") ?? GROUPS;
for (const group of groups) {
  if (!GROUPS.includes(group)) {
    console.error(`--groups: ${group} is none of ${GROUPS.join(", ")}`);
    Deno.exit(2);
  }
}

await using disk = option("disk") === undefined && Deno.uid() === 0
  ? await LoopDisk.create({ mebibytes: DISK_MIB })
  : undefined;
const parent = option("disk") ?? disk?.mountpoint;

if (TRANSFER) {
  await measureTransfer({
    rounds,
    scale,
    groups,
    parent,
    line: !Deno.args.includes("--no-line"),
    swift: Deno.args.includes("--swift"),
    encrypted: Deno.args.includes("--encrypted"),
  });
} else {
  await measureFiles();
}

async function measureFiles(): Promise<void> {
  await using mount = await ScratchMount.create({
    parent,
    mountArguments: ["--disk-target", "12GiB"],
    env: Deno.args.includes("--no-uploads") ? { ZERO_UPLOAD_AFTER: "24h" } : {},
  });
  // PostgreSQL runs as somebody else.
  for (const directory of [disk?.directory, disk?.mountpoint, mount.directory]) {
    if (directory !== undefined) await Deno.chmod(directory, 0o755);
  }

  if (Deno.args.includes("--latency")) {
    await measureLatency(mount, { scale, wanted });
  } else {
    await using peers = new AsyncDisposableStack();
    const raw = await rawDisk(mount.directory);
    const contestants = [zeroMount(mount)];
    for (const name of list("peers") ?? []) {
      contestants.push(peers.use(await openPeer(name, mount.directory)));
    }
    const programs = await Programs.prepare(mount.directory, groups.includes("programs"));
    const inWorkloads = groups.filter((group) => group !== "programs");
    const ratios = new Map<string, Map<string, number[]>>();
    const times = new Map<string, number[]>();
    const note = (row: string, { name, seconds, against }: {
      name: string;
      seconds: number;
      against: number;
    }) => {
      if (!wanted(row)) return;
      const columns = ratios.get(row) ?? new Map<string, number[]>();
      ratios.set(row, columns.set(name, [...columns.get(name) ?? [], against / seconds]));
      times.set(`${row} ${name}`, [...times.get(`${row} ${name}`) ?? [], seconds]);
    };
    for (let round = 0; round < rounds; round++) {
      const own = {
        ...inWorkloads.length === 0 ? {} : await workloads(raw, inWorkloads),
        ...await programs.run(raw, { scale, wanted }),
      };
      for (const contestant of contestants) {
        try {
          const mine = {
            ...inWorkloads.length === 0 ? {} : await workloads(contestant, inWorkloads),
            ...await programs.run(contestant, { scale, wanted }),
          };
          for (const [row, seconds] of Object.entries(mine)) {
            note(row, { name: contestant.name, seconds, against: own[row] });
          }
        } catch (error) {
          console.error(`${contestant.name} did not get through: ${(error as Error).message}`);
        }
      }
      console.error(`round ${round + 1} of ${rounds}`);
    }
    const names = contestants.map(({ name }) => name);
    console.log(
      `\nspeed against raw ext4, median of ${rounds} rounds, scale ${scale} (1.00: as fast)\n`,
    );
    console.log("".padEnd(40) + names.map((name) => name.padStart(13)).join("") + "   zero, s");
    for (const [row, columns] of ratios) {
      const cells = names.map((name) => {
        const values = columns.get(name);
        return (values === undefined ? "-" : median(values).toFixed(2)).padStart(13);
      });
      const own = times.get(`${row} zero`);
      const seconds = own === undefined ? "" : median(own).toFixed(3).padStart(10);
      console.log(`  ${row.padEnd(38)}${cells.join("")}${seconds}`);
    }
  }
}
