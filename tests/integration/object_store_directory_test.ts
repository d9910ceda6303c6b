import { DirectoryObjectStore } from "../../src/object_store/directory_object_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { defineObjectStoreContract } from "../contracts/object_store_contract.ts";

const parts = { clock: systemClock, random: systemRandom };

// Deviations: a file name has 255 bytes, so a segment of a key has fewer than B2 allows; and there
// are no hide markers, because nothing but Zero deletes here.
defineObjectStoreContract("directory store", async () => {
  const parent = await Deno.makeTempDir({ prefix: "zero-store-" });
  const store = await DirectoryObjectStore.open(`${parent}/store`, { ...parts, create: true });
  return {
    store,
    removeBucket: () => Deno.rename(`${parent}/store`, `${parent}/elsewhere`),
    dispose: () => Deno.remove(parent, { recursive: true }),
  };
}, { refusedKeys: (key) => key.split("/").some((segment) => encodeURI(segment).length > 200) });
