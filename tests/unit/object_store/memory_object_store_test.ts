import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { defineObjectStoreContract } from "../../contracts/object_store_contract.ts";

// No removeBucket: there is nothing that could vanish.
defineObjectStoreContract("memory store", () => {
  const store = new MemoryObjectStore({ clock: systemClock });
  return Promise.resolve({ store, hide: (key) => void store.hide(key), dispose: () => {} });
}, { largeBytes: 4 * 1024 * 1024 });
