import assert from "node:assert/strict";
import { checkAgain, probe } from "../../../src/daemon/identity.ts";
import { LateStore, VerifiedStore } from "../../../src/daemon/verified_store.ts";
import type { CacheDirectory } from "../../../src/daemon/cache_directory.ts";
import { encodeDescriptor } from "../../../src/format/descriptor.ts";
import { DESCRIPTOR_KEY } from "../../../src/format/keys.ts";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { StoreError } from "../../../src/object_store/object_store.ts";
import { systemClock } from "../../../src/runtime/clock.ts";

const ID = "0123456789abcdef0123456789abcdef";
const known = { fileSystem: ID, chunkSize: 4 << 20, encrypted: false };
const cache = { path: "/cache" } as CacheDirectory;

async function bucket(fileSystem: string | undefined): Promise<MemoryObjectStore> {
  const store = new MemoryObjectStore({ clock: systemClock });
  if (fileSystem !== undefined) {
    const created = "2026-01-01T00:00:00Z";
    const bytes = encodeDescriptor({ fileSystem, chunkSize: 4 << 20, features: [], created });
    await store.put(DESCRIPTOR_KEY, bytes);
  }
  return store;
}

Deno.test("a bucket is found, absent, or failed; never confused", async () => {
  assert.equal((await probe(await bucket(ID))).kind, "found");
  assert.equal((await probe(await bucket(undefined))).kind, "absent");
  const failing = new LateStore("file:///x", () => {
    return Promise.reject(new StoreError("no-bucket", "its disk is not mounted"));
  });
  const result = await probe(failing);
  assert.equal(result.kind, "failed");
});

Deno.test("a bucket with another file system, or with none any more, is refused later too", async () => {
  assert.equal(await checkAgain({ cache, store: await bucket(ID) }, known), true);
  await assert.rejects(
    checkAgain({ cache, store: await bucket("f".repeat(32)) }, known),
    /holds file system f+, and \/cache is the cache of 0123/,
  );
  await assert.rejects(
    checkAgain({ cache, store: await bucket(undefined) }, known),
    /no zero\.json any more/,
  );
});

Deno.test("nothing passes a store that began offline before the bucket is known to be right", async () => {
  const inner = await bucket(undefined);
  let answer: () => Promise<boolean> = () => Promise.resolve(false);
  const store = new VerifiedStore(inner, { verified: false, check: () => answer() });
  const put = () => store.put("packs/aa/x", new Uint8Array(1));
  await assert.rejects(put(), (error) => error instanceof StoreError && error.retryable);
  answer = () => Promise.reject(new Error("a foreign bucket"));
  await assert.rejects(put(), (error) => error instanceof StoreError && error.kind === "denied");
  for await (const _ of inner.list("")) assert.fail("something was stored");
  answer = () => Promise.resolve(true);
  await put();
  assert.equal(store.verified, true);
  assert.equal((await inner.head("packs/aa/x")).length, 1);
});
