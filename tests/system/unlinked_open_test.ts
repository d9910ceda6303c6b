/** Files without a name: whoever has them open keeps them, and nobody waits for them. */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";

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
