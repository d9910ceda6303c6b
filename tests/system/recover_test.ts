/**
 * The bucket is enough: the built program rebuilds a file system whose cache is gone. A plain directory
 * that went through the same changes says what must come back.
 */
import assert from "node:assert/strict";
import { soak } from "../harness/fault_seed.ts";
import { tree } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { ensureSwift, startSwift } from "../harness/swift_server.ts";
import { requireCode, run } from "../harness/zero_process.ts";

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

const LONG_MS = soak ? 1_800_000 : 240_000;
const DIRECTORIES = soak ? 200 : 30;
const LARGE_BYTES = soak ? 2 ** 30 : 200 * 2 ** 20;
const MANY = `mkdir many && cd many && for d in $(seq ${DIRECTORIES}); do mkdir $d; ` +
  "for f in $(seq 100); do echo $d $f > $d/$f; done; done";
const PASSPHRASE = "canary7passphrase of mine";

async function describe(root: string): Promise<string[]> {
  const options = ["content", "times", "identity"];
  return (await tree(["describe", root, ...options], LONG_MS)).trim().split("\n");
}

/** Says only what differs: all of it would be tens of thousands of lines. */
async function assertSame(root: string, reference: string): Promise<void> {
  const [seen, wanted] = [await describe(root), await describe(reference)];
  const [have, want] = [new Set(seen), new Set(wanted)];
  assert.deepEqual(
    {
      seen: seen.filter((line) => !want.has(line)),
      wanted: wanted.filter((line) => !have.has(line)),
    },
    { seen: [], wanted: [] },
  );
  assert.equal(seen.length, wanted.length);
}

/** The same tree on the mount and in a directory, with the same times. */
async function makeTrees(mount: ScratchMount, reference: string): Promise<void> {
  await Deno.mkdir(reference);
  await tree(["make", reference], LONG_MS);
  const script = `cd "$0" && (${MANY}) && head -c ${LARGE_BYTES} /dev/urandom > huge && ` +
    'cp -a --sparse=auto "$0/." "$1"';
  const made = await run("sh", ["-c", script, reference, mount.mountpoint], { timeoutMs: LONG_MS });
  requireCode(made, 0, "making the trees");
}

interface Place {
  store?: string;
  env?: Record<string, string>;
}

/** Prints how long each part took, at full size. */
function stopwatch(what: string): (part: string) => void {
  let last = performance.now();
  return (part) => {
    const now = performance.now();
    if (soak) console.log(`${what}: ${part} ${((now - last) / 1000).toFixed(1)} s`);
    last = now;
  };
}

async function recovers(place: Place, options: { encrypted: boolean }): Promise<void> {
  await using mount = await ScratchMount.create({ ...place, unmounted: true });
  const { directory, cache, store, mountpoint } = mount;
  const places = ["--store", store, "--cache", cache];
  const lap = stopwatch(`${store.split(":")[0]}${options.encrypted ? ", encrypted" : ""}`);
  const key: string[] = [];
  if (options.encrypted) {
    const file = `${directory}/passphrase`;
    await Deno.writeTextFile(file, `${PASSPHRASE}\n`, { mode: 0o600 });
    key.push("--passphrase-file", file);
    await mount.zeroOk(["init", "--encrypt", ...places, ...key]);
  }
  await mount.mount(...key);
  const reference = `${directory}/reference`;
  await makeTrees(mount, reference);
  lap("making the trees");
  await mount.zeroOk(["sync", mountpoint], { timeoutMs: LONG_MS });
  lap("sync");

  const drill = await mount.json<Drill>(["recover", "--drill", ...places, ...key], {
    timeoutMs: LONG_MS,
  });
  assert.deepEqual(drill.compared?.examples, []);
  assert.deepEqual([drill.notNewest, drill.sampled.failed], [[], []]);
  assert(drill.sampled.files > 0);
  lap(`drill of ${drill.files} files`);

  // The disk burns, with the mount on it.
  await mount.killDaemon();
  await mount.zeroOk(["unmount", mountpoint]);
  await Deno.remove(cache, { recursive: true });
  const empty = await mount.zero(["mount", ...places, ...key, mountpoint]);
  assert.equal(empty.code, 3);
  assert.match(empty.stderr, /zero recover/);

  const held = await mount.zeroOk(["recover", ...places, ...key], { code: 3 });
  assert.match(held.stderr, /is in use by .*it last wrote metadata 20.*--take-over/s);
  const report = await mount.json<Report>(["recover", ...places, ...key, "--take-over"], {
    timeoutMs: LONG_MS,
  });
  assert.deepEqual(report.notNewest, []);
  assert(report.pointMs <= Date.now());
  lap(`recovery, ${report.bytes} bytes of metadata`);
  await mount.mount(...key);
  await assertSame(mountpoint, reference);
  lap("reading and comparing everything");
  // Holes have stayed holes.
  assert(Number(await mount.sh("stat -c %b sparse")) * 512 < 20 * 2 ** 20);
  await mount.sh("echo more > later && mv later sooner");
  await mount.unmount();
  const { problems } = await mount.json<{ problems: number }>(
    ["fsck", ...soak ? ["--deep"] : [], ...places, ...key],
    { timeoutMs: LONG_MS },
  );
  assert.equal(problems, 0);
  lap("fsck");
  await Deno.remove(cache, { recursive: true });
  await mount.zeroOk(["recover", ...places, ...key], { timeoutMs: LONG_MS });
  await mount.mount(...key);
  assert.equal(await mount.sh("cat sooner && ls many | wc -l"), `more\n${DIRECTORIES}\n`);
  await mount.unmount();
  lap("the same once more, without reading");
}

/** What is tried at full size only, where another test has the other half of it. */
const ignore = !soak;

Deno.test("a file system comes back from a folder alone", () => recovers({}, { encrypted: false }));

Deno.test({
  name: "an encrypted file system comes back from a folder alone",
  ignore,
  fn: () => recovers({}, { encrypted: true }),
});

async function onSimulator(encrypted: boolean): Promise<void> {
  await using simulator = await SimulatorProcess.start();
  await recovers({ store: simulator.url("some/prefix"), env: simulator.env }, { encrypted });
}

Deno.test({
  name: "a file system comes back from a bucket alone",
  ignore,
  fn: () => onSimulator(false),
});

Deno.test("an encrypted file system comes back from a bucket alone", () => onSimulator(true));

const missing = soak ? await ensureSwift() : undefined;
if (missing !== undefined) console.log(`skipped, over Swift: ${missing}`);

for (const encrypted of [false, true]) {
  const what = encrypted ? "an encrypted file system" : "a file system";
  Deno.test({
    name: `${what} comes back from OpenStack Swift alone`,
    ignore: ignore || missing !== undefined,
    fn: async () => {
      const swift = await startSwift();
      try {
        const { endpoint, region } = swift;
        const store = `s3://${await swift
          .createBucket()}/home?endpoint=${endpoint}&region=${region}`;
        const env = { AWS_ACCESS_KEY_ID: swift.keyId, AWS_SECRET_ACCESS_KEY: swift.applicationKey };
        await recovers({ store, env }, { encrypted });
      } finally {
        await swift.stop();
      }
    },
  });
}

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
