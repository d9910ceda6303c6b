import assert from "node:assert/strict";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { MetadataFollower } from "../../../src/tiering/metadata_follower.ts";
import { settle, SimulatedClock } from "../../harness/simulated_clock.ts";

Deno.test("a pack that was found missing while a look was under way was forgotten until the next interval", async () => {
  const clock = new SimulatedClock();
  const store = new MemoryObjectStore({ clock });
  let looks = 0;
  const gate = Promise.withResolvers<void>();
  const list = store.list.bind(store);
  store.list = async function* (...argument) {
    looks++;
    await gate.promise;
    yield* list(...argument);
  };
  const follower = new MetadataFollower({
    store,
    fileSystem: "00112233445566778899aabbccddeeff",
    head: { key: "metadata/x", hash: "00".repeat(32), epoch: 1, sequence: 1 },
    pointMs: undefined,
    clock,
    intervalMs: 60_000,
    show: () => Promise.resolve(),
    log: () => {},
  });
  follower.start();
  await settle();
  assert.equal(looks, 1);
  // What this look lists was listed before the pack went.
  follower.hurry();
  gate.resolve();
  await clock.advance(1_000);
  assert.equal(looks, 2);
  await clock.advance(30_000);
  assert.equal(looks, 2);
  await clock.advance(60_000);
  assert.equal(looks, 3);
  follower.stop();
  await settle();
  assert.equal(clock.pending, 0);
});
