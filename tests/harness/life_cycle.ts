/**
 * The life cycle that every store must carry, as one script over the built program: write, upload, evict,
 * read back, change what is evicted, unmount, mount again. A plain directory beside the mount goes
 * through the same changes and says what must be seen at each step.
 */
import assert from "node:assert/strict";
import type { StatusReport } from "../../src/daemon/control_protocol.ts";
import { isMounted, ScratchMount } from "./scratch_mount.ts";
import { until } from "./until.ts";
import { requireCode, run } from "./zero_process.ts";

/** A store to go through it with. */
export interface LifeCyclePlace {
  /** URL; a scratch directory unless given. */
  store?: string;
  /** Credentials, for the program under test. */
  env?: Record<string, string>;
  /** For each step; a real bucket is far away. */
  stepMs?: number;
}

interface Listed {
  path: string;
  type: string;
  residentBytes: number;
}

const treeProgram = new URL("./tree.py", import.meta.url).pathname;

/** Makes, changes or describes a tree (tests/harness/tree.py) in a child process. */
export async function tree(args: string[], timeoutMs = 120_000): Promise<string> {
  const result = await run("python3", [treeProgram, ...args], { timeoutMs });
  return requireCode(result, 0, `tree.py ${args.join(" ")}`).stdout;
}

/** Files that are on the local disk, in part at least. */
export async function residentFiles(mount: ScratchMount): Promise<string[]> {
  const files = await mount.json<Listed[]>(["ls", "-R", mount.mountpoint]);
  return files.filter((file) => file.type === "file" && file.residentBytes > 0)
    .map((file) => file.path);
}

/** Uploads and evicts everything, and makes sure that nothing is left on the local disk. */
export async function evictAll(mount: ScratchMount, timeoutMs = 120_000): Promise<void> {
  await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs });
  const { unsafe } = await mount.json<StatusReport>(["status", mount.mountpoint]);
  assert.equal(unsafe.files, 0, "after a sync, everything is safe");
  await mount.zeroOk(["evict", mount.mountpoint], { timeoutMs });
  assert.deepEqual(await residentFiles(mount), []);
}

/** Runs the whole life cycle. The mount and all that belongs to it is gone afterwards. */
export async function lifeCycle(test: Deno.TestContext, place: LifeCyclePlace): Promise<void> {
  const timeoutMs = place.stepMs ?? 120_000;
  await using mount = await ScratchMount.create({ store: place.store, env: place.env });
  const reference = `${mount.directory}/reference`;
  await Deno.mkdir(reference);
  const compare = async (...what: string[]) => {
    const describe = async (root: string) =>
      (await tree(["describe", root, ...what], timeoutMs)).trim().split("\n");
    const [seen, wanted] = [await describe(mount.mountpoint), await describe(reference)];
    const without = (a: string[], b: string[]) => a.filter((line) => !b.includes(line));
    assert.deepEqual(
      { seen: without(seen, wanted), wanted: without(wanted, seen) },
      { seen: [], wanted: [] },
    );
  };
  const step = async (name: string, body: () => Promise<unknown>) => {
    const good = await test.step(name, async () => void await body());
    // What follows would only say again that this failed.
    if (!good) throw new Error(`the step failed: ${name}`);
  };

  await step("a tree with everything in it is written and read like a local one", async () => {
    await tree(["make", reference]);
    await tree(["make", mount.mountpoint]);
    await compare("content", "times");
  });
  await step("all is uploaded and evicted, and nothing that stat shows has changed", async () => {
    await evictAll(mount, timeoutMs);
    await compare("times");
    assert.deepEqual(await residentFiles(mount), [], "looking at files must not recall them");
  });
  await step("every byte comes back", async () => {
    await compare("content", "times");
    // It is kept once it is durable, a moment later.
    await until("what was read is kept", async () => {
      return (await residentFiles(mount)).includes("/large");
    });
  });
  await step("evicted files are overwritten, appended, truncated, replaced", async () => {
    await evictAll(mount, timeoutMs);
    await tree(["change", reference]);
    await tree(["change", mount.mountpoint]);
    await compare("content");
  });
  await step("the changes survive another eviction, an unmount and a mount", async () => {
    await evictAll(mount, timeoutMs);
    await mount.unmount();
    await mount.mount();
    assert.deepEqual(await residentFiles(mount), []);
    await compare("content");
  });
  await step("a second machine is refused, and changes nothing", async () => {
    await refuseSecondMachine(mount);
  });
  await step("the end leaves no mount and no daemon", async () => {
    await mount.unmount();
    assert.equal(isMounted(mount.mountpoint), undefined);
    assert.equal(mount.daemonPid(), undefined);
  });
}

/** Another cache, empty or a copy of ours, must not get at the prefix while we are mounted. */
async function refuseSecondMachine(mount: ScratchMount): Promise<void> {
  const other = `${mount.directory}/second`;
  await Deno.mkdir(other);
  const tryMount = (cache: string) =>
    mount.zeroOk(["mount", "--store", mount.store, "--cache", cache, other], { code: 3 });
  const empty = await tryMount(`${mount.directory}/empty-cache`);
  assert.match(empty.stderr, /^zero: .*holds file system [0-9a-f]{32}.*\nhint: .+\n$/);
  // A copy that was made while nobody was mounted knows of no claim of its own.
  const copy = `${mount.directory}/copied-cache`;
  await mount.unmount();
  requireCode(await run("cp", ["-a", mount.cache, copy]), 0, "copying the cache");
  await mount.mount();
  const copied = await tryMount(copy);
  assert.match(copied.stderr, /^zero: .* is in use by .*\nhint: .*--take-over.*\n$/);
  assert.equal(isMounted(other), undefined);
  await mount.sh("echo still ours > after && cat after");
}
