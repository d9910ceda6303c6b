/**
 * The store is down, in each of the ways in which stores are: what is here works, what is not fails in
 * time and only then, status says why, and everything goes on by itself when the store is back.
 */
import assert from "node:assert/strict";
import type { StatusReport } from "../../src/daemon/control_protocol.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { until } from "../harness/until.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const RECALL_TIMEOUT_MS = 5_000;
/** What a busy machine may add to a timeout. */
const SLACK_MS = 20_000;
const program = new URL("../harness/reader.py", import.meta.url).pathname;

const status = (mount: ScratchMount) => mount.json<StatusReport>(["status", mount.mountpoint]);

/** Reads a file in another process; its lines of output. */
async function read(mode: "plain" | "alarm", path: string): Promise<string[]> {
  const result = await run("python3", [program, mode, path], { timeoutMs: 60_000 });
  return requireCode(result, 0, `reading ${path}`).stdout.trim().split("\n");
}

async function sumOf(mount: ScratchMount, name: string): Promise<string> {
  return (await mount.sh(`sha256sum ${name}`)).split(" ")[0];
}

/** A mount with nine evicted files `cold/1`…, one resident file `warm`, all in the bucket. */
async function prepared(simulator: SimulatorProcess, recallTimeoutMs: number) {
  const mount = await ScratchMount.create({
    store: simulator.url(),
    env: { ...simulator.env, ZERO_RECALL_TIMEOUT: `${recallTimeoutMs}ms` },
  });
  try {
    await mount.sh(
      "mkdir cold && for i in $(seq 1 9); do head -c 300000 /dev/urandom > cold/$i; done; " +
        "echo here > warm",
    );
    const sums = await Promise.all([...Array(9).keys()].map((i) => sumOf(mount, `cold/${i + 1}`)));
    await mount.zeroOk(["sync", mount.mountpoint]);
    await mount.zeroOk(["evict", `${mount.mountpoint}/cold`]);
    return { mount, sumOfCold: (number: number) => sums[number - 1] };
  } catch (error) {
    await mount[Symbol.asyncDispose]();
    throw error;
  }
}

interface Outage {
  name: string;
  begin: (simulator: SimulatorProcess) => Promise<void>;
  end: (simulator: SimulatorProcess) => Promise<void>;
  /** What status must say of it; a store that is merely silent shows in who waits. */
  message: RegExp | undefined;
}

const outages: Outage[] = [
  {
    name: "stalls",
    begin: (simulator) => simulator.fail({ kind: "hold" }),
    end: (simulator) => simulator.heal(),
    message: undefined,
  },
  {
    name: "answers 503",
    begin: (simulator) =>
      simulator.fail({ kind: "status", status: 503, code: "ServiceUnavailable" }),
    end: (simulator) => simulator.heal(),
    message: /503|ServiceUnavailable|busy|unavailable/i,
  },
  {
    name: "refuses connections",
    begin: (simulator) => simulator.stop(),
    end: (simulator) => simulator.restart(),
    message: /refused|connect/i,
  },
];

Deno.test("while the store is down, only those who need it fail, in time; then all goes on", async (test) => {
  await using simulator = await SimulatorProcess.start();
  const { mount: made, sumOfCold } = await prepared(simulator, RECALL_TIMEOUT_MS);
  await using mount = made;
  for (const [number, outage] of outages.entries()) {
    const cold = `${mount.mountpoint}/cold/${number + 1}`;
    await test.step(`the store ${outage.name}`, async () => {
      await outage.begin(simulator);
      await mount.sh(`echo precious ${number} > written-${number}`);
      const timed = async () => {
        const started = performance.now();
        const lines = await read("plain", cold);
        return { lines, tookMs: performance.now() - started };
      };
      let over = false;
      const begin = () => {
        over = false;
        return timed().finally(() => over = true);
      };
      let reading = begin();
      await until("status names the reader", async () => {
        const { waiting } = await status(mount);
        if (
          waiting.some((each) => each.path === `/cold/${number + 1}` && each.reason === "recall")
        ) return true;
        // It may have given up before the machine came to ask.
        if (over) reading = begin();
        return false;
      }, { timeoutMs: 90_000 });
      assert.equal(await mount.sh(`cat warm written-${number}`), `here\nprecious ${number}\n`);
      await mount.sh(`mkdir d-${number} && ls -lR . > /dev/null && mv warm w && mv w warm`);
      const { lines, tookMs } = await reading;
      assert.deepEqual(lines, ["errno EIO"]);
      assert.ok(tookMs >= RECALL_TIMEOUT_MS, `EIO came after ${tookMs} ms`);
      assert.ok(tookMs < RECALL_TIMEOUT_MS + SLACK_MS, `EIO came after ${tookMs} ms`);
      if (outage.message !== undefined) {
        const { stdout } = await until("status names the trouble", async () => {
          const result = await mount.zeroOk(["status", mount.mountpoint]);
          return /last store error/.test(result.stdout) ? result : undefined;
        });
        assert.match(stdout, outage.message);
      }
      assert.ok((await status(mount)).unsafe.files >= 1);
      await outage.end(simulator);
      // It is asked again only now and then while it fails, longer than one reader may wait.
      await until("it is read again", async () => {
        const [line] = await read("plain", cold);
        if (line !== "errno EIO") assert.equal(line, sumOfCold(number + 1));
        return line !== "errno EIO";
      }, { timeoutMs: 90_000 });
      await until(
        "what was written meanwhile is uploaded",
        async () => (await status(mount)).unsafe.files === 0,
        { timeoutMs: 90_000 },
      );
    });
  }
  await test.step("commands that need the store give up, with the store's exit code", async () => {
    await mount.zeroOk(["evict", mount.mountpoint]);
    await simulator.fail({ kind: "status", status: 403, code: "AccessDenied" });
    await mount.sh("echo dirty > dirty");
    for (const command of ["recall", "evict"]) {
      const { stderr } = await mount.zeroOk([command, mount.mountpoint], { code: 4 });
      assert.match(stderr, /^zero: .*AccessDenied.*\nhint: .+\n$/, command);
    }
    await simulator.heal();
    await mount.sh("rm dirty");
  });
  await test.step("the content written in an outage comes back from the bucket", async () => {
    await mount.zeroOk(["evict", mount.mountpoint]);
    assert.equal(await mount.sh("cat written-*"), "precious 0\nprecious 1\nprecious 2\n");
    await mount.unmount();
  });
});

Deno.test("signals: Ctrl-C ends a reader that waits at once; a handled timer never breaks a read", async (test) => {
  await using simulator = await SimulatorProcess.start();
  const { mount: made, sumOfCold } = await prepared(simulator, 60_000);
  await using mount = made;
  await test.step("Ctrl-C", async () => {
    await simulator.fail({ kind: "hold" });
    const reader = new Deno.Command("cat", {
      args: [`${mount.mountpoint}/cold/1`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until(
      "it waits",
      async () => (await status(mount)).waiting.some((each) => each.path === "/cold/1"),
    );
    const started = performance.now();
    reader.kill("SIGINT");
    const { signal } = await reader.status;
    const tookMs = performance.now() - started;
    assert.equal(signal, "SIGINT");
    // Long before the recall would have given up.
    assert.ok(tookMs < SLACK_MS, `it took ${tookMs} ms to end`);
    await until("nobody waits any more", async () => (await status(mount)).waiting.length === 0);
    await simulator.heal();
  });
  await test.step("a timer every 10 ms, and a store that takes 1.5 s", async () => {
    await simulator.fail({ kind: "delay", ms: 1_500 }, { operations: ["get"] });
    const started = performance.now();
    const [sum, alarms] = await read("alarm", `${mount.mountpoint}/cold/2`);
    assert.equal(sum, sumOfCold(2));
    assert.ok(performance.now() - started >= 1_500, "the store was not slow");
    // The kernel makes one of those that come during one read(2).
    assert.ok(Number(alarms) >= 1, "no signal came");
    await simulator.heal();
  });
  await test.step("a reader that was interrupted reads it all later", async () => {
    assert.deepEqual(await read("plain", `${mount.mountpoint}/cold/1`), [sumOfCold(1)]);
    await mount.unmount();
  });
});
