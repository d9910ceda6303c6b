import assert from "node:assert/strict";
import { LimitedObjectStore } from "../../../src/object_store/limited_object_store.ts";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { defineObjectStoreContract } from "../../contracts/object_store_contract.ts";
import { settle, SimulatedClock } from "../../harness/simulated_clock.ts";

const narrow = { reads: 1, writes: 1, others: 1 };

defineObjectStoreContract("limited store over memory", () => {
  const memory = new MemoryObjectStore({ clock: systemClock });
  const store = new LimitedObjectStore(memory, { clock: systemClock, ...narrow });
  return Promise.resolve({ store, hide: (key) => void memory.hide(key), dispose: () => {} });
}, { largeBytes: 4 * 1024 * 1024 });

/** A store whose puts and gets end when the test says so. */
function held() {
  const clock = new SimulatedClock();
  const memory = new MemoryObjectStore({ clock });
  const running: string[] = [];
  const release: (() => void)[] = [];
  const hold = async (name: string) => {
    running.push(name);
    await new Promise<void>((done) => release.push(done));
  };
  const { put, get } = memory;
  memory.put = async (
    key,
    ...rest
  ) => (await hold(`put ${key}`), await put.call(memory, key, ...rest));
  memory.get = async (
    key,
    ...rest
  ) => (await hold(`get ${key}`), await get.call(memory, key, ...rest));
  return { clock, memory, running, release };
}

Deno.test("so many uploads run at once, the others in order of arrival, and reads pass them", async () => {
  const { clock, memory, running, release } = held();
  const store = new LimitedObjectStore(memory, { clock, reads: 1, writes: 2, others: 1 });
  const puts = ["a", "b", "c", "d"].map((key) => store.put(key, new Uint8Array(1)));
  const read = store.get("a").catch(() => {});
  await settle();
  assert.deepEqual(running, ["put a", "put b", "get a"]);
  release[0]();
  await settle();
  assert.deepEqual(running, ["put a", "put b", "get a", "put c"]);
  release[1]();
  release[2]();
  await settle();
  release.forEach((done) => done());
  await settle();
  release.forEach((done) => done());
  await Promise.all([...puts, read]);
  assert.equal(running[4], "put d");
});

Deno.test("an aborted call leaves the queue, and its place is not lost", async () => {
  const { clock, memory, running, release } = held();
  const store = new LimitedObjectStore(memory, { clock, ...narrow });
  const first = store.put("first", new Uint8Array(1));
  const controller = new AbortController();
  const second = store.put("second", new Uint8Array(1), { signal: controller.signal });
  const third = store.put("third", new Uint8Array(1));
  const rejected = assert.rejects(second, /stop/);
  controller.abort(new Error("stop"));
  await rejected;
  release[0]();
  await first;
  await settle();
  assert.deepEqual(running, ["put first", "put third"]);
  release[1]();
  await third;
});

Deno.test("uploads keep to their rate on average, downloads to theirs", async () => {
  const clock = new SimulatedClock();
  const memory = new MemoryObjectStore({ clock });
  const store = new LimitedObjectStore(memory, {
    clock,
    reads: 8,
    writes: 8,
    others: 1,
    uploadBytesPerSecond: 1000,
    downloadBytesPerSecond: 10_000,
  });
  const puts = Array.from({ length: 11 }, (_, i) => store.put(`${i}`, new Uint8Array(1000)));
  await clock.until(Promise.all(puts));
  assert.equal(clock.monotonicMs(), 10_000);
  const range = { offset: 0, length: 1000 };
  await clock.until(Promise.all(Array.from({ length: 11 }, () => store.get("1", { range }))));
  assert.equal(clock.monotonicMs(), 11_000);
});

Deno.test("another upload rate holds from the next byte on", async () => {
  const clock = new SimulatedClock();
  const memory = new MemoryObjectStore({ clock });
  const store = new LimitedObjectStore(memory, { clock, reads: 1, writes: 8, others: 1 });
  const send = (count: number) =>
    clock.until(
      Promise.all(Array.from({ length: count }, (_, i) => store.put(`${i}`, new Uint8Array(1000)))),
    );
  await send(5);
  assert.equal(clock.monotonicMs(), 0);
  store.setUploadRate(1000);
  await send(3);
  assert.equal(clock.monotonicMs(), 2_000);
  store.setUploadRate(undefined);
  await send(5);
  assert.equal(clock.monotonicMs(), 2_000);
});

Deno.test("a slow consumer of a listing keeps nobody else out", async () => {
  const clock = new SimulatedClock();
  const memory = new MemoryObjectStore({ clock });
  const store = new LimitedObjectStore(memory, { clock, ...narrow });
  for (const key of ["a", "b"]) await store.put(key, new Uint8Array(1));
  for await (const { key, versionId } of store.listVersions("")) await store.delete(key, versionId);
  for await (const { key } of store.list("")) assert.fail(key);
});
