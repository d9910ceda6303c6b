/** What a policy does on a mount, seen from outside. */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";

interface Status {
  policy: { file: string; trouble: string | undefined };
  settings: { name: string; value: string; origin: string }[];
}

const SMALL =
  "disk: { target: 64MiB, high: 90%, low: 50%, min_free: 1MiB }\nupload: { after: 1s }\n";

/** Writes a policy file beside the mount. Returns its path. */
async function writePolicy(mount: ScratchMount, text: string, name = "policy.yaml") {
  const path = `${mount.directory}/${name}`;
  await Deno.writeTextFile(`${path}.new`, `version: 1\n${text}`);
  await Deno.rename(`${path}.new`, path);
  return path;
}

/** A mount that works by this policy. */
async function withPolicy(text: string): Promise<ScratchMount> {
  const mount = await ScratchMount.create({ unmounted: true });
  await mount.mount("--policy", await writePolicy(mount, text));
  return mount;
}

const status = (mount: ScratchMount) => mount.json<Status>(["status", mount.mountpoint]);

Deno.test("a policy with a mistake refuses the mount with its place, and touches nothing", async () => {
  await using mount = await ScratchMount.create({ unmounted: true });
  const path = await writePolicy(mount, "rules:\n  - { name: a, match: {}, evikt: first }\n");
  const args = ["mount", "--store", mount.store, "--cache", mount.cache, "--policy", path];
  const { stderr } = await mount.zeroOk([...args, mount.mountpoint], { code: 2 });
  assert.match(stderr, /policy\.yaml:3:27: error: unknown key 'evikt'/);
  await assert.rejects(Deno.stat(mount.cache), Deno.errors.NotFound);
});

Deno.test("a policy's settings come after the command line, and a changed file comes into force", async () => {
  const rules = "rules: [{ name: all, match: {}, evict: allow }]\n";
  await using mount = await withPolicy(SMALL + rules);
  const setting = async (name: string) =>
    (await status(mount)).settings.find((each) => each.name === name);
  assert.match((await setting("disk.low"))!.origin, /^policy \(.*policy\.yaml\)$/);
  assert.equal((await setting("upload.after"))!.value, "1s");
  await writePolicy(mount, SMALL.replace("50%", "40%") + rules);
  await until("the policy is seen", async () => (await setting("disk.low"))!.value === "40%");
  await writePolicy(mount, SMALL.replace("50%", "95%") + rules);
  await until("the policy is seen", async () => (await status(mount)).policy.trouble !== undefined);
  assert.equal((await setting("disk.low"))!.value, "40%");
  const text = (await mount.zeroOk(["status", mount.mountpoint])).stdout;
  assert.match(text, /policy\.yaml:2:\d+: error: .*\n(.*\n)*.*the previous one stays in force/);
  assert.match(await Deno.readTextFile(`${mount.cache}/zero.log`), /previous one stays in force/);
});
