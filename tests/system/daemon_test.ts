/** How the daemon starts, refuses and stops, seen from outside. */
import assert from "node:assert/strict";
import { isMounted, processGone, ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";
import { run } from "../harness/zero_process.ts";

interface Status {
  state: string;
  pid: number;
  unsafe: { files: number };
  classes: Record<string, number>;
  settings: { name: string; origin: string }[];
}

/** What is written stays dirty until a command asks for it to be uploaded. */
const env = { ZERO_UPLOAD_AFTER: "1h", ZERO_UPLOAD_DEADLINE: "2h" };

const status = (mount: ScratchMount) => mount.json<Status>(["status", mount.mountpoint]);

Deno.test("a second mount of the same cache is refused, with the process that holds it", async () => {
  await using mount = await ScratchMount.create();
  const other = `${mount.directory}/other`;
  await Deno.mkdir(other);
  const result = await mount.zeroOk(
    ["mount", "--store", mount.store, "--cache", mount.cache, other],
    { code: 3 },
  );
  assert.match(
    result.stderr,
    new RegExp(`^zero: the cache .* is in use by process ${mount.daemonPid()}`),
  );
  assert.equal(isMounted(other), undefined);
});

Deno.test("a full prefix with an empty cache is refused, and nothing is left behind", async () => {
  await using mount = await ScratchMount.create();
  await mount.unmount();
  const cache = `${mount.directory}/empty`;
  const result = await mount.zeroOk(
    ["mount", "--store", mount.store, "--cache", cache, mount.mountpoint],
    { code: 3 },
  );
  assert.match(result.stderr, /holds file system [0-9a-f]{32}, last written .*zero recover/s);
  await assert.rejects(Deno.stat(cache), Deno.errors.NotFound);
});

Deno.test("the cache of another file system is refused", async () => {
  await using mount = await ScratchMount.create({ unmounted: true });
  for (const name of ["a", "b"]) {
    const at = `${mount.directory}/${name}`;
    await mount.zeroOk(["init", "--store", `file://${at}-store`, "--cache", `${at}-cache`]);
  }
  const [store, cache] = [`file://${mount.directory}/a-store`, `${mount.directory}/b-cache`];
  const result = await mount.zeroOk(
    ["mount", "--store", store, "--cache", cache, mount.mountpoint],
    {
      code: 3,
    },
  );
  assert.match(result.stderr, /give the --store and --cache that belong together/);
});

Deno.test("a bad place to mount is one line and a hint, and nothing is changed", async () => {
  await using mount = await ScratchMount.create({ unmounted: true });
  await Deno.writeTextFile(`${mount.mountpoint}/file`, "");
  const refuse = async (mountpoint: string, code: number, pattern: RegExp) => {
    const args = ["mount", "--store", mount.store, "--cache", mount.cache, mountpoint];
    const { stderr } = await mount.zeroOk(args, { code });
    assert.match(stderr, pattern);
    assert.match(stderr, /^zero: [^\n]+\nhint: [^\n]+\n$/);
  };
  await refuse(mount.mountpoint, 3, /is not empty/);
  await refuse(`${mount.mountpoint}/file`, 2, /is not a directory/);
  await refuse(`${mount.directory}/missing`, 2, /does not exist/);
  await assert.rejects(Deno.stat(mount.cache), Deno.errors.NotFound);
  await assert.rejects(Deno.stat(mount.storeDirectory), Deno.errors.NotFound);
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  Deno.test(`${signal} ends the daemon in order, even while a file is open`, async () => {
    await using mount = await ScratchMount.create();
    await mount.sh("echo kept > file");
    const pid = mount.daemonPid()!;
    const holding = mount.trySh("exec 3< file; read line; true", { stdin: "", timeoutMs: 20_000 });
    Deno.kill(pid, signal);
    await processGone(pid);
    await holding;
    assert.equal(isMounted(mount.mountpoint), undefined);
    await mount.mount();
    assert.equal(await mount.sh("cat file"), "kept\n");
    const log = await Deno.readTextFile(`${mount.cache}/zero.log`);
    assert.match(log, new RegExp(`ended: ${signal}`));
  });
}

Deno.test("a daemon that was still ending took away the control socket of the one after it", async () => {
  await using mount = await ScratchMount.create();
  const first = mount.daemonPid()!;
  // Whoever asks nothing keeps it waiting for a while at its end.
  const idle = await Deno.connect({ transport: "unix", path: `${mount.cache}/control.sock` });
  await mount.zeroOk(["unmount", mount.mountpoint]);
  // It may have left by now, where this process was late.
  await run("kill", ["-STOP", `${first}`]);
  try {
    await mount.mount();
  } finally {
    await run("kill", ["-CONT", `${first}`]);
  }
  await processGone(first);
  idle.close();
  assert.notEqual((await status(mount)).pid, first);
  await mount.unmount();
});

Deno.test("one stale mount kept status from telling of all others", async () => {
  await using stale = await ScratchMount.create();
  await using mount = await ScratchMount.create();
  await stale.killDaemon();
  const { code, stdout, stderr } = await mount.zero(["status", "--json"]);
  assert.equal(code, 1);
  assert.match(stderr, /does not answer/);
  const told = (JSON.parse(stdout) as { mountpoint: string }[]).map((each) => each.mountpoint);
  assert.ok(told.includes(mount.mountpoint) && !told.includes(stale.mountpoint), `${told}`);
});

Deno.test("an unmount by hand ends the daemon, and the next mount finds everything", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("echo kept > file");
  const pid = mount.daemonPid()!;
  assert.equal((await run("umount", [mount.mountpoint])).code, 0);
  await processGone(pid);
  await mount.mount();
  assert.equal(await mount.sh("cat file"), "kept\n");
});

Deno.test("zero unmount refuses while a file is open, and the mount goes on", async () => {
  await using mount = await ScratchMount.create();
  const script = "exec 3> file; echo ready; " +
    'while [ ! -e "$DONE" ]; do sleep 0.05; done';
  const done = `${mount.directory}/done`;
  const holder = mount.trySh(script, { env: { DONE: done }, timeoutMs: 120_000 });
  await mount.sh("while [ ! -e file ]; do sleep 0.05; done");
  const { stderr } = await mount.zeroOk(["unmount", "--no-flush", mount.mountpoint], { code: 1 });
  assert.match(stderr, /is in use/);
  assert.equal((await status(mount)).state, "mounted");
  await Deno.writeTextFile(done, "");
  await holder;
});

Deno.test("no secret is in the daemon's arguments, environment or log", async () => {
  await using mount = await ScratchMount.create({
    env: { B2_APPLICATION_KEY_ID: "the-key-id", B2_APPLICATION_KEY: "the-secret-key" },
  });
  const pid = mount.daemonPid()!;
  for (const file of [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`, `${mount.cache}/zero.log`]) {
    const text = await Deno.readTextFile(file);
    assert.ok(!text.includes("the-secret-key") && !text.includes("the-key-id"), file);
  }
});

Deno.test("everything in the cache is private", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("echo x > file");
  const found = await run("find", [mount.cache, "-perm", "/077"]);
  assert.equal(found.stdout, "");
});

Deno.test("a mount begins offline where its store is away, and uploads when it is back", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("echo first > first");
  await mount.unmount();
  const away = `${mount.directory}/away`;
  await Deno.rename(mount.storeDirectory, away);
  const { stderr } = await mount.mount();
  assert.match(stderr, /mounted offline/);
  assert.equal((await status(mount)).state, "offline");
  assert.equal(
    await mount.sh("cat first && echo second > second && cat second"),
    "first\nsecond\n",
  );
  await mount.zeroOk(["sync", mount.mountpoint], { code: 4 });
  await Deno.rename(away, mount.storeDirectory);
  // It is asked for ever more seldom.
  await until("the store is used", async () => (await status(mount)).state === "mounted", {
    timeoutMs: 90_000,
  });
  await mount.zeroOk(["sync", mount.mountpoint]);
  assert.equal((await status(mount)).unsafe.files, 0);
});

Deno.test("names that are not UTF-8 print as \\xNN, and are understood so", async () => {
  await using mount = await ScratchMount.create({ env });
  await mount.sh("printf content > \"$(printf 'a\\377b')\"");
  const { stdout } = await mount.zeroOk(["ls", mount.mountpoint]);
  assert.match(stdout, /\/a\\xffb\n/);
  const one = await mount.zeroOk(["status", `${mount.mountpoint}/a\\xffb`]);
  assert.match(one.stdout, /dirty .*\/a\\xffb/);
});

Deno.test("the status accounts for every byte and says where settings come from", async () => {
  await using mount = await ScratchMount.create({ mountArguments: ["--disk-target", "1GiB"], env });
  await mount.sh("head -c 100000 /dev/urandom > file");
  const { classes, settings } = await status(mount);
  const { total, ...parts } = classes;
  assert.equal(Object.values(parts).reduce((a, b) => a + b, 0), total);
  assert.equal(parts.dirty, 102_400);
  assert.equal(
    settings.find((each) => each.name === "disk.target")?.origin,
    "command line (--disk-target)",
  );
});
