/** Where a mount must not be: refused with a way out, and nothing is changed. Or healed. */
import assert from "node:assert/strict";
import { expectRefusal, snapshot } from "../harness/refusal.ts";
import { isMounted, processGone, ScratchMount } from "../harness/scratch_mount.ts";

/** A file system that was made, mounted once and unmounted; with one file in it. */
async function made(): Promise<ScratchMount> {
  const mount = await ScratchMount.create({ mountArguments: ["--disk-target", "1GiB"] });
  try {
    await mount.sh("echo content > file");
    await leave(mount);
    return mount;
  } catch (error) {
    await mount[Symbol.asyncDispose]();
    throw error;
  }
}

/** Unmounts without waiting for uploads, which are not what is tested here. */
async function leave(mount: ScratchMount): Promise<void> {
  const pid = mount.daemonPid()!;
  const { code } = await mount.zero(["unmount", "--no-flush", mount.mountpoint]);
  assert.ok(code === 0 || code === 5, `exit code ${code}`); // 5: something is not in the bucket yet
  await processGone(pid);
  assert.equal(isMounted(mount.mountpoint), undefined);
}

/** Refused, and everything below the scratch directory is as it was. */
async function expectUnchanged(mount: ScratchMount, refuse: () => Promise<unknown>): Promise<void> {
  const before = await snapshot(mount.directory);
  await refuse();
  assert.equal(await snapshot(mount.directory), before);
  assert.equal(isMounted(mount.mountpoint), undefined);
  assert.equal(mount.daemonPid(), undefined);
}

Deno.test("bad mount points and nested places are refused, and change nothing", async (test) => {
  await using mount = await made();
  const { directory, mountpoint, cache, store } = mount;
  await Deno.mkdir(`${directory}/full`);
  await Deno.writeTextFile(`${directory}/full/file`, "mine");
  await Deno.writeTextFile(`${directory}/plain`, "mine");
  await Deno.symlink(mountpoint, `${directory}/link`);
  await Deno.symlink(directory, `${directory}/alias`);
  const cases: {
    name: string;
    at: string;
    cache?: string;
    store?: string;
    code: number;
    reason: RegExp;
    hint: RegExp;
  }[] = [
    {
      name: "a directory with something in it",
      at: `${directory}/full`,
      code: 3,
      reason: /full is not empty/,
      hint: /empty directory/,
    },
    {
      name: "a directory that is not there",
      at: `${directory}/missing`,
      code: 2,
      reason: /missing does not exist/,
      hint: /mkdir/,
    },
    {
      name: "a file",
      at: `${directory}/plain`,
      code: 2,
      reason: /plain is not a directory/,
      hint: /directory/,
    },
    {
      name: "a link to a directory",
      at: `${directory}/link`,
      code: 2,
      reason: /link is a symbolic link/,
      hint: /directory itself/,
    },
    {
      name: "a cache inside the mount point",
      at: mountpoint,
      cache: `${mountpoint}/cache`,
      code: 3,
      reason: /inside the mount point/,
      hint: /separate/,
    },
    {
      name: "a cache that is the mount point",
      at: mountpoint,
      cache: mountpoint,
      code: 3,
      reason: /inside the mount point/,
      hint: /separate/,
    },
    {
      name: "a mount point inside the cache",
      at: `${cache}/content/..//mnt`,
      code: 3,
      reason: /lies inside the cache/,
      hint: /separate/,
    },
    {
      name: "a mount point inside the cache, which goes by another name",
      at: `${cache}/mnt`,
      cache: `${directory}/alias/cache`,
      code: 3,
      reason: /lies inside the cache/,
      hint: /separate/,
    },
    {
      name: "a store inside the mount point",
      at: mountpoint,
      cache: `${directory}/other-cache`,
      store: `file://${mountpoint}/store`,
      code: 3,
      reason: /contain each other/,
      hint: /separate/,
    },
    {
      name: "a store inside the mount point, which goes by another name",
      at: mountpoint,
      cache: `${directory}/other-cache`,
      store: `file://${directory}/alias/mnt/store`,
      code: 3,
      reason: /contain each other/,
      hint: /separate/,
    },
    {
      name: "a store inside the cache",
      at: mountpoint,
      store: `file://${cache}/store`,
      code: 3,
      reason: /contain each other/,
      hint: /separate/,
    },
  ];
  await Deno.mkdir(`${cache}/mnt`);
  for (const { name, at, code, reason, hint, ...other } of cases) {
    await test.step(name, () =>
      expectUnchanged(mount, () =>
        expectRefusal(
          mount,
          ["mount", "--store", other.store ?? store, "--cache", other.cache ?? cache, at],
          { code, reason, hint },
        )));
  }
  await test.step("what was there before still mounts", async () => {
    await mount.mount();
    assert.equal(await mount.sh("cat file"), "content\n");
    await leave(mount);
  });
});

Deno.test("a cache and a mount point in use are refused, and whoever uses them goes on", async () => {
  await using mount = await made();
  await mount.mount();
  const pid = mount.daemonPid();
  const other = `${mount.directory}/other`;
  await Deno.mkdir(other);
  const store = ["--store", mount.store];
  await expectRefusal(mount, ["mount", ...store, "--cache", mount.cache, other], {
    code: 3,
    reason: new RegExp(`cache ${mount.cache} is in use by process ${pid}`),
    hint: /zero unmount/,
  });
  await expectRefusal(mount, ["mount", ...store, "--cache", `${other}-cache`, mount.mountpoint], {
    code: 3,
    reason: /is mounted already/,
    hint: /zero unmount/,
  });
  assert.equal(isMounted(other), undefined);
  assert.equal(mount.daemonPid(), pid);
  assert.equal(await mount.sh("cat file"), "content\n");
  await leave(mount);
});

Deno.test("a mount whose daemon was killed is healed by the next mount", async () => {
  await using mount = await made();
  await mount.mount();
  await mount.sh("echo synced > synced && sync synced");
  const first = mount.daemonPid()!;
  await mount.killDaemon();
  assert.notEqual((await mount.trySh("ls")).code, 0);
  await mount.mount();
  assert.notEqual(mount.daemonPid(), first);
  assert.equal(await mount.sh("cat file synced"), "content\nsynced\n");
  await leave(mount);
});

Deno.test("others must not be able to write to the cache", async () => {
  await using mount = await made();
  await Deno.chmod(mount.cache, 0o777);
  const { store, cache, mountpoint } = mount;
  await expectRefusal(mount, ["mount", "--store", store, "--cache", cache, mountpoint], {
    code: 3,
    reason: /others may write to the cache/,
    hint: /chmod 700/,
  });
  assert.equal(isMounted(mountpoint), undefined);
});
