/** What the commands do to a part of the tree, and that their JSON says the same as their words. */
import assert from "node:assert/strict";
import type {
  EvictResult,
  FileReport,
  RecallResult,
  StatusReport,
  SyncResult,
} from "../../src/daemon/control_protocol.ts";
import { residentFiles } from "../harness/life_cycle.ts";
import { isMounted, processGone, ScratchMount } from "../harness/scratch_mount.ts";

Deno.test("sync, evict, recall and status work on a part of the tree", async (test) => {
  await using mount = await ScratchMount.create({
    // Nothing is uploaded of its own accord: only what a command asks for.
    env: { ZERO_UPLOAD_AFTER: "1h", ZERO_UPLOAD_DEADLINE: "2h" },
  });
  const at = (path: string) => `${mount.mountpoint}/${path}`;
  const status = () => mount.json<StatusReport>(["status", mount.mountpoint]);
  const file = (path: string) => mount.json<FileReport>(["status", at(path)]);
  await mount.sh(
    "mkdir -p a/deep/er b && for i in 1 2 3; do head -c 9000 /dev/urandom > a/deep/er/$i; done && " +
      "head -c 9000000 /dev/urandom > a/large && head -c 5000 /dev/urandom > b/other && : > b/empty",
  );
  const before = await mount.sh("find . -type f | sort | xargs sha256sum");
  const below = ["/a/deep/er/1", "/a/deep/er/2", "/a/deep/er/3", "/a/large"];

  await test.step("zero sync PATH uploads what is below it, and nothing else", async () => {
    const dirty = (await status()).unsafe.files;
    const { unsafe } = await mount.json<SyncResult>(["sync", at("a")]);
    assert.equal(unsafe.files, 0);
    assert.equal((await status()).unsafe.files, dirty - below.length);
    assert.equal((await file("a/large")).dirty, false);
    assert.equal((await file("b/other")).dirty, true);
  });
  await test.step("zero evict PATH drops what is below it", async () => {
    const result = await mount.json<EvictResult>(["evict", at("a")]);
    assert.equal(result.files, below.length);
    assert.deepEqual(result.stayed, []);
    assert.deepEqual(await residentFiles(mount), ["/b/other"]);
    const { stdout } = await mount.zeroOk(["status", at("a/large")]);
    assert.match(stdout, /evicted .*\/a\/large\n$/);
  });
  await test.step("zero recall FILE and zero recall DIRECTORY bring back, all below", async () => {
    const one = await mount.json<RecallResult>(["recall", at("a/deep/er/2")]);
    assert.deepEqual([one.files, one.chunks, one.failedFiles], [1, 1, 0]);
    const { stdout } = await mount.zeroOk(["recall", at("a")]);
    assert.match(stdout, /^recalled 3 files, 5 chunks fetched\n$/);
    assert.deepEqual((await residentFiles(mount)).sort(), [...below, "/b/other"]);
    const again = await mount.json<RecallResult>(["recall", at("a"), at("b")]);
    assert.deepEqual([again.files, again.chunks], [0, 0]);
  });
  await test.step("zero evict uploads what is dirty first", async () => {
    const result = await mount.json<EvictResult>(["evict", at("b/other"), at("a/deep")]);
    assert.equal(result.files, 4);
    assert.equal((await file("b/other")).residentBytes, 0);
  });
  await test.step("paths: relative ones, and the mount point itself", async () => {
    const cwd = { cwd: mount.directory };
    const listed = await mount.json<FileReport[]>(["ls", "-R", "mnt/a"], cwd);
    assert.equal(listed.filter((each) => each.type === "file").length, below.length);
    // Of all mounts of this machine; those of others may be in any state.
    const { stdout } = await mount.zero(["status", "--json"], cwd);
    const [only] = (JSON.parse(stdout) as StatusReport[])
      .filter((each) => each.mountpoint === mount.mountpoint);
    assert.equal(only.pid, mount.daemonPid());
    const missing = await mount.zeroOk(["evict", at("not/there")], { code: 1 });
    assert.match(missing.stderr, /^zero: \/not\/there does not exist on the mount\nhint: /);
  });
  await test.step("an unmount uploads the rest, and JSON says so", async () => {
    await mount.sh("echo last > last");
    const { stdout } = await mount.zeroOk(["unmount", mount.mountpoint, "--json"]);
    assert.deepEqual(JSON.parse(stdout).unsafe.files, 0);
    await mount.mount();
    assert.equal((await status()).unsafe.files, 0);
    assert.equal(await mount.sh("find . -type f ! -name last | sort | xargs sha256sum"), before);
  });
  await test.step("SIGTERM while much is dirty: in order, soon, and nothing is lost", async () => {
    await mount.sh("for i in 1 2 3 4 5 6; do head -c 5000000 /dev/urandom > dirty-$i; done");
    const sums = await mount.sh("sha256sum *-*");
    const pid = mount.daemonPid()!;
    Deno.kill(pid, "SIGTERM");
    await processGone(pid);
    assert.equal(isMounted(mount.mountpoint), undefined);
    const { stderr } = await mount.mount();
    assert.equal(stderr, "", "the next mount is clean");
    assert.equal(await mount.sh("sha256sum *-*"), sums);
    await mount.zeroOk(["unmount", "--no-flush", mount.mountpoint], { code: 5 });
  });
});
