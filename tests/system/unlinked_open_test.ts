/** Files without a name: whoever has them open keeps them, and nobody waits for them. */
import assert from "node:assert/strict";
import { processGone, ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";
import { requireCode, run } from "../harness/zero_process.ts";

Deno.test("a removed file that a program still has open keeps no sync from being complete", async () => {
  await using mount = await ScratchMount.create({ env: { ZERO_UPLOAD_AFTER: "50ms" } });
  const program = mount.sh(
    "exec 3<>scratch && rm scratch && echo kept >&3 && : > held && " +
      "until [ -e go ]; do sleep 0.05; done; cat /proc/self/fd/3",
  );
  await until("the program holds it", async () => (await mount.trySh("test -e held")).code === 0);
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.sh(": > go");
  assert.equal(await program, "kept\n");
  await mount.unmount();
});

Deno.test("content of files that were removed just before an unmount does not stay in the cache", async () => {
  await using mount = await ScratchMount.create();
  const contentFiles = async () => {
    const found = await run("find", [`${mount.cache}/content`, "-type", "f"]);
    return found.stdout.split("\n").slice(0, -1);
  };
  await mount.sh(
    "for n in $(seq 300); do echo $n > $n; done && mkdir kept && echo kept > kept/file",
  );
  assert.equal((await contentFiles()).length, 301);
  await mount.zeroOk(["sync", mount.mountpoint]);
  const pid = mount.daemonPid()!;
  const removed = await run("sh", ["-c", 'rm "$0"/?? "$0"/??? && umount "$0"', mount.mountpoint]);
  requireCode(removed, 0, "removing and unmounting");
  await processGone(pid);
  // Those that are still in the tables go with the next mount; all others are gone.
  await mount.mount();
  await until("nothing is left of them", async () => (await contentFiles()).length === 10);
  assert.equal(await mount.sh("cat ? kept/file | wc -l"), "10\n");
  await mount.unmount();
});
