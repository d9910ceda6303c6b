/**
 * What every object store promises (src/object_store/object_store.ts), as tests that each
 * implementation and each wrapper runs. An implementation that cannot keep a promise says so in its
 * `deviations`, with the reason beside it in its own test file.
 */
import assert from "node:assert/strict";
import {
  type ObjectInfo,
  type ObjectStore,
  StoreError,
} from "../../src/object_store/object_store.ts";

export interface StoreUnderTest {
  store: ObjectStore;
  /** Makes the bucket itself vanish; left out where that cannot be done. */
  removeBucket?: () => void | Promise<void>;
  /** Puts a hide marker over a key; left out where there are none. */
  hide?: (key: string) => void | Promise<void>;
  dispose: () => void | Promise<void>;
}

export interface ContractOptions {
  /** Size of the large object, bytes; 16 MiB, a pack, unless set. */
  largeBytes?: number;
  /** Keys that this store does not take, with the reason in the caller's comment. */
  refusedKeys?: (key: string) => boolean;
  /** Why the suite cannot run here; its tests are then registered as ignored under this reason. */
  unavailable?: string;
}

/** Keys that B2 takes and that are easy to get wrong on the way. */
const oddKeys = [
  "plain",
  "a b",
  "a+b",
  "100%",
  "percent%2Fslash",
  "hash#mark?query&amp=<xml>\"'",
  "@at@sign",
  ".hidden/.too",
  "colon:semi;comma,equals=tilde~",
  "ünïcödé/日本/😀",
  "e\u0301 is not \u00e9",
  "a/b",
  "a",
  "a-b",
  "a.b",
  "back\\slash",
  "k".repeat(190),
  "deep/".repeat(40) + "end",
  "x".repeat(1000),
];

function bytesOf(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function failsWith(kind: StoreError["kind"]): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof StoreError, `a StoreError was expected, not ${error}`);
    assert.equal(error.kind, kind, error.message);
    return true;
  };
}

function isNear(info: ObjectInfo, nowMs: number): void {
  assert.ok(Math.abs(info.modifiedMs - nowMs) < 120_000, `modified at ${info.modifiedMs}`);
}

/** Registers the suite for one store. `open` makes a fresh, empty one for each test. */
export function defineObjectStoreContract(
  name: string,
  open: () => Promise<StoreUnderTest>,
  options: ContractOptions = {},
): void {
  const { largeBytes = 16 * 1024 * 1024, refusedKeys = () => false, unavailable } = options;
  const test = (promise: string, check: (under: StoreUnderTest) => Promise<void>) =>
    Deno.test({
      name: unavailable === undefined
        ? `${name}: ${promise}`
        : `${name}: ${promise} (skipped: ${unavailable})`,
      ignore: unavailable !== undefined,
      fn: async () => {
        const under = await open();
        try {
          await check(under);
        } finally {
          under.store.close();
          await under.dispose();
        }
      },
    });

  test("what was put comes back, whole and in part", async ({ store }) => {
    const body = bytesOf(100_000, 1);
    const { versionId, storeTimeMs } = await store.put("packs/ab/one", body);
    assert.notEqual(versionId, "");
    if (storeTimeMs !== undefined) assert.ok(Math.abs(storeTimeMs - Date.now()) < 120_000);
    assert.deepEqual(await store.get("packs/ab/one"), body);
    assert.deepEqual(await store.get("packs/ab/one", { versionId }), body);
    for (const [offset, length] of [[0, 1], [0, 100_000], [99_999, 1], [1234, 5678]]) {
      assert.deepEqual(
        await store.get("packs/ab/one", { versionId, range: { offset, length } }),
        body.subarray(offset, offset + length),
      );
    }
  });

  test("the store keeps its own copy of what was put and of what it gives", async ({ store }) => {
    const body = bytesOf(1000, 2);
    await store.put("copy", body);
    const expected = body.slice();
    body.fill(0);
    const first = await store.get("copy");
    assert.deepEqual(first, expected);
    first.fill(0);
    assert.deepEqual(await store.get("copy"), expected);
  });

  test("a part of a larger buffer is stored as that part", async ({ store }) => {
    const buffer = bytesOf(3000, 3);
    await store.put("view", buffer.subarray(1000, 2000));
    assert.deepEqual(await store.get("view"), buffer.slice(1000, 2000));
  });

  test("an object of no bytes is an object", async ({ store }) => {
    const { versionId } = await store.put("empty", new Uint8Array(0));
    assert.equal((await store.head("empty")).length, 0);
    assert.equal((await store.get("empty", { versionId })).length, 0);
    assert.equal((await store.get("empty", { range: { offset: 0, length: 0 } })).length, 0);
  });

  test("a range of no bytes is empty, and beyond the end is corrupt", async ({ store }) => {
    await store.put("ten", bytesOf(10, 4));
    assert.equal((await store.get("ten", { range: { offset: 10, length: 0 } })).length, 0);
    for (const range of [[0, 11], [9, 2], [10, 1], [11, 0], [5000, 5]]) {
      await assert.rejects(
        store.get("ten", { range: { offset: range[0], length: range[1] } }),
        failsWith("corrupt"),
        `range ${range}`,
      );
    }
  });

  test("a range that is none is invalid", async ({ store }) => {
    await store.put("ten", bytesOf(10, 4));
    for (const range of [[-1, 2], [0, -1], [0.5, 1], [NaN, 1]]) {
      await assert.rejects(
        store.get("ten", { range: { offset: range[0], length: range[1] } }),
        failsWith("invalid"),
      );
    }
  });

  test("a pack of 16 MiB survives the way there and back", async ({ store }) => {
    const body = bytesOf(largeBytes, 5);
    const { versionId } = await store.put("large", body);
    const back = await store.get("large", { versionId });
    assert.equal(back.length, body.length);
    assert.ok(back.every((byte, index) => byte === body[index]), "the bytes differ");
    const range = { offset: largeBytes - 4_000_000, length: 4_000_000 };
    const part = await store.get("large", { versionId, range });
    assert.ok(part.every((byte, index) => byte === body[range.offset + index]));
  });

  test("head tells length, version and time", async ({ store }) => {
    const { versionId } = await store.put("seen", bytesOf(321, 6));
    for (const info of [await store.head("seen"), await store.head("seen", { versionId })]) {
      assert.equal(info.key, "seen");
      assert.equal(info.length, 321);
      assert.equal(info.versionId, versionId);
      isNear(info, Date.now());
    }
  });

  test("what never was is missing", async ({ store }) => {
    await store.put("there", bytesOf(5, 7));
    await assert.rejects(store.get("not there"), failsWith("missing"));
    await assert.rejects(store.get("there/not"), failsWith("missing"));
    await assert.rejects(store.head("not there"), failsWith("missing"));
    await assert.rejects(
      store.get("not there", { range: { offset: 0, length: 0 } }),
      failsWith("missing"),
    );
    assert.deepEqual(await collect(store.list("not there")), []);
  });

  test("a deleted version is missing, and deleting it again succeeds", async ({ store }) => {
    const { versionId } = await store.put("gone", bytesOf(5, 8));
    await store.delete("gone", versionId);
    await assert.rejects(store.get("gone"), failsWith("missing"));
    await assert.rejects(store.get("gone", { versionId }), failsWith("missing"));
    await assert.rejects(store.head("gone", { versionId }), failsWith("missing"));
    assert.deepEqual(await collect(store.listVersions("gone")), []);
    await store.delete("gone", versionId);
    await store.delete("gone", versionId);
  });

  test("versions of one key are kept apart, and deleted exactly", async ({ store }) => {
    const first = await store.put("twice", bytesOf(10, 9));
    const second = await store.put("twice", bytesOf(20, 10));
    assert.notEqual(first.versionId, second.versionId);
    assert.equal((await store.get("twice")).length, 20);
    assert.equal((await store.get("twice", { versionId: first.versionId })).length, 10);
    const listed = await collect(store.listVersions("twice"));
    assert.deepEqual(
      listed.map(({ key, length, latest, marker }) => ({ key, length, latest, marker })),
      [
        { key: "twice", length: 20, latest: true, marker: false },
        { key: "twice", length: 10, latest: false, marker: false },
      ],
    );
    assert.deepEqual(listed.map((each) => each.versionId), [second.versionId, first.versionId]);
    assert.equal((await collect(store.list("twice"))).length, 1);
    await store.delete("twice", first.versionId);
    assert.equal((await store.head("twice")).versionId, second.versionId);
    assert.equal((await collect(store.listVersions("twice"))).length, 1);
  });

  test("deleting the newest version brings the one before back", async ({ store }) => {
    const first = await store.put("back", bytesOf(10, 11));
    const second = await store.put("back", bytesOf(20, 12));
    await store.delete("back", second.versionId);
    assert.equal((await store.head("back")).versionId, first.versionId);
    assert.equal((await store.get("back")).length, 10);
  });

  test("a hidden key is missing, its versions are not", async ({ store, hide }) => {
    if (hide === undefined) return;
    const { versionId } = await store.put("hidden", bytesOf(10, 13));
    await hide("hidden");
    await assert.rejects(store.get("hidden"), failsWith("missing"));
    await assert.rejects(store.head("hidden"), failsWith("missing"));
    assert.deepEqual(await collect(store.list("")), []);
    assert.equal((await store.get("hidden", { versionId })).length, 10);
    const listed = await collect(store.listVersions(""));
    assert.deepEqual(listed.map(({ marker, latest }) => ({ marker, latest })), [
      { marker: true, latest: true },
      { marker: false, latest: false },
    ]);
    const marker = listed[0].versionId;
    await assert.rejects(store.get("hidden", { versionId: marker }), failsWith("missing"));
    await assert.rejects(store.head("hidden", { versionId: marker }), failsWith("missing"));
    await store.delete("hidden", marker);
    assert.equal((await store.get("hidden")).length, 10);
  });

  test("keys with odd characters come back as they are, in byte order", async ({ store }) => {
    const keys = oddKeys.filter((key) => !refusedKeys(key));
    for (const [index, key] of keys.entries()) await store.put(key, bytesOf(index + 1, index));
    for (const [index, key] of keys.entries()) {
      assert.deepEqual(await store.get(key), bytesOf(index + 1, index), key);
      assert.equal((await store.head(key)).length, index + 1, key);
    }
    const encoder = new TextEncoder();
    const inOrder = [...keys].sort((a, b) => {
      const [x, y] = [encoder.encode(a), encoder.encode(b)];
      for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] - y[i];
      return x.length - y.length;
    });
    assert.deepEqual((await collect(store.list(""))).map((each) => each.key), inOrder);
    assert.deepEqual((await collect(store.listVersions(""))).map((each) => each.key), inOrder);
  });

  test("keys that no store can keep apart are invalid", async ({ store }) => {
    const bad = [
      "",
      "/a",
      "a/",
      "a//b",
      ".",
      "..",
      "a/../b",
      "a\nb",
      "a\0",
      "\ud800",
      "x".repeat(1025),
    ];
    for (const key of bad) {
      await assert.rejects(async () => await store.put(key, bytesOf(1, 1)), failsWith("invalid"));
      await assert.rejects(async () => await store.get(key), failsWith("invalid"));
    }
  });

  test("a listing shows what begins with the prefix, and starts where it is told", async ({ store }) => {
    const keys = ["a/1", "a/2", "a/20", "a/3", "ab", "b/1"];
    for (const key of keys) await store.put(key, bytesOf(3, 3));
    const names = async (prefix: string, startAfter?: string) =>
      (await collect(store.list(prefix, { startAfter }))).map((each) => each.key);
    assert.deepEqual(await names(""), keys);
    assert.deepEqual(await names("a/"), ["a/1", "a/2", "a/20", "a/3"]);
    assert.deepEqual(await names("a"), ["a/1", "a/2", "a/20", "a/3", "ab"]);
    assert.deepEqual(await names("a/2"), ["a/2", "a/20"]);
    assert.deepEqual(await names("a/", "a/2"), ["a/20", "a/3"]);
    assert.deepEqual(await names("", "a/3"), ["ab", "b/1"]);
    assert.deepEqual(await names("", "zzz"), []);
    const versions = await collect(store.listVersions("a/", { startAfter: "a/2" }));
    assert.deepEqual(versions.map((each) => each.key), ["a/20", "a/3"]);
    const [first] = await collect(store.list("a/1"));
    const { modifiedMs, ...described } = await store.head("a/1");
    assert.deepEqual(first, { ...described, modifiedMs: first.modifiedMs });
    // HTTP's Last-Modified has whole seconds.
    assert.ok(Math.abs(first.modifiedMs - modifiedMs) < 1000);
  });

  test("a listing that is left early ends there", async ({ store }) => {
    for (const key of ["1", "2", "3"]) await store.put(key, bytesOf(1, 1));
    for await (const { key } of store.list("")) {
      assert.equal(key, "1");
      break;
    }
    assert.equal((await store.head("3")).length, 1);
  });

  test("many calls at once do not disturb each other", async ({ store }) => {
    const keys = Array.from({ length: 24 }, (_, index) => `many/${index % 5}/${index}`);
    await Promise.all(keys.map((key, index) => store.put(key, bytesOf(1000 + index, index))));
    const bodies = await Promise.all(keys.map((key) => store.get(key)));
    bodies.forEach((body, index) => assert.deepEqual(body, bytesOf(1000 + index, index)));
    assert.equal((await collect(store.list("many/"))).length, keys.length);
    const versions = await collect(store.listVersions("many/"));
    await Promise.all(versions.map(({ key, versionId }) => store.delete(key, versionId)));
    assert.deepEqual(await collect(store.list("")), []);
  });

  test("an aborted call rejects with the signal's reason", async ({ store }) => {
    await store.put("here", bytesOf(10, 1));
    const reason = new Error("nobody waits any more");
    const signal = AbortSignal.abort(reason);
    const calls = [
      () => store.put("new", bytesOf(10, 1), { signal }),
      () => store.get("here", { signal }),
      () => store.head("here", { signal }),
      () => store.delete("here", "v", { signal }),
      () => collect(store.list("", { signal })),
      () => collect(store.listVersions("", { signal })),
    ];
    for (const call of calls) {
      await assert.rejects(async () => await call(), (error) => error === reason);
    }
    const during = new AbortController();
    const put = store.put("during", bytesOf(largeBytes, 1), { signal: during.signal });
    during.abort(reason);
    await assert.rejects(put, (error) => error === reason);
    assert.equal((await store.get("here")).length, 10);
  });

  test("a closed store rejects every call", async ({ store }) => {
    await store.put("here", bytesOf(10, 1));
    store.close();
    await assert.rejects(async () => await store.get("here"), { name: "AbortError" });
    await assert.rejects(async () => await store.put("x", bytesOf(1, 1)), { name: "AbortError" });
    await assert.rejects(async () => await collect(store.list("")), { name: "AbortError" });
  });

  test("a bucket that is gone never passes for missing objects", async ({ store, removeBucket }) => {
    if (removeBucket === undefined) return;
    const { versionId } = await store.put("here", bytesOf(10, 1));
    await removeBucket();
    const calls = [
      () => store.get("here"),
      () => store.get("here", { versionId }),
      () => store.head("here"),
      () => store.head("here", { versionId }),
      () => store.put("more", bytesOf(1, 1)),
      () => store.delete("here", versionId),
      () => collect(store.list("")),
      () => collect(store.listVersions("")),
    ];
    for (const call of calls) {
      await assert.rejects(async () => await call(), failsWith("no-bucket"));
    }
  });
}
