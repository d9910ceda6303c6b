import assert from "node:assert/strict";
import type { FilesystemPort } from "../../../src/filesystem/port.ts";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import type { Tiering } from "../../../src/tiering/context.ts";
import { type BuiltPack, PackUploader } from "../../../src/tiering/pack_uploader.ts";
import type { PlaceOutcome } from "../../../src/tiering/placing.ts";
import { StoreTrouble } from "../../../src/tiering/store_trouble.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

const CHUNK_ROW = 7;

Deno.test("files that joined a pack while others were being bound to it were told that the store had failed", async () => {
  const clock = new SimulatedClock();
  const random = new SeededRandom(1);
  const outcomes: (PlaceOutcome | "waits")[] = [];
  const target = () => {
    const at = outcomes.push("waits") - 1;
    return {
      inode: at + 2,
      index: 0,
      generation: 1,
      length: 100,
      abandoned: false,
      settle: (outcome: PlaceOutcome) => void (outcomes[at] = outcome),
    };
  };
  const pack: BuiltPack = {
    name: random.bytes(16),
    body: random.bytes(200),
    entries: [{ hash: random.bytes(32), offset: 0, stored: 100, length: 100, codec: 0 }],
    targets: [{ target: target(), ordinal: 0 }],
  };
  const join = () => pack.targets.push({ target: target(), ordinal: 0 });
  let staged = 0;
  const filesystem = {
    call: async (command: string, { placements, hashes }: Record<string, unknown[]>) => {
      await Promise.resolve();
      if (command === "matchChunks") return hashes.map(() => CHUNK_ROW);
      // Somebody has the same chunk while the pack is recorded, and again while that one is bound.
      if (++staged <= 3) join();
      return { chunks: [CHUNK_ROW], placed: placements.map(() => true) };
    },
  } as unknown as FilesystemPort;
  const uploader = new PackUploader(
    {
      filesystem,
      store: new MemoryObjectStore({ clock }),
      signal: new AbortController().signal,
      log: () => {},
    } as unknown as Tiering,
    new StoreTrouble({ clock, random }),
  );
  assert.equal(await uploader.upload(pack), true);
  assert.deepEqual(outcomes, [true, true, true, true]);
});
