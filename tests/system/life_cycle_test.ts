/** The life of a mount as a user sees it: the built program, a mount, a shell. */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";

/** What is written stays dirty until a command asks for it to be uploaded. */
const env = { ZERO_UPLOAD_AFTER: "1h", ZERO_UPLOAD_DEADLINE: "2h" };

interface ListedFile {
  path: string;
  type: string;
  size: number;
  residentBytes: number;
  localBytes: number;
}

Deno.test("what was written, uploaded and evicted reads back the same", async () => {
  await using mount = await ScratchMount.create();
  const before = await mount.sh(
    "mkdir -p tree/deep && for i in $(seq 1 20); do echo line $i > tree/deep/$i; done && " +
      "head -c 9000000 /dev/urandom > large && touch empty && ln -s large link && " +
      "find . -type f | sort | xargs sha256sum",
  );
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.zeroOk(["evict", mount.mountpoint]);
  const files = (await mount.json<ListedFile[]>(["ls", "-R", mount.mountpoint]))
    .filter((file) => file.type === "file");
  assert.equal(files.length, 22);
  assert.deepEqual(files.filter((file) => file.residentBytes > 0), []);
  assert.equal(files.find((file) => file.path === "/large")?.size, 9_000_000);
  const after = await mount.sh("find . -type f | sort | xargs sha256sum");
  assert.equal(after, before);
  await mount.unmount();
});

Deno.test("what was unmounted comes back at the next mount, names and content", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("echo one > a && mkdir d && echo two > d/b && chmod 640 a");
  await mount.unmount();
  await mount.mount();
  assert.equal(await mount.sh("cat a d/b && stat -c %a a"), "one\ntwo\n640\n");
  await mount.unmount();
});

Deno.test("an unmount without flush says what is not safe, with exit code 5, and loses nothing", async () => {
  await using mount = await ScratchMount.create({ env });
  await mount.sh("echo precious > file");
  const result = await mount.zeroOk(["unmount", "--no-flush", mount.mountpoint], { code: 5 });
  assert.match(result.stdout, /1 file .*not yet in the bucket/);
  await mount.mount();
  assert.equal(await mount.sh("cat file"), "precious\n");
  await mount.unmount();
});

Deno.test("a killed daemon leaves a stale mount, which the next mount heals without losing a file", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("echo synced > file && sync file");
  await mount.killDaemon();
  const dead = await mount.trySh("ls .");
  assert.notEqual(dead.code, 0);
  await mount.mount();
  assert.equal(await mount.sh("cat file"), "synced\n");
  await mount.unmount();
});

Deno.test("zero unmount clears a stale mount", async () => {
  await using mount = await ScratchMount.create();
  await mount.killDaemon();
  const result = await mount.zeroOk(["unmount", mount.mountpoint]);
  assert.match(result.stdout, /removed the stale mount/);
});
