/** What a change in the middle of a large file costs, at real size: only at full size of the tests. */
import assert from "node:assert/strict";
import { soak } from "../harness/fault_seed.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const CHUNK_BYTES = 4 * 2 ** 20;
const METADATA_BYTES = 64 * 1024;
const LONG_MS = 600_000;

/** Bytes of all objects below a prefix of a store that is a folder. */
async function stored(mount: ScratchMount, prefix: string): Promise<number> {
  const find = "find \"$0\" -type f -printf '%s\\n' | awk '{s += $1} END {print s + 0}'";
  const result = await run("sh", ["-c", find, `${mount.storeDirectory}/${prefix}`]);
  return Number(requireCode(result, 0, find).stdout);
}

Deno.test({
  name:
    "rewriting 1 MiB in the middle of a file of 1 GiB uploads at most two chunks, with metadata",
  ignore: !soak,
  fn: async () => {
    await using mount = await ScratchMount.create();
    const timeoutMs = LONG_MS;
    const sync = () => mount.zeroOk(["sync", mount.mountpoint], { timeoutMs });
    await mount.sh("head -c 1073741824 /dev/urandom > large", { timeoutMs });
    await sync();
    // Within one chunk, then across two.
    for (const halfMebibyte of [1000, 1023]) {
      const [packs, metadata] = [await stored(mount, "packs"), await stored(mount, "metadata")];
      await mount.sh(
        `dd if=/dev/urandom of=large bs=512K count=2 seek=${halfMebibyte} conv=notrunc status=none`,
      );
      await sync();
      const uploaded = await stored(mount, "packs") - packs;
      assert(uploaded >= 2 ** 20 && uploaded <= 2 * CHUNK_BYTES + 4096, `${uploaded} bytes`);
      const told = await stored(mount, "metadata") - metadata;
      assert(told > 0 && told <= METADATA_BYTES, `${told} bytes of metadata`);
      console.log({ halfMebibyte, uploaded, told });
    }
    await mount.unmount();
  },
});
