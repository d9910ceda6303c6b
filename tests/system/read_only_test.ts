/**
 * `zero mount --read-only` beside a mount that writes, with a cache of its own; and `--take-over`, after
 * which the mount that wrote before writes no more.
 */
import assert from "node:assert/strict";
import type { StatusReport } from "../../src/daemon/control_protocol.ts";
import { soak } from "../harness/fault_seed.ts";
import { tree } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const env = { ZERO_METADATA_INTERVAL: "1s" };
const LONG_MS = 60_000;

async function describe(root: string): Promise<string[]> {
  return (await tree(["describe", root, "content", "times"], LONG_MS)).trim().split("\n");
}

Deno.test("a read-only mount shows what another one has shipped, follows it, and writes nothing", async () => {
  await using writer = await ScratchMount.create({ env });
  await writer.sh(
    "mkdir d && echo one > d/file && head -c 9000000 /dev/urandom > large && ln large d/link && " +
      "ln -s file d/symbolic && touch \"$(printf 'odd\\377name')\" && setfattr -n user.x -v 1 large",
  );
  await writer.zeroOk(["sync", writer.mountpoint]);
  const reader = `${writer.directory}/reader`;
  const cache = `${writer.directory}/reader-cache`;
  await Deno.mkdir(reader);
  const mount = ["mount", "--read-only", "--store", writer.store, "--cache", cache, reader];
  await writer.zeroOk(mount);
  assert.deepEqual(await describe(reader), await describe(writer.mountpoint));
  const claims = async () => (await run("ls", [`${writer.storeDirectory}/lease`])).stdout;
  const before = await claims();
  const refused = await run("sh", ["-c", 'echo x > "$0/new"', reader]);
  assert.match(refused.stderr, /Read-only file system/);

  await writer.sh("echo two, longer > d/file && mv large d/moved && rm d/link && mkdir e");
  await writer.zeroOk(["sync", writer.mountpoint]);
  const wanted = await describe(writer.mountpoint);
  await until(
    "the reader shows what the writer has shipped",
    async () => JSON.stringify(await describe(reader)) === JSON.stringify(wanted),
    { timeoutMs: LONG_MS },
  );
  // That the files were read moves their access times, which are shipped and shown after all else.
  const status = await until("nothing waits to be shown", async () => {
    const status = await writer.json<StatusReport>(["status", reader]);
    return status.following?.waiting === 0 && status;
  }, { timeoutMs: LONG_MS });
  assert.equal(status.state, "read-only");
  assert.equal(status.following?.trouble, undefined);
  assert.match((await writer.zeroOk(["status", reader])).stdout, /following as of 20/);
  await writer.zeroOk(["evict", reader]);
  assert.deepEqual(await describe(reader), wanted);
  const careless = await writer.zeroOk(["gc", reader], { code: 3 });
  assert.match(careless.stderr, /only follows another one/);
  await writer.zeroOk(["unmount", reader]);
  assert.equal(await claims(), before, "a reader claims nothing");

  const ordinary = ["mount", "--store", writer.store, "--cache", cache, reader];
  assert.match((await writer.zeroOk(ordinary, { code: 3 })).stderr, /only followed another one/);
  await writer.sh("echo three > d/file");
  await writer.unmount();
  const own = ["mount", "--read-only", "--store", writer.store, "--cache", writer.cache, reader];
  assert.match((await writer.zeroOk(own, { code: 3 })).stderr, /belongs to a mount that writes/);
  await writer.zeroOk(mount);
  await until(
    "a remount goes on from where it was",
    async () => (await run("cat", [`${reader}/d/file`])).stdout === "three\n",
    { timeoutMs: LONG_MS },
  );
  await writer.zeroOk(["unmount", reader]);
});

// A mount looks for other claims once a minute.
Deno.test({
  name: "after --take-over the mount that wrote before changes nothing any more",
  ignore: !soak,
  fn: takeOver,
});

async function takeOver(): Promise<void> {
  await using first = await ScratchMount.create({ env });
  await first.sh("echo one > file");
  await first.unmount();
  const cache = `${first.directory}/second-cache`;
  requireCode(await run("cp", ["-a", first.cache, cache]), 0, "copying the cache");
  await first.mount();
  const second = `${first.directory}/second`;
  await Deno.mkdir(second);
  const mount = ["mount", "--store", first.store, "--cache", cache];
  assert.match((await first.zeroOk([...mount, second], { code: 3 })).stderr, /--take-over/);
  const both = await first.zeroOk([...mount, "--read-only", "--take-over", second], { code: 2 });
  assert.match(both.stderr, /takes nothing over/);
  const taken = await first.zeroOk([...mount, "--take-over", second]);
  assert.match(taken.stderr, /took over from/);
  await first.sh("echo lost > file");
  await until(
    "the first mount notices, and becomes read-only",
    async () => (await first.trySh("echo x > other")).stderr.includes("Read-only file system"),
    {
      timeoutMs: LONG_MS,
    },
  );
  assert.equal(
    (await run("sh", ["-c", 'echo two > "$0/file" && cat "$0/file"', second])).stdout,
    "two\n",
  );
  await first.zeroOk(["unmount", second]);
  await first.zeroOk(["unmount", first.mountpoint, "--no-flush"], { code: 5 });
}
