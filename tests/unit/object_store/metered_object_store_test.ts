import assert from "node:assert/strict";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { MeteredObjectStore } from "../../../src/object_store/metered_object_store.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { defineObjectStoreContract } from "../../contracts/object_store_contract.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

defineObjectStoreContract("metered store over memory", () => {
  const memory = new MemoryObjectStore({ clock: systemClock });
  const store = new MeteredObjectStore(memory);
  return Promise.resolve({ store, hide: (key) => void memory.hide(key), dispose: () => {} });
}, { largeBytes: 4 * 1024 * 1024 });

Deno.test("calls, classes, bytes and failures are counted, listings by the page", async () => {
  const store = new MeteredObjectStore(new MemoryObjectStore({ clock: new SimulatedClock() }));
  const { versionId } = await store.put("a", new Uint8Array(1000));
  await store.get("a", { range: { offset: 0, length: 300 } });
  await store.head("a");
  await assert.rejects(store.get("nothing"));
  for await (const _ of store.list(""));
  await store.delete("a", versionId);
  assert.deepEqual(store.meter, {
    calls: { put: 1, get: 2, head: 1, list: 1, delete: 1 },
    classes: { a: 2, b: 3, c: 1 },
    failures: { missing: 1, denied: 0, "no-bucket": 0, unavailable: 0, corrupt: 0, invalid: 0 },
    bytesUp: 1000,
    bytesDown: 300,
  });
  for (let i = 0; i < 2500; i++) await store.put(`${i}`, new Uint8Array(0));
  for await (const _ of store.listVersions(""));
  assert.equal(store.meter.calls.list, 4);
});
