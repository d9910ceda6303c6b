/** Care of bucket, cache and trash as a user sees it: fsck, undelete, gc and doctor of the built program. */
import assert from "node:assert/strict";
import { run } from "../harness/zero_process.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";

interface Report {
  problems: number;
  left?: number;
  checks: { name: string; result: string }[];
  findings: { check: string; path?: string; what: string }[];
  deep?: { chunks: number; damaged: number };
}

const WRITE = "mkdir d && head -c 9000000 /dev/urandom > d/large && echo small > small && " +
  "ln small d/link && touch empty";

const problemsOf = (report: Report) =>
  report.checks.filter(({ result }) => result === "problems").map(({ name }) => name);

Deno.test("fsck finds nothing wrong, mounted or not, and says what it left out", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh(WRITE);
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.zeroOk(["evict", `${mount.mountpoint}/d`]);
  const mounted = await mount.json<Report>(["fsck", "--deep", mount.mountpoint]);
  assert.deepEqual(mounted.findings, []);
  const skipped = mounted.checks.filter(({ result }) => result === "skipped");
  assert.deepEqual(skipped.map(({ name }) => name).sort(), [
    "database",
    "reachable",
    "references",
    "totals",
  ]);
  const refused = await mount.zero(["fsck", "--repair", mount.mountpoint]);
  assert.equal(refused.code, 3, refused.stderr);
  await mount.unmount();
  const offline = await mount.json<Report>(["fsck", "--deep", "--cache", mount.cache]);
  assert.deepEqual(offline.findings, []);
  assert.ok(offline.checks.every(({ result }) => result === "ok"));
  assert.ok(offline.deep!.chunks >= 4);
  const text = await mount.zeroOk(["fsck", "--cache", mount.cache]);
  assert.match(text.stdout, /no problems\n$/);
});

Deno.test("fsck finds what is missing here, repairs it from the bucket, and the file reads as before", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh(WRITE);
  const before = await mount.sh("sha256sum d/large small");
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.unmount();
  const gone = await run("sh", [
    "-c",
    'find "$0" -type f -size +1M -delete',
    `${mount.cache}/content`,
  ]);
  assert.equal(gone.code, 0);
  const found = await mount.json<Report>(["fsck", "--cache", mount.cache], { code: 1 });
  assert.deepEqual(problemsOf(found), ["content"]);
  assert.equal(found.findings[0].path, "/d/large");
  const repaired = await mount.json<Report>(["fsck", "--repair", "--cache", mount.cache]);
  assert.equal(repaired.left, 0);
  await mount.mount();
  assert.equal(await mount.sh("sha256sum d/large small"), before);
  await mount.unmount();
});

Deno.test("fsck finds a pack that is missing in the bucket, and one that is damaged", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh(WRITE);
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.unmount();
  const packs = `${mount.storeDirectory}/packs`;
  const damage = 'f=$(find "$0" -type f | sort | head -n 1); ' +
    'printf XXXX | dd of="$f" bs=1 seek=50 conv=notrunc 2>/dev/null';
  assert.equal((await run("sh", ["-c", damage, packs])).code, 0);
  const shallow = await mount.json<Report>(["fsck", "--cache", mount.cache]);
  assert.equal(shallow.problems, 0, "lengths are right");
  const deep = await mount.json<Report>(["fsck", "--deep", "--cache", mount.cache], { code: 1 });
  assert.deepEqual(problemsOf(deep), ["deep"]);
  assert.equal(deep.deep!.damaged, 1);
  assert.equal(
    (await run("sh", ["-c", 'rm "$(find "$0" -type f | sort | tail -n 1)"', packs])).code,
    0,
  );
  const missing = await mount.json<Report>(["fsck", "--cache", mount.cache], { code: 1 });
  assert.ok(problemsOf(missing).includes("bucket"), JSON.stringify(missing.findings));
  const local = await mount.zero(["fsck", "--no-bucket", "--cache", mount.cache]);
  assert.match(local.stdout, /skipped {2}every pack/);
});

Deno.test("what was removed or overwritten comes back", async () => {
  await using mount = await ScratchMount.create();
  const { mountpoint } = mount;
  await mount.sh(`${WRITE} && chmod 640 d/large`);
  const before = await mount.sh("sha256sum < d/large && stat -c '%a %s %y' d/large");
  await mount.zeroOk(["sync", mountpoint]);
  // The kernel remembers that the name is gone.
  await mount.sh("rm d/large && test ! -e d/large && echo changed > small");
  await mount.zeroOk(["sync", mountpoint]);
  const trash = await mount.json<{ version: number; path: string }[]>(["trash", "ls", mountpoint]);
  assert.deepEqual(trash.map(({ path }) => path).sort(), ["/d/large", "/small"]);
  await mount.zeroOk(["undelete", `${mountpoint}/d/large`]);
  assert.equal(await mount.sh("sha256sum < d/large && stat -c '%a %s %y' d/large"), before);
  const taken = await mount.zero(["undelete", `${mountpoint}/small`]);
  assert.equal(taken.code, 1);
  assert.match(taken.stderr, /exists/);
  await mount.zeroOk(["undelete", `${mountpoint}/small`, "--to", `${mountpoint}/small.old`]);
  assert.equal(await mount.sh("cat small small.old"), "changed\nsmall\n");
  const never = await mount.zero(["undelete", `${mountpoint}/never`]);
  assert.equal(never.code, 1);
  await mount.sh("rm small.old");
  assert.match(
    (await mount.zeroOk(["trash", "purge", mountpoint])).stdout,
    /1 file, 6 B would leave/,
  );
  await mount.zeroOk(["trash", "purge", "--apply", mountpoint]);
  assert.deepEqual(await mount.json(["trash", "ls", mountpoint]), []);
  await mount.unmount();
  assert.equal((await mount.json<Report>(["fsck", "--cache", mount.cache])).problems, 0);
});

Deno.test("gc says what the bucket holds and costs, and deletes nothing that is young", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh(WRITE);
  await mount.zeroOk(["sync", mount.mountpoint]);
  await mount.sh("rm d/large");
  const dry = await mount.zeroOk(["gc", mount.mountpoint]);
  assert.match(dry.stdout, /billed +[\d.]+ MiB in \d+ objects: [^\n]* a month/);
  interface Gc {
    report: {
      deleted: { dead: { objects: number } };
      live: { objects: number };
      trashBytes: number;
    };
  }
  const applied = await mount.json<Gc>(["gc", "--apply", mount.mountpoint]);
  assert.equal(applied.report.deleted.dead.objects, 0);
  assert.ok(applied.report.trashBytes >= 9_000_000, `${applied.report.trashBytes}`);
  await mount.unmount();
});

Deno.test("doctor looks at everything, and says what to do", async () => {
  await using mount = await ScratchMount.create();
  const well = await mount.zeroOk(["doctor", "--store", mount.store, "--cache", mount.cache]);
  assert.match(well.stdout, /ok +store: delete by version: it is gone/);
  assert.doesNotMatch(well.stdout, /FAIL/);
  await mount.unmount();
  await Deno.chmod(mount.cache, 0o755);
  const ill = await mount.zero([
    "doctor",
    "--store",
    `file://${mount.directory}/nowhere`,
    "--cache",
    mount.cache,
  ]);
  assert.equal(ill.code, 1);
  assert.match(ill.stdout, /FAIL {2}cache: others may enter .*\n +hint: chmod 700/);
  assert.match(ill.stdout, /FAIL {2}store: reach: /);
});
