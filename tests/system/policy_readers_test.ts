/** Programs that go through everything: those that a rule names, and those that nobody knows. */
import assert from "node:assert/strict";
import { soak } from "../harness/fault_seed.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";

const EVICTED = soak ? 10_000 : 150;
const HERE = 30;
const SLOW = { timeoutMs: soak ? 600_000 : 60_000 };
/** Files after which a program that nobody knows is recognized. */
const SCANS_AT = 1000;

interface Plan {
  decisions: { path: string; verdict: string; resident: number; lastUsedMs: number }[];
}

interface Entry {
  path: string;
  type: string;
  residentBytes: number;
  lastUsedMs: number;
}

const POLICY = `version: 1
disk: { target: 4GiB, min_free: 1MiB }
upload: { after: 1s }
readers: [{ comm: [head], recall: stream, heat: ignore }]
rules: [{ name: all, match: {}, evict: allow }]
`;

Deno.test("head over every file changes no plan and keeps nothing where a rule ignores it; an unknown program does both", async () => {
  await using mount = await ScratchMount.create({ unmounted: true });
  const policy = `${mount.directory}/policy.yaml`;
  await Deno.writeTextFile(policy, POLICY);
  await Deno.writeTextFile(`${mount.directory}/next.yaml`, POLICY.replace("4GiB", "16MiB"));
  await mount.mount("--policy", policy);
  const make = (directory: string, count: number, bytes: number) =>
    mount.sh(
      `mkdir ${directory} && cd ${directory} && head -c ${count * bytes} /dev/urandom | ` +
        `split -a 5 -d -b ${bytes} - f`,
      SLOW,
    );
  await make("evicted", EVICTED, 300);
  await make("here", HERE, 1 << 20);
  // What is not in the bucket yet could not leave, and what is could: the plan is of what stays as it is.
  await mount.zeroOk(["sync", mount.mountpoint], SLOW);
  await mount.zeroOk(["evict", `${mount.mountpoint}/evicted`], SLOW);

  const plan = async () => {
    const args = ["policy", "check", mount.mountpoint, "--policy", `${mount.directory}/next.yaml`];
    const { decisions } = await mount.json<Plan>(args, { code: 10 });
    return decisions.map(({ path, verdict, resident, lastUsedMs }) =>
      `${path} ${verdict} ${resident} ${lastUsedMs}`
    );
  };
  const brought = async () => {
    const entries = await mount.json<Entry[]>(["ls", "-R", `${mount.mountpoint}/evicted`]);
    const files = entries.filter((each) => each.type === "file");
    assert.equal(files.length, EVICTED);
    return files.filter((each) => each.residentBytes > 0).length;
  };
  assert.equal(await brought(), 0);
  const before = await plan();
  assert.ok(before.length >= HERE);
  const find = `find . -type f -exec`;
  const bytes = await mount.sh(`${find} head -c1 -q {} + | wc -c`, SLOW);
  assert.equal(Number(bytes), EVICTED + HERE);
  assert.equal(await brought(), 0);
  assert.deepEqual(await plan(), before);

  await mount.sh(`cp "$(command -v head)" ${mount.directory}/peek`);
  await mount.sh(`${find} ${mount.directory}/peek -c1 -q {} + | wc -c`, SLOW);
  // What was read is kept once it is durable, a moment later.
  let kept = 0;
  await until("what was read is kept", async () => {
    kept = await brought();
    return kept >= Math.min(EVICTED, SCANS_AT);
  });
  assert.notDeepEqual(await plan(), before);
  if (EVICTED < SCANS_AT) return assert.equal(kept, EVICTED);
  // After a thousand cold files it is recognized by what it does.
  assert.ok(kept >= SCANS_AT && kept < EVICTED / 2, `${kept} files were kept`);
  assert.match(await mount.logTail(), /'peek' \(process \d+\) goes through many cold files/);
});
