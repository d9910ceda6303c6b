/**
 * The bucket is enough: the built program rebuilds a file system whose cache is gone. A plain directory
 * that went through the same changes says what must come back.
 */
import assert from "node:assert/strict";
import { tree } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { run } from "../harness/zero_process.ts";

interface Report {
  pointMs: number;
  files: number;
  notNewest: { path: string; became: string }[];
  milliseconds: number;
  bytes: number;
}

interface Drill extends Report {
  compared: { differences: number; examples: string[] } | undefined;
  sampled: { files: number; failed: string[] };
}

const LONG_MS = 240_000;
const MANY = "mkdir many && cd many && for d in $(seq 30); do mkdir $d; " +
  "for f in $(seq 100); do echo $d $f > $d/$f; done; done";

async function describe(root: string): Promise<string[]> {
  return (await tree(["describe", root, "content", "times"], LONG_MS)).trim().split("\n");
}

/** The same tree on the mount and in a directory, with the same times. */
async function makeTrees(mount: ScratchMount, reference: string): Promise<void> {
  await Deno.mkdir(reference);
  await tree(["make", reference], LONG_MS);
  await run("sh", ["-c", `cd "$0" && ${MANY}`, reference], { timeoutMs: LONG_MS });
  await run("sh", ["-c", 'head -c 209715200 /dev/urandom > "$0/200MiB"', reference]);
  const copied = await run("sh", [
    "-c",
    'cp -a --sparse=auto "$0/." "$1"',
    reference,
    mount.mountpoint,
  ], {
    timeoutMs: LONG_MS,
  });
  assert.equal(copied.code, 0, copied.stderr);
}

async function recovers(place: { store?: string; env?: Record<string, string> }): Promise<void> {
  await using mount = await ScratchMount.create(place);
  const reference = `${mount.directory}/reference`;
  await makeTrees(mount, reference);
  await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: LONG_MS });
  const places = ["--store", mount.store, "--cache", mount.cache];

  const drill = await mount.json<Drill>(["recover", "--drill", ...places], { timeoutMs: LONG_MS });
  assert.deepEqual(drill.compared?.examples, []);
  assert.deepEqual([drill.notNewest, drill.sampled.failed], [[], []]);
  assert(drill.sampled.files > 0);

  // The disk burns, with the mount on it.
  await mount.killDaemon();
  await mount.zeroOk(["unmount", mount.mountpoint]);
  await Deno.remove(mount.cache, { recursive: true });
  const empty = await mount.zero(["mount", ...places, mount.mountpoint]);
  assert.equal(empty.code, 3);
  assert.match(empty.stderr, /zero recover/);

  const held = await mount.zeroOk(["recover", ...places], { code: 3 });
  assert.match(held.stderr, /is in use by .*it last wrote metadata 20.*--take-over/s);
  const report = await mount.json<Report>(["recover", ...places, "--take-over"], {
    timeoutMs: LONG_MS,
  });
  assert.deepEqual(report.notNewest, []);
  assert(report.pointMs <= Date.now());
  await mount.mount();
  assert.deepEqual(await describe(mount.mountpoint), await describe(reference));
  await mount.sh("echo more > later && mv later sooner");
  await mount.unmount();
  await Deno.remove(mount.cache, { recursive: true });
  await mount.zeroOk(["recover", ...places], { timeoutMs: LONG_MS });
  await mount.mount();
  assert.equal(await mount.sh("cat sooner && ls many | wc -l"), "more\n30\n");
  await mount.unmount();
}

Deno.test("a file system comes back from a folder alone", () => recovers({}));

Deno.test("a file system comes back from a bucket alone", async () => {
  await using simulator = await SimulatorProcess.start();
  await recovers({ store: simulator.url("some/prefix"), env: simulator.env });
});

Deno.test("some files come out of a bucket without a cache, as they were at a time", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("mkdir d && echo one > d/file && ln -s file d/link && echo other > other");
  await mount.zeroOk(["sync", mount.mountpoint]);
  const at = new Date().toISOString();
  await mount.sh("echo two, longer > d/file");
  await mount.zeroOk(["sync", mount.mountpoint]);
  const restore = async (to: string, ...more: string[]) => {
    const args = ["recover", "--store", mount.store, "--cache", mount.cache, "--path", "d", "--to"];
    await mount.zeroOk([...args, `${mount.directory}/${to}`, ...more]);
    return await run("sh", ["-c", 'cd "$0" && cat link && ls', `${mount.directory}/${to}`]);
  };
  assert.equal((await restore("newest")).stdout, "two, longer\nfile\nlink\n");
  assert.equal((await restore("before", "--at", at)).stdout, "one\nfile\nlink\n");
  await mount.unmount();
});

Deno.test("an old copy of a cache mounts read-only, and says how to go on", async () => {
  await using mount = await ScratchMount.create();
  await mount.sh("echo kept > file");
  await mount.unmount();
  const copy = `${mount.directory}/copy`;
  const policy = `${mount.directory}/policy.yaml`;
  await Deno.writeTextFile(policy, "version: 1 # mine\n");
  assert.equal((await run("cp", ["-a", mount.cache, copy])).code, 0);
  await mount.mount("--policy", policy);
  await mount.sh("echo newer > file");
  await mount.unmount();
  await Deno.remove(mount.cache, { recursive: true });
  await Deno.rename(copy, mount.cache);
  const { stderr } = await mount.mount();
  assert.match(stderr, /mounted read-only: this cache is an old copy.*zero recover/s);
  assert.equal(await mount.sh("cat file"), "kept\n");
  assert.match((await mount.trySh("echo x > other")).stderr, /Read-only file system/);
  await mount.unmount();
  await Deno.remove(mount.cache, { recursive: true });
  const recovered = await mount.zeroOk([
    ...["recover", "--store", mount.store, "--cache", mount.cache],
  ]);
  // The policy comes back beside the cache, for its owner to decide.
  assert.match(recovered.stdout, /policy\.recovered\.yaml; it is not in force/);
  const copied = await Deno.readTextFile(`${mount.cache}/policy.recovered.yaml`);
  assert.equal(copied, "version: 1 # mine\n");
  await mount.mount();
  assert.equal(await mount.sh("cat file"), "newer\n");
  await mount.unmount();
});
