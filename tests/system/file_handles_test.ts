/** File handles: what an NFS server, backup programs and open_by_handle_at(2) find files by. */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const program = new URL("../harness/file_handles.py", import.meta.url).pathname;

async function handles(...args: string[]): Promise<string> {
  const result = await run("python3", ["-B", program, ...args], { timeoutMs: 60_000 });
  return requireCode(result, 0, args.join(" ")).stdout;
}

Deno.test({
  name: "a file handle holds after renames and remounts, and is stale once its file is removed",
  // open_by_handle_at(2) needs CAP_DAC_READ_SEARCH.
  ignore: Deno.uid() !== 0,
  async fn() {
    await using mount = await ScratchMount.create();
    const root = mount.mountpoint;
    await mount.sh("mkdir -p a/b && echo one > a/b/file && echo two > a/b/other");
    const of = async (path: string) => (await handles("name", `${root}/${path}`)).trim();
    const [file, other, directory] = [await of("a/b/file"), await of("a/b/other"), await of("a/b")];
    assert.equal(await handles("read", root, file), "one\n");

    await mount.sh("mkdir c && mv a/b c/moved && mv c/moved/file c/renamed");
    await mount.unmount();
    await mount.mount();
    assert.equal(
      await handles("list", root, directory),
      "other\n",
      "a directory whose parents are unknown",
    );
    assert.equal(await handles("read", root, file), "one\n");
    await mount.sh("rm c/moved/other");
    assert.equal(await handles("read", root, other), "ESTALE\n");

    await mount.unmount();
    await mount.mount();
    await mount.sh("echo new > c/moved/other");
    assert.equal(await handles("read", root, other), "ESTALE\n", "a name that is used again");
    assert.equal(await handles("read", root, file), "one\n");
    await mount.unmount();
  },
});
