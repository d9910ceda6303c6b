/** More is written than the disk of the cache can hold, as many files and as one file, at the pace of the uploads. */
import assert from "node:assert/strict";
import { faultRandom, soak } from "../harness/fault_seed.ts";
import { FreeSpaceWatch } from "../harness/free_space.ts";
import { LoopDisk, ScratchMount } from "../harness/scratch_mount.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const MiB = 1024 * 1024;
const SIZE = soak
  ? { disk: 512, target: "380MiB", mixed: 2048 * MiB, single: 1536 * MiB }
  : { disk: 320, target: "200MiB", mixed: 640 * MiB, single: 448 * MiB };
/** Below this the disk would count as full. */
const FLOOR_BYTES = 4 * MiB;
const SLOW = { timeoutMs: soak ? 1_800_000 : 240_000 };

const program = new URL("../harness/stream_files.ts", import.meta.url).pathname;
const stream = (...args: (string | number)[]) =>
  run(Deno.execPath(), ["run", "-A", program, ...args.map(String)], SLOW);

Deno.test("files that are larger than the disk, together and one alone, are written and read back whole", async () => {
  const random = faultRandom("small disk");
  const seed = random.next();
  await using disk = await LoopDisk.create({ mebibytes: SIZE.disk });
  await using mount = await ScratchMount.create({
    cacheParent: disk.mountpoint,
    mountArguments: ["--disk-target", SIZE.target],
    env: { ZERO_UPLOAD_AFTER: "500ms" },
  });
  const source = `${mount.directory}/source`;
  const made = await stream("make", source, seed, SIZE.single);
  requireCode(made, 0, "making the large file");
  using watch = new FreeSpaceWatch(disk.mountpoint);
  const seconds: Record<string, number> = {};
  const timed = async <T>(what: string, action: () => Promise<T>): Promise<T> => {
    const startMs = performance.now();
    const result = await action();
    seconds[what] = Math.round((performance.now() - startMs) / 100) / 10;
    return result;
  };

  await mount.sh("mkdir mixed");
  const mixed = `${mount.mountpoint}/mixed`;
  const written = await timed("write mixed", () => stream("write", mixed, seed, SIZE.mixed));
  requireCode(written, 0, `writing mixed files${await mount.logTail()}`);
  assert.doesNotMatch(written.stdout, /failed/);
  const copied = await timed(
    "cp large",
    () => run("cp", [source, `${mount.mountpoint}/large`], SLOW),
  );
  requireCode(copied, 0, `cp of a file larger than the disk${await mount.logTail()}`);

  const compared = await timed(
    "read large",
    () => run("cmp", [source, `${mount.mountpoint}/large`], SLOW),
  );
  requireCode(compared, 0, `reading the large file${await mount.logTail()}`);
  const probed = await timed(
    "probe large",
    () => stream("probe", `${mount.mountpoint}/large`, seed, 60),
  );
  requireCode(probed, 0, "reading the large file at random offsets");
  const checked = await timed("read mixed", () => stream("check", mixed, seed));
  requireCode(checked, 0, `reading the mixed files${await mount.logTail()}`);
  const least = Math.round(watch.leastBytes / MiB);
  console.log(
    `${soak ? "full size" : "small size"}: disk ${SIZE.disk} MiB, target ${SIZE.target}, ` +
      `${SIZE.mixed / MiB} MiB mixed, ${
        SIZE.single / MiB
      } MiB in one file; least free ${least} MiB; ` +
      Object.entries(seconds).map(([what, value]) => `${what} ${value} s`).join(", "),
  );
  assert.ok(watch.leastBytes > FLOOR_BYTES, `only ${watch.leastBytes} bytes were left on the disk`);
  await mount.unmount();
});
