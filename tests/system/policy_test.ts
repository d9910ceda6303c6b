/** What a policy does on a mount, seen from outside. */
import assert from "node:assert/strict";
import { ScratchMount, stopProcess } from "../harness/scratch_mount.ts";
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

interface Plan {
  decisions: { path: string; verdict: string; block?: string; reason: string }[];
  totals: { toFree: number; freed: number; evict: { files: number } };
  unmet: { missing: number; holders: Record<string, { files: number; bytes: number }> } | null;
}

interface Entry {
  path: string;
  residentBytes: number;
  pinned: boolean;
  local?: boolean;
}

const RULES = `rules:
  - { name: modules, match: { path: "**/node_modules/**" }, upload: never }
  - { name: work, match: { path: "/Work/**" }, keep: pinned }
  - { name: films, match: { path: "**/*.mov" }, evict: first, keep_head: 1MiB }
  - { name: rest, match: {}, evict: allow }
`;
const ROOMY = "disk: { target: 4GiB, min_free: 1MiB }\nupload: { after: 1s }\n";

const check = (mount: ScratchMount, code: number, ...more: string[]) =>
  mount.json<Plan>(["policy", "check", mount.mountpoint, ...more], { code });

const list = (mount: ScratchMount) => mount.json<Entry[]>(["ls", "-R", mount.mountpoint]);

/** `count` files of `mebibytes` in a directory of the mount, the first the least recently used. */
const fill = (directory: string, count: number, mebibytes: number, ending = "bin") =>
  `mkdir -p ${directory} && for i in $(seq 1 ${count}); do ` +
  `head -c ${mebibytes}M /dev/urandom > ${directory}/$i.${ending}; done`;

Deno.test("what check shows is what leaves, file by file, and check changes nothing", async () => {
  await using mount = await withPolicy(ROOMY + RULES);
  await mount.sh(fill("Work", 3, 4));
  await mount.sh(fill("Films", 2, 12, "mov"));
  await mount.sh(fill("Rest", 8, 4));
  await mount.sh(fill("app/node_modules", 2, 4));
  await mount.zeroOk(["sync", mount.mountpoint]);
  await check(mount, 0);
  // The policy to come: room for half of it.
  const path = await writePolicy(mount, SMALL + RULES, "next.yaml");
  const planned = await check(mount, 10, "--policy", path);
  const leaving = planned.decisions.filter((each) => each.verdict === "evict");
  assert.ok(leaving.length >= 4, JSON.stringify(planned.totals));
  // Which of the two goes first depends on how long each took to be written.
  const films = leaving.slice(0, 2).map((each) => each.path).sort();
  assert.deepEqual(films, ["/Films/1.mov", "/Films/2.mov"]);
  assert.equal(planned.unmet, null);
  await writePolicy(mount, SMALL + RULES);
  const gone = await until("as much has left as was planned", async () => {
    const entries = await list(mount);
    const left = entries.filter((each) => each.path.endsWith("bin") && each.residentBytes === 0);
    const heads = entries.filter((each) =>
      each.path.endsWith("mov") && each.residentBytes === 4 * 2 ** 20
    );
    return left.length + heads.length >= leaving.length &&
      [...left, ...heads].map((each) => each.path);
  });
  assert.deepEqual(gone.sort(), leaving.map((each) => each.path).sort());
  await check(mount, 0);
  const why = (await mount.zeroOk(["why", `${mount.mountpoint}/Films/1.mov`])).stdout;
  assert.match(why, /in the bucket/);
  assert.match(why, /evicted, 8 MiB: by films \(.*policy\.yaml:7:5\): its rule lets it leave/);
  await mount.sh("head -c 5000 Films/1.mov | cmp -n 5000 - Films/1.mov");
});

Deno.test("a preview works while the daemon is stopped, and leaves the databases byte by byte", async () => {
  await using mount = await withPolicy(ROOMY + RULES);
  await mount.sh(fill("Rest", 5, 4));
  await mount.zeroOk(["sync", mount.mountpoint]);
  const next = await writePolicy(mount, SMALL.replace("64MiB", "16MiB") + RULES, "next.yaml");
  await check(mount, 10, "--policy", next);
  const pid = mount.daemonPid()!;
  const databases = async () => {
    const sums: string[] = [];
    for (
      const name of [
        "metadata.db",
        "history.db",
        "metadata.db-wal",
        "history.db-wal",
        "access.trace",
      ]
    ) {
      const bytes = await Deno.readFile(`${mount.cache}/${name}`);
      sums.push(`${name} ${await sha256(bytes)}`);
    }
    return sums;
  };
  try {
    await stopProcess(pid);
    const before = await databases();
    const planned = await check(mount, 10, "--policy", next);
    assert.ok(planned.totals.evict.files > 0);
    const at = `${mount.mountpoint}/Rest/1.bin`;
    const explained = await mount.zeroOk(["policy", "explain", at, "--at", "+30d"]);
    assert.match(explained.stdout, /rest: matches/);
    assert.match(explained.stdout, /modules: no: path is \/Rest\/1\.bin/);
    const old = `${mount.directory}/policy.yaml`;
    const diff = await mount.zeroOk(["policy", "diff", "--mount", mount.mountpoint, old, next], {
      code: 10,
    });
    assert.match(diff.stdout, /keep → evict/);
    const replayed = await mount.zeroOk(["policy", "replay", "--mount", mount.mountpoint, next]);
    assert.match(replayed.stdout, /Belady/);
    assert.match(replayed.stderr, /does not answer/);
    assert.deepEqual(await databases(), before);
  } finally {
    Deno.kill(pid, "SIGCONT");
  }
  await mount.zeroOk(["policy", "check", mount.mountpoint, "--policy", "missing"], { code: 2 });
});

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("files that are never uploaded are not waited for, not evicted, and reported", async () => {
  await using mount = await withPolicy(ROOMY + RULES);
  await mount.sh(fill("app/node_modules/x", 3, 1));
  await mount.sh(fill("Rest", 1, 1));
  await mount.zeroOk(["sync", mount.mountpoint]);
  const entries = await list(mount);
  assert.equal(entries.filter((each) => each.local).length, 3);
  const report = (await mount.zeroOk(["status", mount.mountpoint])).stdout;
  assert.match(report, /local +3 files \(3 MiB\) kept out of the bucket/);
  assert.match(report, /everything is in the bucket/);
  const evicted = await mount.zeroOk(["evict", `${mount.mountpoint}/app`], { code: 1 });
  assert.match(evicted.stdout, /keeps it out of the bucket/);
  // Under another name it is like any other file.
  await mount.sh("mv app/node_modules app/kept");
  await until("the moved files are in the bucket", async () => {
    await mount.zeroOk(["sync", mount.mountpoint]);
    const moved = (await list(mount)).filter((each) => each.path.startsWith("/app/kept/x/"));
    return moved.length === 3 && moved.every((each) => !each.local);
  });
  await mount.unmount();
});

Deno.test("a pin on a directory holds for what is below it, and ends when it is said to", async () => {
  await using mount = await withPolicy(SMALL + RULES);
  await mount.sh(fill("Keep/deep", 4, 4));
  await mount.zeroOk(["pin", `${mount.mountpoint}/Keep`]);
  await mount.sh(fill("Rest", 8, 4));
  await until("the marks are kept", async () => {
    await mount.zeroOk(["sync", mount.mountpoint]);
    const bytes = (await list(mount)).reduce((sum, each) => sum + each.residentBytes, 0);
    return bytes <= 0.9 * 64 * 2 ** 20;
  });
  const kept = (await list(mount)).filter((each) => each.path.startsWith("/Keep/deep/"));
  assert.ok(kept.every((each) => each.pinned && each.residentBytes > 0));
  const pinOf = (path: string) => mount.sh(`getfattr --only-values -n user.zero.pin ${path}`);
  assert.equal(await pinOf("Keep/deep/1.bin"), "1");
  const refused = await mount.zeroOk(["evict", `${mount.mountpoint}/Keep`], { code: 1 });
  assert.match(refused.stdout, /pinned/);
  await mount.zeroOk(["unpin", `${mount.mountpoint}/Keep`]);
  await mount.zeroOk(["pin", "--until", "2099-01-31", `${mount.mountpoint}/Keep/deep/1.bin`]);
  assert.equal(await pinOf("Keep/deep/1.bin"), "2099-01-31T00:00:00.000Z");
  assert.equal(await pinOf("Keep/deep/2.bin"), "0");
  await mount.zeroOk(["evict", `${mount.mountpoint}/Keep/deep/2.bin`]);
  await mount.zeroOk(["evict", `${mount.mountpoint}/Keep/deep/1.bin`], { code: 1 });
});

Deno.test("who reads decides: refused, served without a trace, or not counted", async () => {
  const readers = `readers:
  - { comm: [head], recall: deny, heat: ignore }
  - { comm: ["sha256*"], recall: stream }
  - { comm: [wc], heat: ignore }
`;
  await using mount = await withPolicy(ROOMY + readers + RULES);
  await mount.sh("head -c 9M /dev/urandom > a && cp a b && cp a c");
  const sum = (await mount.sh("sha256sum < a")).split(" ")[0];
  await mount.zeroOk(["evict", mount.mountpoint]);
  const entry = async (name: string) =>
    (await mount.json<(Entry & { lastUsedMs: number })[]>(["ls", `${mount.mountpoint}/${name}`]))[
      0
    ];
  const before = await entry("a");
  const refused = await mount.trySh("head -c 1 a");
  assert.match(refused.stderr, /Permission denied/);
  assert.equal((await entry("a")).residentBytes, 0);
  assert.equal((await mount.sh("sha256sum a")).split(" ")[0], sum);
  assert.deepEqual(await entry("a"), before);
  // The redirection is opened by the shell: who opens decides, not who reads.
  assert.equal((await mount.sh("head -c 9000000 < b | wc -c")).trim(), "9000000");
  // What was read is kept once it is durable, a moment later.
  const kept = (name: string) =>
    until(`${name} is kept`, async () => {
      const found = await entry(name);
      return found.residentBytes > 0 && found;
    });
  await kept("b");
  const unused = await entry("c");
  await mount.sh("wc c");
  const counted = await kept("c");
  assert.equal(counted.lastUsedMs, unused.lastUsedMs);
  await mount.sh("cat c > /dev/null");
  assert.ok((await entry("c")).lastUsedMs > unused.lastUsedMs);
  const why = (await mount.zeroOk(["why", `${mount.mountpoint}/c`])).stdout;
  assert.match(why, /brought back for wc/);
});
