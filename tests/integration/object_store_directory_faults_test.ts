import assert from "node:assert/strict";
import { UserError } from "../../src/domain/errors.ts";
import { DirectoryErrors } from "../../src/object_store/directory_errors.ts";
import { DirectoryIdentity } from "../../src/object_store/directory_identity.ts";
import { DirectoryObjectStore } from "../../src/object_store/directory_object_store.ts";
import { openObjectStore } from "../../src/object_store/open_store.ts";
import {
  type ObjectStore,
  StoreError,
  type StoreErrorKind,
} from "../../src/object_store/object_store.ts";
import { RetryingObjectStore } from "../../src/object_store/retrying_object_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";

const parts = { clock: systemClock, random: systemRandom };
const body = new Uint8Array([1, 2, 3, 4]);

async function withDirectory(use: (parent: string) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "zero-store-" });
  try {
    await use(parent);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

function fails(kind: StoreErrorKind): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof StoreError, `${error}`);
    assert.equal(error.kind, kind, error.message);
    return true;
  };
}

async function list(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("")) keys.push(key);
  return keys;
}

Deno.test("an empty directory is no store until somebody creates one", () =>
  withDirectory(async (parent) => {
    for (const path of [parent, `${parent}/absent`]) {
      const store = await openObjectStore(`file://${path}`, parts);
      await assert.rejects(store.get("a"), fails("no-bucket"));
      await assert.rejects(store.head("a", { versionId: "0".repeat(32) }), fails("no-bucket"));
      await assert.rejects(store.put("a", body), fails("no-bucket"));
      await assert.rejects(list(store), fails("no-bucket"));
      await assert.rejects(store.delete("a", "0".repeat(32)), fails("no-bucket"));
    }
    assert.deepEqual([...Deno.readDirSync(parent)], []);
    const created = await openObjectStore(`file://${parent}`, { ...parts, create: true });
    await created.put("a", body);
    const again = await openObjectStore(`file://${parent}`, { ...parts, create: true });
    assert.deepEqual(await again.get("a"), body);
  }));

Deno.test("a directory with other files is refused, lost+found is not one", () =>
  withDirectory(async (parent) => {
    await Deno.mkdir(`${parent}/lost+found`);
    await openObjectStore(`file://${parent}`, { ...parts, create: true });
    await Deno.mkdir(`${parent}/photos`);
    await Deno.writeTextFile(`${parent}/photos/me.jpg`, "smile");
    await assert.rejects(
      openObjectStore(`file://${parent}/photos`, { ...parts, create: true }),
      (error) => error instanceof UserError && /is not empty .*me\.jpg/.test(error.message),
    );
  }));

Deno.test("a disk that is not mounted any more is no-bucket, and nothing is written in its place", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/mnt`;
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    const { versionId } = await store.put("packs/ab/one", body);
    await Deno.rename(root, `${parent}/elsewhere`);
    await Deno.mkdir(root); // the empty mount point
    await assert.rejects(store.get("packs/ab/one", { versionId }), fails("no-bucket"));
    await assert.rejects(store.put("packs/ab/two", body), fails("no-bucket"));
    await assert.rejects(store.delete("packs/ab/one", versionId), fails("no-bucket"));
    await assert.rejects(list(store), fails("no-bucket"));
    assert.deepEqual([...Deno.readDirSync(root)], []);
    await Deno.remove(root);
    await Deno.rename(`${parent}/elsewhere`, root);
    assert.deepEqual(await store.get("packs/ab/one", { versionId }), body);
  }));

Deno.test("an object whose disk was unmounted for a moment was said to be missing, and lost for good", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/mnt`;
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    await store.put("packs/one", body);
    const errors = new DirectoryErrors(new DirectoryIdentity(root));
    // As a look that found the empty mount point, before the disk was there again.
    const gone = () => Promise.reject(Object.assign(new Error("ENOENT"), { code: "ENOENT" }));
    const call = { operation: "get", key: "packs/one" };
    const lookFor = (name: string) => async (held: string) => {
      for await (const { name: found } of Deno.readDir(`${held}/packs`)) {
        if (found.startsWith(`${name}@`)) return;
      }
      return await gone();
    };
    await assert.rejects(errors.around(call, gone, lookFor("one")), fails("unavailable"));
    await assert.rejects(errors.around(call, gone, lookFor("two")), fails("missing"));
    await Deno.rename(root, `${parent}/elsewhere`);
    await assert.rejects(errors.around(call, gone, lookFor("one")), fails("no-bucket"));
  }));

Deno.test("a listing shows one disk, also where that one is unmounted and mounted on the way", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/mnt`;
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    const wanted = ["a/1", "b/2", "c/3"];
    for (const key of wanted) await store.put(key, body);
    const seen: string[] = [];
    for await (const { key } of store.list("")) {
      seen.push(key);
      if (seen.length > 1) continue;
      await Deno.rename(root, `${parent}/elsewhere`);
      await Deno.mkdir(root);
    }
    assert.deepEqual(seen, wanted);
    const open = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${name}`);
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return "";
        throw error;
      }
    });
    assert.deepEqual(open.filter((path) => path.startsWith(parent)), []);
  }));

Deno.test("another store in the same place is no-bucket", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/mnt`;
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    const { versionId } = await store.put("one", body);
    await Deno.rename(root, `${parent}/elsewhere`);
    const other = await openObjectStore(`file://${root}`, { ...parts, create: true });
    await other.put("other", body);
    await assert.rejects(store.get("one", { versionId }), fails("no-bucket"));
    await assert.rejects(store.put("two", body), fails("no-bucket"));
    await assert.rejects(list(store), fails("no-bucket"));
  }));

Deno.test("links, pipes and directories in place of an object are refused and not followed", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/store`;
    const secret = `${parent}/secret`;
    await Deno.writeTextFile(secret, "canary");
    await Deno.mkdir(`${parent}/outside`);
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    const versionId = "0".repeat(32);
    await Deno.symlink(secret, `${root}/link@${versionId}`);
    await Deno.mkdir(`${root}/directory@${versionId}`);
    await Deno.symlink(`${parent}/outside`, `${root}/packs`);
    assert.ok(
      (await new Deno.Command("mkfifo", { args: [`${root}/pipe@${versionId}`] }).output()).success,
    );
    for (const key of ["link", "directory", "pipe"]) {
      await assert.rejects(store.get(key, { versionId }), fails("denied"), key);
      await assert.rejects(store.head(key, { versionId }), fails("denied"), key);
    }
    await assert.rejects(store.put("packs/ab/one", body), fails("denied"));
    await assert.rejects(store.get("packs/ab/one"), fails("denied"));
    assert.deepEqual([...Deno.readDirSync(`${parent}/outside`)], []);
    assert.deepEqual(await list(store), []);
    assert.equal(await Deno.readTextFile(secret), "canary");
  }));

Deno.test("objects are readable by their owner only, and nothing temporary stays", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/store`;
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    const { versionId } = await store.put("packs/ab/one", body);
    assert.equal((await Deno.stat(root)).mode! & 0o777, 0o700);
    assert.equal((await Deno.stat(`${root}/packs/ab`)).mode! & 0o777, 0o700);
    assert.equal((await Deno.stat(`${root}/packs/ab/one@${versionId}`)).mode! & 0o777, 0o600);
    const aborted = new AbortController();
    const put = store.put("two", new Uint8Array(32_000_000), { signal: aborted.signal });
    aborted.abort(new Error("stop"));
    await assert.rejects(put, /stop/);
    assert.deepEqual([...Deno.readDirSync(`${root}/.zero-store/tmp`)], []);
  }));

Deno.test("what a writer that died left behind goes after a day, not before", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/store`;
    await openObjectStore(`file://${root}`, { ...parts, create: true });
    await Deno.writeFile(`${root}/.zero-store/tmp/left`, body);
    await openObjectStore(`file://${root}`, parts);
    assert.equal([...Deno.readDirSync(`${root}/.zero-store/tmp`)].length, 1);
    const clock = new SimulatedClock({ wallMs: Date.now() + 25 * 3600_000 });
    await openObjectStore(`file://${root}`, { ...parts, clock });
    assert.deepEqual([...Deno.readDirSync(`${root}/.zero-store/tmp`)], []);
  }));

Deno.test("the newest version stays the newest when the clock is set back", () =>
  withDirectory(async (parent) => {
    const clock = new SimulatedClock({ wallMs: Date.now() });
    const store = await DirectoryObjectStore.open(`${parent}/store`, {
      ...parts,
      clock,
      create: true,
    });
    await store.put("a", new Uint8Array(1));
    clock.setWall(0);
    const last = await store.put("a", new Uint8Array(2));
    assert.equal((await store.head("a")).versionId, last.versionId);
  }));

Deno.test("an object that became shorter is corrupt", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/store`;
    const store = await openObjectStore(`file://${root}`, { ...parts, create: true });
    const { versionId } = await store.put("a", body);
    await Deno.truncate(`${root}/a@${versionId}`, 2);
    const range = { offset: 0, length: 4 };
    await assert.rejects(store.get("a", { versionId, range }), fails("corrupt"));
  }));

Deno.test("errors of the disk have their kind, and none that is not understood is missing", () =>
  withDirectory(async (parent) => {
    const identity = new DirectoryIdentity(parent);
    const errors = new DirectoryErrors(identity);
    const kinds: [string, StoreErrorKind][] = [
      ["ENOSPC", "unavailable"],
      ["EDQUOT", "unavailable"],
      ["EIO", "unavailable"],
      ["EMFILE", "unavailable"],
      ["ESTALE", "unavailable"],
      ["EACCES", "denied"],
      ["EROFS", "denied"],
      ["ELOOP", "denied"],
      ["ENAMETOOLONG", "invalid"],
      ["ENOENT", "no-bucket"],
    ];
    for (const [code, kind] of kinds) {
      const failure = Object.assign(new Error(`${code}: it failed`), { code });
      await assert.rejects(
        errors.around({ operation: "get", key: "a" }, () => Promise.reject(failure)),
        fails(kind),
        code,
      );
    }
  }));

Deno.test("a put whose name could not be made durable is not found by who looks whether it arrived", () =>
  withDirectory(async (parent) => {
    const root = `${parent}/store`;
    let failures = 0;
    const store = await DirectoryObjectStore.open(root, {
      ...parts,
      create: true,
      syncDirectory: (path) => {
        if (failures === 0 || path === root) return Promise.resolve();
        failures--;
        return Promise.reject(Object.assign(new Error("EIO: the disk fails"), { code: "EIO" }));
      },
    });
    await store.put("packs/first", body);
    failures = 1;
    await assert.rejects(store.put("packs/a", body), fails("unavailable"));
    assert.deepEqual(await list(store), ["packs/first"]);
    failures = 1;
    const retrying = new RetryingObjectStore(store, { ...parts, backoff: { baseMs: 1, capMs: 1 } });
    const { versionId } = await retrying.put("packs/b", body);
    assert.equal(failures, 0);
    assert.equal((await store.head("packs/b", { versionId })).length, body.length);
  }));
