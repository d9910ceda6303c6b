/**
 * How a mount ends: what is dirty goes up first; where the store does not take it, the mount ends all the
 * same within ten seconds, says what is not safe, and the next mount uploads it.
 */
import assert from "node:assert/strict";
import type { StatusReport, UnmountResult } from "../../src/daemon/control_protocol.ts";
import { isMounted, processGone, ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { until } from "../harness/until.ts";

const LONGEST_MS = 10_000;
/** What a busy machine may add to it, by starting the command and by writing what is dirty. */
const SLACK_MS = 15_000;

const status = (mount: ScratchMount) => mount.json<StatusReport>(["status", mount.mountpoint]);

async function withinTenSeconds<T>(what: string, action: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await action();
  const tookMs = performance.now() - started;
  assert.ok(tookMs < LONGEST_MS + SLACK_MS, `${what} took ${tookMs} ms`);
  return result;
}

/** Mounted, lease settled: one file is in the bucket. */
async function prepared(simulator: SimulatorProcess): Promise<ScratchMount> {
  const mount = await ScratchMount.create({ store: simulator.url(), env: simulator.env });
  try {
    await mount.sh("head -c 200000 /dev/urandom > safe");
    await mount.zeroOk(["sync", mount.mountpoint]);
    return mount;
  } catch (error) {
    await mount[Symbol.asyncDispose]();
    throw error;
  }
}

const silent = (simulator: SimulatorProcess) => simulator.fail({ kind: "hold" });
const failing = (simulator: SimulatorProcess) => simulator.fail({ kind: "status", status: 503 });

/**
 * Ends a mount with `zero ARGS` while the store is down, and looks at what is there after the next mount.
 * `written` names a file that is written while the store is down. Returns what was reported as not safe.
 */
async function endAndMount(
  mount: ScratchMount,
  options: {
    simulator: SimulatorProcess;
    begin: (simulator: SimulatorProcess) => Promise<void>;
    args: string[];
    code: number;
    written?: string;
  },
): Promise<number> {
  const { simulator, args, code, written } = options;
  await options.begin(simulator);
  if (written !== undefined) {
    await mount.sh(`head -c 3000000 /dev/urandom > ${written} && sync ${written}`);
  }
  const before = await mount.sh("sha256sum *");
  const pid = mount.daemonPid()!;
  const { stdout } = await withinTenSeconds(
    `zero ${args.join(" ")}`,
    () => mount.zeroOk([...args, mount.mountpoint, "--json"], { code }),
  );
  await processGone(pid);
  assert.equal(isMounted(mount.mountpoint), undefined);
  await simulator.heal();
  await mount.mount();
  assert.equal(await mount.sh("sha256sum *"), before);
  return (JSON.parse(stdout) as UnmountResult).unsafe.files;
}

/** What a mount finds dirty it uploads by itself, so that it can be evicted and read back. */
async function expectUploads(mount: ScratchMount): Promise<void> {
  const before = await mount.sh("sha256sum *");
  await until("all is safe", async () => (await status(mount)).unsafe.files === 0, {
    timeoutMs: 60_000,
  });
  await mount.zeroOk(["evict", mount.mountpoint]);
  assert.equal(await mount.sh("sha256sum *"), before);
  await mount.unmount();
}

Deno.test("with a silent store, a mount ends within 10 s and says what is not safe", async (test) => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await prepared(simulator);
  const end = (args: string[], code: number, written?: string) =>
    endAndMount(mount, { simulator, begin: silent, args, code, written });
  await test.step("where nothing is dirty", async () => {
    assert.equal(await end(["unmount"], 0), 0);
  });
  await test.step("without a flush", async () => {
    assert.equal(await end(["unmount", "--no-flush"], 5, "unflushed"), 1);
  });
  await test.step("with a flush that has a timeout", async () => {
    assert.equal(await end(["unmount", "--timeout", "2s"], 5, "timed"), 2);
  });
  await test.step("with a flush that finds the store dead", async () => {
    assert.equal(await end(["unmount"], 5, "flushed"), 3);
  });
  await test.step("the next mount uploads what was left, by itself", () => expectUploads(mount));
});

Deno.test("with a store that fails, a mount ends within 10 s and says what is not safe", async (test) => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await prepared(simulator);
  await test.step("with a flush that finds the store failing", async () => {
    const [args, code, written] = [["unmount"], 5, "flushed"];
    assert.equal(
      await endAndMount(mount, { simulator, begin: failing, args, code, written }),
      1,
    );
  });
  await test.step("after a start without the store", async () => {
    await mount.unmount();
    await failing(simulator);
    await mount.mount();
    await mount.sh("echo offline > offline");
    const { stderr } = await withinTenSeconds(
      "zero unmount",
      () => mount.zeroOk(["unmount", mount.mountpoint], { code: 5 }),
    );
    assert.match(stderr, /^zero: .* is not reachable/);
    await simulator.heal();
    await mount.mount();
  });
  await test.step("the next mount uploads what was left, by itself", () => expectUploads(mount));
});

Deno.test("SIGTERM ends the daemon in order within 10 s, with a dead store and a reader that waits", async () => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await prepared(simulator);
  await mount.zeroOk(["evict", mount.mountpoint]);
  await simulator.fail({ kind: "hold" });
  await mount.sh("echo dirty > dirty");
  const reader = mount.trySh("cat safe");
  await until("it waits", async () => (await status(mount)).waiting.length === 1);
  const pid = mount.daemonPid()!;
  await withinTenSeconds("SIGTERM", async () => {
    Deno.kill(pid, "SIGTERM");
    await processGone(pid);
  });
  assert.notEqual((await reader).code, 0);
  assert.equal(isMounted(mount.mountpoint), undefined);
  await simulator.heal();
  const { stderr } = await mount.mount();
  assert.equal(stderr, "", "the next mount has nothing to say");
  assert.equal(await mount.sh("cat dirty && cat safe | wc -c"), "dirty\n200000\n");
  await mount.unmount();
});
