/** `zero import` into a mount that is much smaller than what is taken in, interrupted and continued. */
import assert from "node:assert/strict";
import { tree } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";
import { run, zeroEnvironment, zeroExecutable } from "../harness/zero_process.ts";

interface Report {
  files: number;
  unchanged: number;
  problems: { path: string; reason: string }[];
}

const LONG_MS = 240_000;

const MAKE = "mkdir d && for i in $(seq 8); do head -c 5000000 /dev/urandom > $i; done && " +
  "ln 1 d/link && ln -s ../2 d/symbolic && mkfifo d/pipe && truncate -s 90M d/sparse && " +
  "setfattr -n user.x -v 1 2 && chown 7:8 3 && chmod 4750 3 && touch -d 2001-02-03T04:05:06.7 4 d " +
  "\"$(printf 'odd\\377name')\"";

async function describe(root: string): Promise<string[]> {
  return (await tree(["describe", root, "content", "times"], LONG_MS)).trim().split("\n");
}

Deno.test("a directory larger than the local disk is taken in whole, across a ctrl-C", async () => {
  await using mount = await ScratchMount.create({ mountArguments: ["--disk-target", "24MiB"] });
  const source = `${mount.directory}/source`;
  await Deno.mkdir(source);
  const made = await run("sh", ["-c", `cd "$0" && ${MAKE}`, source]);
  assert.equal(made.code, 0, made.stderr);
  const destination = `${mount.mountpoint}/taken`;
  const nested = await mount.zeroOk(["import", mount.directory, destination], { code: 3 });
  assert.match(nested.stderr, /contain each other/);

  const child = new Deno.Command(zeroExecutable, {
    args: ["import", source, destination],
    env: zeroEnvironment(mount.directory),
    clearEnv: true,
    stdout: "null",
    stderr: "piped",
  }).spawn();
  await until(
    "something is there",
    async () => (await run("sh", ["-c", 'ls "$0" | wc -l', destination])).stdout.trim() > "1",
  );
  try {
    child.kill("SIGINT");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // was quicker than we
  }
  await child.output();

  const report = await mount.json<Report>(["import", source, destination], { timeoutMs: LONG_MS });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(await describe(destination), await describe(source));
  const again = await mount.json<Report>(["import", source, destination], { timeoutMs: LONG_MS });
  assert.equal(again.files, 0);
  await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: LONG_MS });
  await mount.unmount();
});
