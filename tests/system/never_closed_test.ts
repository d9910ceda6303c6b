/** A file that a program never closes: the bucket gets versions of it all the same. */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";

interface Why {
  journal: { what: string }[];
}

const WRITER = "exec 3>>log; n=0; while [ -e run ]; do n=$((n + 1)); echo line $n >&3 || exit; " +
  "sleep 0.01; done";

Deno.test("a log that is never closed comes back from a burnt disk as it was at one moment", async () => {
  await using mount = await ScratchMount.create({
    env: { ZERO_UPLOAD_AFTER: "50ms", ZERO_UPLOAD_DEADLINE: "1s", ZERO_METADATA_INTERVAL: "1s" },
  });
  const { mountpoint, cache, store } = mount;
  await mount.sh("touch run");
  const writer = mount.trySh(WRITER);
  await until("it is saved twice", async () => {
    const asked = await mount.zero(["why", `${mountpoint}/log`, "--json"]);
    if (asked.code !== 0) return false;
    const { journal } = JSON.parse(asked.stdout) as Why;
    return journal.filter(({ what }) => what === "saved").length >= 2;
  });
  const sync = await mount.zero(["sync", mountpoint]);
  assert.notEqual(sync.code, 0, "a file that is being written to is called safe");
  await mount.killDaemon();
  await mount.zeroOk(["unmount", mountpoint]);
  await writer;
  await Deno.remove(cache, { recursive: true });
  // It says that there was a newer state.
  await mount.zeroOk(["recover", "--store", store, "--cache", cache, "--take-over"], { code: 5 });
  await mount.mount();
  const log = await mount.sh("cat log");
  const lines = log.trimEnd().split("\n").length;
  assert(lines > 10, `${lines} lines`);
  assert.equal(log, Array.from({ length: lines }, (_, n) => `line ${n + 1}\n`).join(""));
  await mount.unmount();
});
