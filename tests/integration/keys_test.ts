/** Keys of encrypted file systems: made, opened, replaced, lost; what is wrong is told apart by name. */
import assert from "node:assert/strict";
import { ExitCode, UserError } from "../../src/domain/errors.ts";
import { CacheDirectory } from "../../src/daemon/cache_directory.ts";
import { cacheLayout } from "../../src/daemon/cache_layout.ts";
import { checkAgain, establish, type Identity, probe } from "../../src/daemon/identity.ts";
import { KeyFile } from "../../src/daemon/key_file.ts";
import { type KeySource, noKey, takenKey } from "../../src/daemon/key_source.ts";
import { changePassphrase, unlock, type UnlockParts } from "../../src/daemon/unlock.ts";
import { readWrappedKeys } from "../../src/daemon/wrapped_keys.ts";
import { type Descriptor, encodeDescriptor } from "../../src/format/descriptor.ts";
import { DESCRIPTOR_KEY } from "../../src/format/keys.ts";
import { printRecoveryKey } from "../../src/format/recovery_key.ts";
import { LEAST_COST } from "../../src/format/wrapped_key.ts";
import { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import { type ObjectStore, StoreError } from "../../src/object_store/object_store.ts";
import { openObjectStore } from "../../src/object_store/open_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { hex, systemRandom } from "../../src/runtime/random.ts";
import { checkKeys, restoreKey } from "../../src/tiering/fsck_keys.ts";
import { ReportBuilder } from "../../src/tiering/fsck_report.ts";
import { startB2Simulator } from "../harness/b2_simulator.ts";

const parts = { clock: systemClock, random: systemRandom, cost: LEAST_COST };

/** A source that answers a passphrase of its own bytes each time it is asked. */
function passphrase(text: string): KeySource {
  const take = () =>
    Promise.resolve({ kind: "passphrase" as const, bytes: new TextEncoder().encode(text) });
  return { given: true, take };
}

function recoveryKey(text: string): KeySource {
  const bytes = new TextEncoder().encode(text);
  return {
    given: true,
    take: () => Promise.resolve({ kind: "recovery key", bytes: bytes.slice() }),
  };
}

/** Locks a cache for as long as `body` runs. */
async function inCache<T>(path: string, body: (cache: CacheDirectory) => Promise<T>): Promise<T> {
  const cache = CacheDirectory.open(path);
  try {
    return await body(cache);
  } finally {
    cache.close();
  }
}

function open(
  path: string,
  store: ObjectStore,
  key: KeySource,
  encrypt = false,
): Promise<Identity> {
  return inCache(
    path,
    (cache) => establish({ ...parts, cache, store, storeUrl: "memory:", key, encrypt }),
  );
}

interface Setting {
  store: ObjectStore;
  cache: string;
  descriptor: Descriptor;
  identity: Identity;
}

async function withEncrypted(
  body: (setting: Setting) => Promise<void>,
  store: ObjectStore = new MemoryObjectStore(parts),
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const cache = `${directory}/cache`;
  try {
    const identity = await open(cache, store, passphrase("one"), true);
    const found = await probe(store);
    assert.ok(found.kind === "found");
    await body({ store, cache, descriptor: found.descriptor, identity });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function fails(action: Promise<unknown>, code: number, message: RegExp): Promise<void> {
  await assert.rejects(action, (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, message);
    assert.equal(error.exitCode, code, error.message);
    return true;
  });
}

/** The same bytes under the same name, as somebody with the bucket's credentials might put them. */
async function replace(store: ObjectStore, key: string, body: Uint8Array): Promise<void> {
  for await (const version of store.listVersions(key)) await store.delete(key, version.versionId);
  await store.put(key, body);
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.listVersions("keys/")) keys.push(key);
  return keys;
}

const secretId = (identity: Identity) => hex(identity.secrets!.chunkId(new Uint8Array(1)));

Deno.test("what was created encrypted opens with its passphrase, and with no other", async () => {
  await withEncrypted(async ({ store, cache, identity }) => {
    assert.equal(identity.created, true);
    const again = await open(cache, store, passphrase("one"));
    assert.equal(again.created, false);
    assert.equal(secretId(again), secretId(identity));
    await fails(
      open(cache, store, passphrase("two")),
      ExitCode.wrongKey,
      /the passphrase is wrong/,
    );
    await fails(
      open(cache, store, noKey),
      ExitCode.usage,
      /encrypted, and no passphrase was given/,
    );
  });
});

Deno.test("a passphrase is given up nowhere: not in the cache, not in the bucket", async () => {
  const canary = "canary-of-a-passphrase";
  const store = new MemoryObjectStore(parts);
  const cache = `${await Deno.makeTempDir()}/cache`;
  try {
    const { secrets } = await open(cache, store, passphrase(canary), true);
    const needles = [canary, hex(secrets!.material().master)];
    const found: string[] = [];
    for (const { name, isFile } of Deno.readDirSync(cache)) {
      if (isFile) {
        found.push(new TextDecoder("latin1").decode(Deno.readFileSync(`${cache}/${name}`)));
      }
    }
    for await (const { key } of store.list("")) {
      found.push(key, new TextDecoder("latin1").decode(await store.get(key)));
    }
    for (const needle of needles) assert.ok(found.every((text) => !text.includes(needle)));
  } finally {
    await Deno.remove(cache.replace("/cache", ""), { recursive: true });
  }
});

Deno.test("while the bucket is away, the cache's copy of the key tells right from wrong", async () => {
  await withEncrypted(async ({ store, cache, identity }) => {
    const away = new MemoryObjectStore(parts);
    away.get = () => Promise.reject(new StoreError("unavailable", "no network"));
    const offline = await open(cache, away, passphrase("one"));
    assert.equal(offline.offline, "no network");
    assert.equal(secretId(offline), secretId(identity));
    await fails(open(cache, away, passphrase("two")), ExitCode.wrongKey, /passphrase is wrong/);
    // A lost copy comes back from the bucket; without it, nothing is opened by guessing.
    Deno.removeSync(cacheLayout(cache).key);
    await open(cache, store, passphrase("one"));
    assert.ok(new KeyFile(cacheLayout(cache).key).read()?.wrapped);
  });
});

Deno.test("another passphrase replaces the old one, whose key leaves the bucket in every version", async () => {
  const simulator = startB2Simulator();
  const store = await openObjectStore(simulator.url("home"), {
    ...parts,
    credentials: simulator.credentials,
  });
  try {
    await withEncrypted(async ({ cache, descriptor, identity }) => {
      const file = new KeyFile(cacheLayout(cache).key);
      const [old] = await keysOf(store);
      const change = { ...parts, store, descriptor, file };
      await fails(
        changePassphrase({ ...change, key: passphrase("guess"), next: passphrase("two") }),
        ExitCode.wrongKey,
        /passphrase is wrong/,
      );
      assert.deepEqual(await keysOf(store), [old]);
      await changePassphrase({ ...change, key: passphrase("one"), next: passphrase("two") });
      const [fresh, ...others] = await keysOf(store);
      assert.deepEqual(others, []);
      assert.notEqual(fresh, old);
      await fails(open(cache, store, passphrase("one")), ExitCode.wrongKey, /passphrase is wrong/);
      assert.equal(secretId(await open(cache, store, passphrase("two"))), secretId(identity));
    }, store);
  } finally {
    store.close();
    await simulator.stop();
  }
});

Deno.test("a change that breaks off leaves a passphrase that works, at every step", async () => {
  for (const step of ["put", "get", "delete"] as const) {
    await withEncrypted(async ({ store, cache, descriptor }) => {
      const memory = store as MemoryObjectStore;
      const original = memory[step].bind(memory) as (...all: unknown[]) => Promise<unknown>;
      let armed = false;
      // The old key is read before the new one is put.
      memory[step] = ((...all: unknown[]) => {
        if (step === "put") armed = true;
        if (armed) return Promise.reject(new StoreError("denied", `${step} is refused`));
        return original(...all);
      }) as never;
      if (step !== "put") {
        const put = memory.put.bind(memory);
        memory.put = (...all) => {
          armed = true;
          return put(...all);
        };
      }
      const change = { ...parts, store, descriptor, file: undefined };
      await assert.rejects(
        changePassphrase({ ...change, key: passphrase("one"), next: passphrase("two") }),
        step === "delete" ? /new passphrase works, but the old one still does/ : /is refused/,
      );
      armed = false;
      memory[step] = original as never;
      assert.ok((await open(cache, store, passphrase("one"))).secrets);
      // The same again finishes it, from whichever works.
      await changePassphrase({ ...change, key: passphrase("one"), next: passphrase("two") });
      assert.equal((await keysOf(store)).length, 1);
      await fails(open(cache, store, passphrase("one")), ExitCode.wrongKey, /passphrase is wrong/);
    });
  }
});

Deno.test("the recovery key opens without a passphrase, and gives a new one", async () => {
  await withEncrypted(async ({ store, cache, descriptor, identity }) => {
    const printed = printRecoveryKey(identity.secrets!.material());
    for await (const { key, versionId } of store.listVersions("keys/")) {
      await store.delete(key, versionId);
    }
    Deno.removeSync(cacheLayout(cache).key);
    await fails(open(cache, store, passphrase("one")), ExitCode.failure, /there is no wrapped key/);
    assert.equal(secretId(await open(cache, store, recoveryKey(printed))), secretId(identity));
    const change = { ...parts, store, descriptor, file: undefined };
    await changePassphrase({ ...change, key: recoveryKey(printed), next: passphrase("three") });
    assert.equal(secretId(await open(cache, store, passphrase("three"))), secretId(identity));
    const slip = printed.replace(
      /..$/,
      (end) => [...end].reverse().join("") === end ? "00" : [...end].reverse().join(""),
    );
    await fails(open(cache, store, recoveryKey(slip)), ExitCode.wrongKey, /checksum/);
    const foreign = { ...identity.secrets!.material(), master: new Uint8Array(32) };
    await fails(
      open(cache, store, recoveryKey(printRecoveryKey(foreign))),
      ExitCode.wrongKey,
      /is not that of file system/,
    );
  });
});

Deno.test("a damaged wrapped key is named, and is not taken for a wrong passphrase", async () => {
  await withEncrypted(async ({ store, cache, descriptor }) => {
    const [key] = await keysOf(store);
    const whole = await store.get(key);
    const bare: UnlockParts = { store, descriptor, key: passphrase("one"), file: undefined };
    const flipped = whole.slice();
    flipped[100] ^= 1;
    for (const damaged of [flipped, whole.slice(0, 100), new Uint8Array(188)]) {
      await replace(store, key, damaged);
      await fails(unlock(bare), ExitCode.failure, /the wrapped key is damaged: keys\/[0-9a-f]{32}/);
      // Where there is a cache, its copy helps, and it is said that the bucket alone would not.
      const opened = await open(cache, store, passphrase("one"));
      assert.ok(opened.secrets);
      assert.match(
        opened.keyWarning ?? "",
        /holds no usable wrapped key.*zero key passphrase.*keys\//,
      );
    }
    await replace(store, key, whole);
    assert.equal((await unlock(bare)).warning, undefined);
  });
});

Deno.test("a zero.json that was changed is refused: not encrypted any more, or with another date", async () => {
  await withEncrypted(async ({ store, cache, descriptor }) => {
    const { seal: _, ...unsealed } = descriptor;
    const plain = encodeDescriptor({ ...unsealed, features: [] });
    await replace(store, DESCRIPTOR_KEY, plain);
    const known = { ...descriptor, encrypted: true };
    await inCache(cache, async (cache) => {
      await fails(
        checkAgain({ cache, store }, known),
        ExitCode.refused,
        /says that it is not encrypted/,
      );
    });
    await fails(open(cache, store, passphrase("one")), ExitCode.refused, /says that it is not/);
    await fails(open(cache, store, noKey), ExitCode.refused, /says that it is not encrypted/);
    const larger = { ...descriptor, created: "2020-01-01T00:00:00.000Z" };
    await replace(store, DESCRIPTOR_KEY, encodeDescriptor(larger));
    await fails(open(cache, store, passphrase("one")), ExitCode.refused, /not what was written/);
  });
});

Deno.test("a passphrase for what is not encrypted is refused, new or old", async () => {
  const store = new MemoryObjectStore(parts);
  const directory = await Deno.makeTempDir();
  try {
    const cache = `${directory}/cache`;
    await fails(open(cache, store, passphrase("one")), ExitCode.usage, /would be created is not/);
    assert.equal((await open(cache, store, noKey)).secrets, undefined);
    await fails(open(cache, store, passphrase("one")), ExitCode.refused, /that is not encrypted/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a creation that was interrupted goes on encrypted, with the same passphrase", async () => {
  const store = new MemoryObjectStore(parts);
  const directory = await Deno.makeTempDir();
  try {
    const cache = `${directory}/cache`;
    const put = store.put.bind(store);
    store.put = (key, ...rest) => {
      if (key === DESCRIPTOR_KEY) return Promise.reject(new StoreError("denied", "not now"));
      return put(key, ...rest);
    };
    await fails(open(cache, store, passphrase("one"), true), ExitCode.store, /cannot be written/);
    store.put = put;
    await fails(open(cache, store, passphrase("two")), ExitCode.wrongKey, /passphrase is wrong/);
    const identity = await open(cache, store, passphrase("one"));
    assert.equal(identity.created, true);
    const found = await probe(store);
    assert.ok(found.kind === "found" && found.descriptor.features.includes("encryption"));
    assert.equal(secretId(await open(cache, store, passphrase("one"))), secretId(identity));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("bytes that open a file system are wiped when they have been used", async () => {
  await withEncrypted(async ({ store, cache }) => {
    const bytes = new TextEncoder().encode("one");
    await open(cache, store, takenKey({ kind: "passphrase", bytes }));
    assert.deepEqual([...bytes], [0, 0, 0]);
    const wrong = new TextEncoder().encode("two");
    await assert.rejects(open(cache, store, takenKey({ kind: "passphrase", bytes: wrong })));
    assert.deepEqual([...wrong], [0, 0, 0]);
  });
});

Deno.test("a check names wrapped keys that are damaged or of another file system, and says when none is left", async () => {
  await withEncrypted(async ({ store, descriptor }) => {
    const { fileSystem } = descriptor;
    const faults = async (whose = fileSystem) => {
      const builder = new ReportBuilder({ cache: "", mounted: false });
      const read = () => readWrappedKeys(store);
      await checkKeys({ fileSystem: whose, read }, builder);
      return builder.report.findings.map(({ what }) => what);
    };
    assert.deepEqual(await faults(), []);
    const [other, none] = await faults("00".repeat(16));
    assert.match(other, /^keys\/[0-9a-f]{32}: it belongs to file system /);
    assert.match(none, /no wrapped key can be used/);

    const [key] = await keysOf(store);
    const bytes = await store.get(key);
    await store.put("keys/short", bytes.subarray(1));
    const [short, ...more] = await faults();
    assert.match(short, /^keys\/short: has \d+ bytes, so it is no wrapped key/);
    assert.deepEqual(more, [], "the other one still opens it");
    const damaged = bytes.slice();
    damaged[100] ^= 1;
    await replace(store, key, damaged);
    assert.match((await faults()).join("\n"), /does not have its checksum.*no wrapped key can be/s);
    await replace(store, key, bytes);
    await replace(store, "keys/short", new Uint8Array(0));
    for await (const { key, versionId } of store.listVersions("keys/")) {
      await store.delete(key, versionId);
    }
    assert.match((await faults()).join("\n"), /^no wrapped key can be used/);

    // What a cache has kept is put back, unless it is no key of this file system.
    const put = async (kept: Uint8Array) => {
      await store.put("keys/again", kept);
      return "keys/again";
    };
    for (const kept of [undefined, damaged, bytes.subarray(1)]) {
      const read = () => readWrappedKeys(store);
      assert.deepEqual(await restoreKey({ fileSystem, read, kept, put }), []);
    }
    const read = () => readWrappedKeys(store);
    const [done] = await restoreKey({ fileSystem, read, kept: bytes, put });
    assert.match(done, /^keys: keys\/again was put back/);
    assert.deepEqual(await faults(), []);
  });
});
