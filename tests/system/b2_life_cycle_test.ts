/** The life cycle against a real bucket, where one is named (tests/harness/real_bucket.ts). */
import assert from "node:assert/strict";
import { realBucket } from "../harness/real_bucket.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";

Deno.test({
  name: "on a real bucket, what was uploaded and evicted reads back the same",
  ignore: realBucket() === undefined,
  fn: async () => {
    await using bucket = realBucket()!;
    await using mount = await ScratchMount.create({ store: bucket.url, env: bucket.env });
    const slow = { timeoutMs: 300_000 };
    const before = await mount.sh(
      "for i in 1 2 3; do echo line $i > $i; done && head -c 20000000 /dev/urandom > large && " +
        "sha256sum 1 2 3 large",
    );
    await mount.zeroOk(["sync", mount.mountpoint], slow);
    await mount.zeroOk(["evict", mount.mountpoint], slow);
    assert.equal(await mount.sh("sha256sum 1 2 3 large", slow), before);
    await mount.unmount();
  },
});
