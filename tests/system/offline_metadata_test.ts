/**
 * Evicted content: what needs names and attributes only asks the store nothing, and tools that skip
 * holes never take absent content for zeros.
 */
import assert from "node:assert/strict";
import { evictAll, residentFiles } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const holesProgram = new URL("../harness/holes.py", import.meta.url).pathname;

/** Files of many kinds in `tree`: small, of several chunks, with holes at both ends and inside. */
const MAKE_TREE = [
  "mkdir -p tree/a/b/c tree/odd",
  "for i in $(seq 1 100); do head -c $((i * 501)) /dev/urandom > tree/a/b/c/$i; done",
  "head -c 10000000 /dev/urandom > tree/large",
  "head -c 3000000 /dev/urandom | dd of=tree/odd/inside bs=1M seek=9 conv=notrunc status=none",
  "truncate -s 30M tree/odd/inside",
  "truncate -s 20M tree/odd/hole",
  "printf x > tree/odd/one && : > tree/odd/empty && ln -s one tree/odd/link",
].join("\n");

const SUMS = "find . -type f -print0 | sort -z | xargs -0 sha256sum";

async function expectNoLies(mode: "stat" | "read", directory: string): Promise<void> {
  const result = await run("python3", [holesProgram, mode, directory]);
  assert.equal(requireCode(result, 0, "looking for lies").stdout, "");
}

Deno.test("on an evicted tree, whatever needs no content makes no call to the store", async (test) => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await ScratchMount.create({
    store: simulator.url(),
    // Nothing of its own accord while the calls are counted.
    env: {
      ...simulator.env,
      ZERO_UPLOAD_AFTER: "1h",
      ZERO_UPLOAD_DEADLINE: "2h",
      ZERO_METADATA_INTERVAL: "1h",
    },
  });
  await mount.sh(MAKE_TREE);
  await evictAll(mount);
  await mount.sh("sync");
  const commands = [
    "ls -lR . > /dev/null",
    "find . -newermt 2000-01-01 -size +0 -exec stat {} + > /dev/null",
    "du -s --apparent-size . > /dev/null && df . > /dev/null",
    "mv tree moved && mv moved/a/b moved/b && mv moved/b/c/1 'moved/b/c/another name'",
    "chmod -R u+w,g-w moved && chown -R 1:1 moved && touch -d 2001-01-01 moved/large",
    "ln moved/large moved/hard && cp -al moved copied",
    "find . -name '*' -exec readlink {} + > /dev/null; true",
    'rm -r copied moved && test -z "$(ls)"',
  ];
  for (const command of commands) {
    await test.step(command, async () => {
      await simulator.control.resetCounts();
      await mount.sh(command);
      assert.deepEqual(await simulator.control.counts(), {});
    });
  }
  await mount.unmount();
});

Deno.test("tools that skip holes store the real bytes of an evicted tree", async (test) => {
  await using mount = await ScratchMount.create();
  await mount.sh(MAKE_TREE);
  const before = await mount.sh(`cd tree && ${SUMS}`);
  await test.step("what is local tells no lies", () => expectNoLies("read", mount.mountpoint));
  await evictAll(mount);
  await test.step("what is evicted has blocks, and no hole where data is", async () => {
    await expectNoLies("stat", `${mount.mountpoint}/tree/a`);
    assert.deepEqual(await residentFiles(mount), [], "looking must not recall");
    const { stdout } = await run("stat", ["-c", "%b", `${mount.mountpoint}/tree/large`]);
    assert.ok(Number(stdout) * 512 >= 10_000_000, `large has ${stdout} blocks`);
  });
  const out = `${mount.directory}/out`;
  const copiers: [string, string][] = [
    ["tar -S", 'tar -cSf "$OUT/t.tar" tree && tar -xSf "$OUT/t.tar" -C "$OUT"'],
    ["cp --sparse=always", 'cp -a --sparse=always tree "$OUT/"'],
    ["cp --sparse=auto", 'cp -a tree "$OUT/"'],
    ["rsync -S", 'rsync -aS tree "$OUT/"'],
  ];
  for (const [name, script] of copiers) {
    const missing = (await run("sh", ["-c", `command -v ${name.split(" ")[0]}`])).code !== 0;
    if (missing) console.log(`skipped: ${name} is not installed`);
    await test.step({
      name,
      ignore: missing,
      fn: async () => {
        await evictAll(mount);
        await Deno.mkdir(out);
        await mount.sh(script, { env: { OUT: out } });
        const copied = await run("sh", ["-c", `cd "$0" && ${SUMS}`, `${out}/tree`]);
        assert.equal(copied.stdout, before);
        await Deno.remove(out, { recursive: true });
      },
    });
  }
  await test.step("what came back tells no lies", () => expectNoLies("read", mount.mountpoint));
  await mount.unmount();
});
