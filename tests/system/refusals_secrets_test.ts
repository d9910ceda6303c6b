/** Secrets: where they are taken from, where they are refused, and that they turn up nowhere else. */
import assert from "node:assert/strict";
import { evictAll } from "../harness/life_cycle.ts";
import { expectRefusal, snapshot } from "../harness/refusal.ts";
import { isMounted, ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { requireCode, run, type RunResult } from "../harness/zero_process.ts";

/** Never the name of anything: whoever shows it has leaked it. */
const CANARY = "K00canary7secret9never8shown";

Deno.test("secrets in the wrong place are refused, and not repeated", async (test) => {
  await using mount = await ScratchMount.create({ unmounted: true });
  const { directory, cache, mountpoint } = mount;
  const bucket = "s3://zero-test/home?endpoint=http://127.0.0.1:9&region=us-west-004";
  const mountArguments = (store: string) => [
    ...["mount", "--store", store, "--cache", cache, mountpoint],
  ];
  const refuse = async (
    name: string,
    args: string[],
    expected: { code: number; reason: RegExp; hint: RegExp; env?: Record<string, string> },
  ) => {
    await test.step(name, async () => {
      const before = await snapshot(directory);
      const { stderr } = await expectRefusal(mount, args, expected);
      assert.ok(!stderr.includes(CANARY), stderr);
      assert.equal(await snapshot(directory), before);
      assert.equal(isMounted(mountpoint), undefined);
    });
  };
  const holds = { code: 2, reason: /URL of the store holds credentials/, hint: /environment/ };
  await refuse("in the URL", mountArguments(bucket.replace("//", `//key:${CANARY}@`)), holds);
  await refuse("in the query", mountArguments(`${bucket}&secretKey=${CANARY}`), holds);
  await refuse("in the URL of the environment", ["mount", "--cache", cache, mountpoint], {
    ...holds,
    env: { ZERO_STORE: `b2://id:${CANARY}@my-bucket/home` },
  });
  const credentials = `${directory}/credentials.yml`;
  await Deno.writeTextFile(credentials, `key_id: me\nkey: ${CANARY}\n`, { mode: 0o644 });
  await Deno.chmod(credentials, 0o644);
  await refuse("a credentials file that others may read", mountArguments(bucket), {
    env: { ZERO_CREDENTIALS: credentials },
    code: 3,
    reason: /credentials\.yml holds credentials and others may read it \(mode 644\)/,
    hint: /chmod 600/,
  });
  await Deno.chmod(credentials, 0o600);
  await Deno.writeTextFile(credentials, `key_id: [me\nkey: ${CANARY}\n`);
  await refuse("a credentials file that is no YAML", mountArguments(bucket), {
    env: { ZERO_CREDENTIALS: credentials },
    code: 2,
    reason: /credentials\.yml:\d+:\d+: not valid YAML/,
    hint: /two lines/,
  });
  await refuse("half of a pair", mountArguments(bucket), {
    env: { AWS_SECRET_ACCESS_KEY: CANARY },
    code: 2,
    reason: /AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not/,
    hint: /both/,
  });
  await refuse("a key that the store does not take", mountArguments(bucket), {
    env: { AWS_ACCESS_KEY_ID: "me", AWS_SECRET_ACCESS_KEY: CANARY },
    code: 4,
    reason: /cannot be created/,
    hint: /network/,
  });
});

/** The program's process and all below it. */
async function processTree(pid: number): Promise<number[]> {
  const { stdout } = await run("ps", ["-eo", "pid=,ppid="]);
  const rows = stdout.trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) {
    found.push(...rows.filter(([, ppid]) => ppid === parent).map(([child]) => child));
  }
  return found;
}

async function expectNoCanary(mount: ScratchMount, results: RunResult[]): Promise<void> {
  for (const { stdout, stderr } of results) assert.ok(!(stdout + stderr).includes(CANARY));
  for (const pid of await processTree(mount.daemonPid()!)) {
    for (const what of ["cmdline", "environ"]) {
      const text = await Deno.readTextFile(`/proc/${pid}/${what}`);
      assert.ok(!text.includes(CANARY), `/proc/${pid}/${what}`);
    }
  }
  const grep = await run("grep", ["-rlaF", CANARY, mount.cache]);
  requireCode(grep, 1, "looking for the canary in the cache");
  assert.equal(grep.stdout, "");
}

for (const place of ["the environment", "a private file"] as const) {
  Deno.test(`a key from ${place} is used, and is nowhere to be seen`, async () => {
    await using simulator = await SimulatorProcess.start({
      keyId: "0040canaryid",
      applicationKey: CANARY,
    });
    await using mount = await ScratchMount.create({ store: simulator.url(), unmounted: true });
    const file = `${mount.directory}/credentials.yml`;
    const env: Record<string, string> = place === "the environment"
      ? simulator.env
      : { ZERO_CREDENTIALS: file };
    if (place === "a private file") {
      await Deno.writeTextFile(file, `key_id: 0040canaryid\nkey: ${CANARY}\n`, { mode: 0o600 });
    }
    const { store, cache, mountpoint } = mount;
    const results = [
      await mount.zeroOk(["mount", "--store", store, "--cache", cache, mountpoint], {
        // Nothing is uploaded of its own accord: what is written last is dirty at the end.
        env: {
          ...env,
          ZERO_RECALL_TIMEOUT: "2s",
          ZERO_UPLOAD_AFTER: "1h",
          ZERO_UPLOAD_DEADLINE: "2h",
        },
      }),
    ];
    await mount.sh("echo content > file");
    if (place === "a private file") {
      results.push(await mount.zero(["status", mountpoint, "--json"]));
      return await expectNoCanary(mount, results);
    }
    await evictAll(mount);
    // Errors of the store are where a secret would slip into messages.
    await simulator.fail({
      kind: "status",
      status: 403,
      code: "SignatureDoesNotMatch",
      message: `The secret ${CANARY} does not match`,
    });
    results.push(await mount.trySh("cat file", { timeoutMs: 20_000 }));
    await mount.sh("echo more > more");
    results.push(await mount.zero(["status", mountpoint]));
    results.push(await mount.zero(["status", mountpoint, "--json"]));
    results.push(await mount.zero(["recall", mountpoint], { timeoutMs: 5_000 }));
    await expectNoCanary(mount, results);
    await simulator.heal();
    assert.equal(await mount.sh("cat file"), "content\n");
    await mount.zeroOk(["unmount", "--no-flush", mountpoint], { code: 5 });
    const grep = await run("grep", ["-rlaF", CANARY, cache]);
    assert.equal(grep.stdout, "");
  });
}
