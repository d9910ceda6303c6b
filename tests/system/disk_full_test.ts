/** Somebody else fills the disk of the cache while files are written, and the bucket is away as well. */
import assert from "node:assert/strict";
import { faultRandom, until } from "../harness/fault_seed.ts";
import { freeBytes } from "../harness/free_space.ts";
import { LoopDisk, ScratchMount } from "../harness/scratch_mount.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const MiB = 1024 * 1024;
const LEFT_BYTES = 8 * MiB;
const SLOW = { timeoutMs: 180_000 };

interface Status {
  state: string;
  filesystem: { space: { diskFree: number } };
  engine: { eviction: { obstacles?: { local: number } }; waiting: string[]; trouble?: unknown };
}

const program = new URL("../harness/stream_files.ts", import.meta.url).pathname;
const stream = (...args: (string | number)[]) =>
  run(Deno.execPath(), ["run", "-A", program, ...args.map(String)], SLOW);

/** Takes all but a little of the disk, again whenever something has been freed, until it is stopped. */
function fill(directory: string): { stop: () => Promise<void> } {
  let files = 0;
  let stopped = false;
  const filling = (async () => {
    while (!stopped) {
      const bytes = freeBytes(directory) - LEFT_BYTES;
      if (bytes > MiB) {
        await run("fallocate", ["-l", `${bytes}`, `${directory}/filler-${files++}`]);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await filling;
      for (let i = 0; i < files; i++) await run("rm", ["-f", `${directory}/filler-${i}`]);
    },
  };
}

Deno.test("a disk that others fill costs writers ENOSPC and nothing else, and it goes on when there is room", async () => {
  const seed = faultRandom("disk full").next();
  await using disk = await LoopDisk.create({ mebibytes: 384 });
  await using mount = await ScratchMount.create({
    cacheParent: disk.mountpoint,
    mountArguments: ["--disk-target", "256MiB"],
    env: { ZERO_UPLOAD_AFTER: "500ms", ZERO_SPACE_TIMEOUT: "2s" },
  });
  const status = () => mount.json<Status>(["status", mount.mountpoint]);
  await mount.sh("mkdir before during after");
  const before = await stream("write", `${mount.mountpoint}/before`, seed, 160 * MiB);
  requireCode(before, 0, "writing while there is room");
  assert.doesNotMatch(before.stdout, /failed/);
  const away = `${mount.directory}/away`;
  await Deno.rename(mount.storeDirectory, away);
  // A writer is in the middle of its files when the disk becomes full.
  const write = () => stream("write", `${mount.mountpoint}/during`, seed + 1, 64 * MiB);
  let writing = write();
  const filler = fill(disk.mountpoint);
  let during = "";
  try {
    // A quick one may be done before all that can be evicted has been, and taken by the other.
    await until("writers are told that the disk is full", async () => {
      const result = await writing;
      requireCode(result, 0, `writing on a full disk${await mount.logTail()}`);
      during = result.stdout;
      if (/failed/.test(during)) return true;
      writing = write();
    }, SLOW);
    for (const line of during.split("\n").filter((each) => each.startsWith("failed"))) {
      assert.match(line, / ENOSPC$/, line + await mount.logTail());
    }
    // What was freed for a moment is taken by the other within another one.
    await until("status says what the disk is short of", async () => {
      const full = await status();
      assert.equal(full.state, "mounted");
      if (full.filesystem.space.diskFree >= 80 * MiB) return undefined;
      const { eviction, waiting } = full.engine;
      return eviction.obstacles !== undefined || waiting.length > 0 ? true : undefined;
    }, SLOW);
    await mount.sh('set -- before/*; rm "$1" && test ! -e "$1"');
    await mount.sh("ls -lR . >/dev/null");
  } finally {
    await filler.stop();
    await Deno.rename(away, mount.storeDirectory);
  }
  const after = await until("writing works again", async () => {
    const result = await stream("write", `${mount.mountpoint}/after`, seed + 2, 24 * MiB);
    return /failed/.test(result.stdout) ? undefined : result;
  }, SLOW);
  requireCode(after, 0, "writing after the filler is gone");
  await mount.zeroOk(["sync", mount.mountpoint], SLOW);
  for (const part of ["before", "during", "after"]) {
    const checked = await stream("check", `${mount.mountpoint}/${part}`, seed);
    requireCode(checked, 0, `reading ${part}${await mount.logTail()}`);
  }
  const count = (word: string) => during.split("\n").filter((line) => line.startsWith(word)).length;
  console.log(`on the full disk ${count("ok")} files were written, ${count("failed")} got ENOSPC`);
  await mount.unmount();
});
