/**
 * A file system comes out into a plain directory without a mount, from a cache and from a bucket alone. A
 * plain directory that was made the same way says what must be there.
 */
import assert from "node:assert/strict";
import { tree } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { run } from "../harness/zero_process.ts";

interface Report {
  files: number;
  unchanged: number;
  downloaded: number;
  problems: { path: string; reason: string }[];
}

const LONG_MS = 240_000;

async function describe(root: string): Promise<string[]> {
  return (await tree(["describe", root, "content", "times"], LONG_MS)).trim().split("\n");
}

Deno.test("a whole tree is exported from a cache, and from the bucket alone", async () => {
  await using mount = await ScratchMount.create();
  const reference = `${mount.directory}/reference`;
  await Deno.mkdir(reference);
  await tree(["make", reference], LONG_MS);
  // What is large only takes time here.
  const large =
    "rm large appended shortened lengthened replaced replacing && truncate -s 50M sparse";
  await run("sh", ["-c", `cd "$0" && ${large}`, reference]);
  await run("setfacl", ["-m", "u:1234:rw", `${reference}/small/7`]);
  const copied = await run("cp", ["-a", "--sparse=auto", `${reference}/.`, mount.mountpoint], {
    timeoutMs: LONG_MS,
  });
  assert.equal(copied.code, 0, copied.stderr);
  await mount.zeroOk(["evict", `${mount.mountpoint}/overwritten`, `${mount.mountpoint}/small`], {
    timeoutMs: LONG_MS,
  });
  const out = (name: string) => `${mount.directory}/${name}`;
  const cached = ["--store", mount.store, "--cache", mount.cache];
  const refused = await mount.zeroOk(["export", ...cached, "/", out("refused")], { code: 3 });
  assert.match(refused.stderr, /is in use by process .*\nhint: .*copy from the mount/);
  await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: LONG_MS });
  await mount.sh("echo not uploaded > small/late");
  await mount.killDaemon();
  await mount.zeroOk(["unmount", mount.mountpoint]);
  await Deno.writeTextFile(`${reference}/small/late`, "not uploaded\n");

  const inside = await mount.zeroOk(["export", ...cached, "/", `${mount.cache}/x`], { code: 3 });
  assert.match(inside.stderr, /contain each other/);
  const first = await mount.json<Report>(["export", ...cached, "/", out("from cache")], {
    timeoutMs: LONG_MS,
  });
  assert.deepEqual(first.problems, []);
  await run("touch", ["-r", `${out("from cache")}/small`, `${reference}/small`]);
  await run("touch", ["-r", `${out("from cache")}/small/late`, `${reference}/small/late`]);
  await run("chmod", ["--reference", `${out("from cache")}/small/late`, `${reference}/small/late`]);
  const wanted = await describe(reference);
  assert.deepEqual(await describe(out("from cache")), wanted);
  const acl = (root: string) => run("getfacl", ["-cpn", `${root}/small/7`]);
  assert.equal((await acl(out("from cache"))).stdout, (await acl(reference)).stdout);
  const blocks = await run("sh", ["-c", 'du -k "$0/sparse" | cut -f1', out("from cache")]);
  assert(Number(blocks.stdout) < 64, `the holes of a sparse file take ${blocks.stdout} KiB`);
  const again = await mount.json<Report>(["export", ...cached, "/", out("from cache")]);
  assert.deepEqual([again.files, again.downloaded], [0, 0]);

  // The cache is gone: what was uploaded comes from the bucket, and a directory of it alone.
  await Deno.remove(mount.cache, { recursive: true });
  const alone = await mount.json<Report>([
    "export",
    "--store",
    mount.store,
    "/",
    out("from bucket"),
  ], {
    timeoutMs: LONG_MS,
  });
  assert.deepEqual(alone.problems, []);
  const without = (lines: string[]) => lines.filter((line) => !line.includes('"/small'));
  assert.deepEqual(without(await describe(out("from bucket"))), without(wanted));
  await mount.zeroOk(["export", "--store", mount.store, "empty directory", out("part")]);
  assert.equal((await run("ls", ["-A", out("part")])).stdout, "");
});
