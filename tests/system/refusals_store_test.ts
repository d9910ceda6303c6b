/** Stores that are wrong, foreign, gone or closed to us: never taken for empty ones. */
import assert from "node:assert/strict";
import type { StatusReport } from "../../src/daemon/control_protocol.ts";
import { evictAll } from "../harness/life_cycle.ts";
import { expectRefusal, snapshot } from "../harness/refusal.ts";
import { isMounted, ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { run } from "../harness/zero_process.ts";

Deno.test("a store that is not the cache's own is refused, and both stay as they are", async (test) => {
  await using mount = await ScratchMount.create();
  await mount.sh("head -c 100000 /dev/urandom > file");
  const before = await mount.sh("sha256sum file");
  await evictAll(mount);
  await mount.unmount();
  const { store, storeDirectory, cache, mountpoint, directory } = mount;
  const refuse = async (
    name: string,
    at: { store?: string; cache?: string },
    expected: { reason: RegExp; hint: RegExp },
  ) => {
    await test.step(name, async () => {
      const was = await snapshot(directory);
      const args = ["--store", at.store ?? store, "--cache", at.cache ?? cache, mountpoint];
      await expectRefusal(mount, ["mount", ...args], { code: 3, ...expected });
      assert.equal(await snapshot(directory), was);
      assert.equal(isMounted(mountpoint), undefined);
    });
  };
  await refuse("an empty cache over a full prefix", { cache: `${directory}/empty` }, {
    reason: /holds file system [0-9a-f]{32}, last written \d{4}-.*; the cache .*empty is empty/,
    hint: /zero recover/,
  });
  await mount.zeroOk(
    ["init", "--store", `file://${directory}/foreign`, "--cache", `${directory}/foreign-cache`],
  );
  const exposed = await run("find", [`${directory}/foreign-cache`, "-perm", "/077"]);
  assert.equal(exposed.stdout, "", "what zero init makes is private");
  await refuse("a foreign zero.json", { store: `file://${directory}/foreign` }, {
    reason: /holds file system [0-9a-f]{32}, and .* is the cache of [0-9a-f]{32}/,
    hint: /belong together/,
  });
  await Deno.mkdir(`${directory}/photos`);
  await Deno.writeTextFile(`${directory}/photos/picture.jpg`, "not ours");
  await refuse("a folder with other things in it", {
    store: `file://${directory}/photos`,
    cache: `${directory}/empty`,
  }, { reason: /photos is not empty .*picture\.jpg/, hint: /empty directory/ });
  // A folder's files carry their version in their names.
  const descriptorIn = async (store: string) =>
    `${store}/${(await snapshot(store)).match(/zero\.json\S*/)![0]}`;
  await Deno.writeTextFile(await descriptorIn(`${directory}/foreign`), "{}");
  await refuse("a zero.json that is none", { store: `file://${directory}/foreign` }, {
    reason: /zero\.json in .* cannot be read/,
    hint: /nothing was changed/,
  });
  const descriptor = await descriptorIn(storeDirectory);
  await Deno.rename(descriptor, `${directory}/kept`);
  await refuse("zero.json gone while content is evicted", {}, {
    reason: /holds no zero\.json any more/,
    hint: /right bucket/,
  });
  await test.step("with its own store back, everything is there", async () => {
    await Deno.rename(`${directory}/kept`, descriptor);
    await mount.mount();
    assert.equal(await mount.sh("sha256sum file"), before);
    await mount.unmount();
  });
});

Deno.test("a new file system needs a store that answers and lets us in", async (test) => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await ScratchMount.create({ unmounted: true });
  const { region } = simulator.address;
  const { cache, mountpoint, directory } = mount;
  const refuse = async (
    name: string,
    store: string,
    expected: { env?: Record<string, string>; code?: number; reason: RegExp; hint: RegExp },
  ) => {
    await test.step(name, async () => {
      const was = await snapshot(directory);
      const args = ["mount", "--store", store, "--cache", cache, mountpoint];
      await expectRefusal(mount, args, {
        code: 4,
        ...expected,
        env: { ...simulator.env, ...expected.env },
        timeoutMs: 45_000,
      });
      assert.equal(await snapshot(directory), was);
      assert.deepEqual(await simulator.control.objects(), []);
    });
  };
  await refuse("a wrong key", simulator.url(), {
    env: { AWS_SECRET_ACCESS_KEY: "wrong" },
    reason: /cannot be created: .*(denied|Signature|403)/,
    hint: /check the key/,
  });
  await refuse("a wrong key id", simulator.url(), {
    env: { AWS_ACCESS_KEY_ID: "wrong" },
    reason: /cannot be created: /,
    hint: /check the key/,
  });
  await refuse("a missing bucket", simulator.url().replace("//zero-test/", "//not-there/"), {
    reason: /cannot be created: .*bucket/i,
    hint: /check the bucket's name/,
  });
  await refuse(
    "an unreachable endpoint",
    `s3://zero-test/home?endpoint=http://127.0.0.1:9&region=${region}`,
    { reason: /cannot be created: .*/, hint: /check the network/ },
  );
  await refuse("no credentials", simulator.url(), {
    env: { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" },
    code: 2,
    reason: /credentials/,
    hint: /AWS_ACCESS_KEY_ID|credentials/,
  });
});

Deno.test("what is here works while the store is wrong, nothing is sent there, and status says so", async (test) => {
  await using simulator = await SimulatorProcess.start();
  await using mount = await ScratchMount.create({ store: simulator.url(), env: simulator.env });
  await mount.sh("head -c 100000 /dev/urandom > evicted");
  const before = await mount.sh("sha256sum evicted");
  await evictAll(mount);
  await mount.sh("echo here > here");
  await mount.unmount();
  const objects = await simulator.control.objects();

  await test.step("a key that was taken back", async () => {
    await mount.zeroOk([
      ...["mount", "--store", mount.store, "--cache", mount.cache, mount.mountpoint],
    ], { env: { AWS_SECRET_ACCESS_KEY: "wrong" } });
    assert.equal(await mount.sh("cat here && ls -l > /dev/null"), "here\n");
    const status = await mount.json<StatusReport>(["status", mount.mountpoint]);
    assert.equal(status.state, "offline");
    assert.match(status.stateReason!, /Signature|denied|403/);
    await mount.sh("echo more > more");
    await mount.zeroOk(["unmount", mount.mountpoint], { code: 5 });
  });
  await test.step("a bucket that is gone", async () => {
    await simulator.control.setBucket("zero-test", false);
    await mount.mount();
    assert.equal(await mount.sh("cat here more"), "here\nmore\n");
    const status = await mount.json<StatusReport>(["status", mount.mountpoint]);
    assert.equal(status.state, "offline");
    assert.match(status.stateReason!, /bucket/i);
    await mount.zeroOk(["unmount", mount.mountpoint], { code: 5 });
    await simulator.control.setBucket("zero-test", true);
  });
  await test.step("nothing was sent or deleted meanwhile, and all is well afterwards", async () => {
    assert.deepEqual(await simulator.control.objects(), objects);
    await mount.mount();
    assert.equal(await mount.sh("sha256sum evicted"), before);
    await mount.unmount();
  });
});
