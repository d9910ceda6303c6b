/**
 * The power of the cache's disk fails: everything that was not synced is gone at that instant. What
 * fsync, or `zero sync`, has promised must be there afterwards.
 */
import assert from "node:assert/strict";
import { auditCache } from "../harness/cache_audit.ts";
import { CutDisk } from "../harness/cut_disk.ts";
import { faultRandom, rounds, until } from "../harness/fault_seed.ts";
import { PromiseRun } from "../harness/promises/promise_run.ts";
import { processGone, ScratchMount } from "../harness/scratch_mount.ts";
import { run } from "../harness/zero_process.ts";

const ROUNDS = rounds({ small: 5, full: 100 });
const DISK_MEBIBYTES = 256;

const options = (disk: CutDisk) => ({
  cacheParent: disk.mountpoint,
  mountArguments: ["--disk-target", "40MiB"],
  env: { ZERO_UPLOAD_AFTER: "100ms", ZERO_DISK_MIN_FREE: "8MiB" },
});

/** The daemon stands still, the disk loses its power, the daemon is gone, the disk is back. */
async function cutPower(mount: ScratchMount, disk: CutDisk): Promise<void> {
  const pid = mount.daemonPid()!;
  Deno.kill(pid, "SIGSTOP");
  await disk.cut();
  Deno.kill(pid, "SIGKILL");
  await processGone(pid);
  await disk.reattach();
}

Deno.test("the power cut of these tests loses what was not synced, and keeps what was", async () => {
  await using disk = await CutDisk.create({ mebibytes: 64 });
  const sh = (script: string) => run("sh", ["-c", `cd "$0" && ${script}`, disk.mountpoint]);
  const script = "echo synced > synced && sync synced . && echo not > not && cat synced not";
  assert.equal((await sh(script)).stdout, "synced\nnot\n");
  await disk.cut();
  await disk.reattach();
  assert.equal((await sh("cat synced; wc -c not 2>&1; true")).stdout.split("\n")[0], "synced");
  const lost = await sh("test -s not");
  assert.notEqual(lost.code, 0, "an unsynced write survived: this is no power cut");
});

Deno.test("whatever was fsynced before a power cut is there, whole, after it", async () => {
  const random = faultRandom("power cut");
  await using disk = await CutDisk.create({ mebibytes: DISK_MEBIBYTES });
  await using mount = await ScratchMount.create(options(disk));
  const promises = new PromiseRun(mount.mountpoint, `${mount.directory}/promises`, "fsync");
  for (let round = 0; round < ROUNDS; round++) {
    const seed = random.next();
    const before = promises.promises();
    const goal = 1 + random.below(60);
    let cutMs: number;
    {
      await using writer = promises.start(seed);
      await until("the writer was promised enough", () => {
        return promises.promises() >= before + goal || promises.failed() ? true : undefined;
      });
      cutMs = Date.now();
      await cutPower(mount, disk);
      await writer.ended;
    }
    const where = `round ${round}, seed ${seed}, ${promises.promises()} promises`;
    assert.deepEqual((await auditCache(mount.cache, mount.storeDirectory)).faults, [], where);
    await mount.mount();
    const { code, stdout, stderr } = await promises.check();
    if (code !== 0) assert.fail(`${where}\n${stdout}${stderr}${await mount.describe()}`);
    assert.deepEqual(promises.troublesBefore(cutMs), [], where + await mount.logTail());
    promises.forgetErrors();
  }
  console.log(`${ROUNDS} cuts, ${promises.promises()} promises`);
  await mount.unmount();
  assert.deepEqual((await auditCache(mount.cache, mount.storeDirectory)).faults, []);
});

Deno.test("what zero sync has brought to the bucket reads right after a power cut, although nobody fsynced it", async () => {
  await using disk = await CutDisk.create({ mebibytes: DISK_MEBIBYTES });
  await using mount = await ScratchMount.create({ ...options(disk), mountArguments: [] });
  const before = await mount.sh(
    "for i in $(seq 20); do head -c 300000 /dev/urandom > $i; done && " +
      "head -c 9000000 /dev/urandom > large && sha256sum *",
  );
  await mount.zeroOk(["sync", mount.mountpoint]);
  await cutPower(mount, disk);
  await mount.mount();
  assert.equal(await mount.sh("sha256sum *"), before);
  await mount.unmount();
});

Deno.test("a synced file stays readable when its unsynced tail is lost, and truncated bytes do not come back", async () => {
  await using disk = await CutDisk.create({ mebibytes: DISK_MEBIBYTES });
  await using mount = await ScratchMount.create(options(disk));
  const letters = (letter: string, count: number) =>
    `head -c ${count} /dev/zero | tr '\\0' ${letter}`;
  await mount.sh(`${letters("A", 80_000)} > log && ${letters("A", 80_000)} > cut && sync log cut`);
  await mount.sh("truncate -s 20000 cut && sync cut");
  // The rows of what comes now become durable with the next fsync of any file; the bytes do not.
  await mount.sh(`${letters("B", 100_000)} >> log && ${letters("B", 100_000)} >> cut`);
  await mount.sh("echo other > other && sync other");
  await cutPower(mount, disk);
  await mount.mount();
  assert.equal(await mount.sh("head -c 80000 log | tr -d A | wc -c"), "0\n");
  assert.equal(
    await mount.sh("cat log cut > /dev/null && head -c 20000 cut | tr -d A | wc -c"),
    "0\n",
  );
  assert.equal(await mount.sh("tail -c +20001 cut | tr -dc A | wc -c"), "0\n");
  await mount.unmount();
});
