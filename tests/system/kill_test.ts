/**
 * kill -9 of the daemon at random moments, while a program writes, syncs, replaces, truncates and reads
 * more than the local disk may hold, so that everything is uploaded, evicted and recalled meanwhile.
 */
import assert from "node:assert/strict";
import { auditCache } from "../harness/cache_audit.ts";
import { faultRandom, rounds, until } from "../harness/fault_seed.ts";
import { PromiseRun } from "../harness/promises/promise_run.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";

const ROUNDS = rounds({ small: 10, full: 100 });

interface Status {
  engine: { eviction: { evictedFiles: number; spilledBytes: number }; recall: { gets: number } };
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("whatever was synced or closed before a kill -9 reads back, and nothing unconfirmed was evicted", async () => {
  const random = faultRandom("kill -9");
  await using mount = await ScratchMount.create({
    mountArguments: ["--disk-target", "28MiB"],
    env: { ZERO_UPLOAD_AFTER: "100ms", ZERO_DISK_MIN_FREE: "0B" },
  });
  const promises = new PromiseRun(mount.mountpoint, `${mount.directory}/promises`, "close");
  let evicted = 0;
  let recalled = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const seed = random.next();
    const before = promises.promises();
    // Every third round dies early, before the claim on the bucket has settled and uploads begin.
    const early = round % 3 === 0;
    const delayMs = random.below(early ? 2500 : 1500);
    let killedMs: number;
    {
      await using writer = promises.start(seed);
      await until("the writer works", () => promises.promises() > before ? true : undefined);
      if (!early) {
        await until("files are evicted", async () => {
          const { engine } = await mount.json<Status>(["status", mount.mountpoint]);
          return engine.eviction.evictedFiles > 0 ? true : undefined;
        });
      }
      await wait(delayMs);
      if (!early) {
        const { engine } = await mount.json<Status>(["status", mount.mountpoint]);
        evicted += engine.eviction.evictedFiles;
        recalled += engine.recall.gets;
      }
      killedMs = Date.now();
      await mount.killDaemon();
      await writer.ended;
    }
    const audit = await auditCache(mount.cache, mount.storeDirectory);
    const where = `round ${round}, seed ${seed}, ${promises.promises()} promises`;
    assert.deepEqual(audit.faults, [], where);
    await mount.mount();
    const { code, stdout, stderr } = await promises.check();
    if (code !== 0) assert.fail(`${where}\n${stdout}${stderr}${await mount.describe()}`);
    assert.deepEqual(promises.troublesBefore(killedMs), [], where + await mount.logTail());
    // The writer's error when its file system died belongs to the round that is over.
    promises.forgetErrors();
  }
  const { recall } = (await mount.json<Status>(["status", mount.mountpoint])).engine;
  recalled += recall.gets;
  console.log(
    `${ROUNDS} kills, ${promises.promises()} promises, ${evicted} files evicted, ${recalled} recalls`,
  );
  assert.ok(evicted > 0 && recalled > 0, "evictions and recalls must happen meanwhile");
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.zeroOk(["evict", mount.mountpoint]);
  const { code, stdout } = await promises.check();
  assert.equal(code, 0, `from the bucket alone: ${stdout}`);
  await mount.unmount();
  assert.deepEqual((await auditCache(mount.cache, mount.storeDirectory)).faults, []);
});
