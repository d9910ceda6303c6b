/** The uploader with much to do. Pure, but too long for the unit tier. */
import assert from "node:assert/strict";
import { CHUNK, withEngine } from "../unit/tiering/engine_fixture.ts";

const seconds = (n: number) => n * 1000;

Deno.test("ten thousand small files need at most twenty PUTs", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    for (let inode = 2; inode < 10_002; inode++) filesystem.write(inode, random.bytes(100));
    const result = await clock.until(
      engine.sync({ inodes: "all", signal: new AbortController().signal }),
    );
    assert.equal(result.unsafe, 0);
    assert.ok(filesystem.clean);
    assert.ok(store.puts.length <= 20, `${store.puts.length} PUTs`);
  });
});

Deno.test("ten thousand small files that are merely quiet need at most twenty PUTs too", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    for (let inode = 2; inode < 10_002; inode++) filesystem.write(inode, random.bytes(100));
    await clock.advance(seconds(60));
    assert.ok(filesystem.clean);
    assert.ok(store.puts.length <= 20, `${store.puts.length} PUTs`);
  });
});

Deno.test("a file of 1 GiB goes up in bounded memory, its chunks in order, four packs at a time", async () => {
  const settings = { uploadMemoryBytes: 12 << 20, packBytes: 4 << 20 };
  await withEngine(async ({ clock, filesystem, compute, store, engine, random }) => {
    const chunks = 16_384; // 1 GiB of 64 KiB chunks
    for (let index = 0; index < chunks; index++) filesystem.writeChunk(2, index, CHUNK);
    const stored = random.bytes(CHUNK);
    compute.encode = (job) => {
      const hash = new Uint8Array(32);
      new DataView(hash.buffer).setUint32(0, job.offset / CHUNK);
      // Each its own bytes: whoever builds the pack takes them over, and frees them.
      const own = stored.slice();
      return Promise.resolve({ kind: "chunk", hash, stored: own, codec: 0, length: CHUNK });
    };
    let underWay = 0;
    let most = 0;
    store.put = async (key, body) => {
      store.puts.push({ key, bytes: body.length });
      most = Math.max(most, ++underWay);
      await new Promise<void>((done) => clock.after(1000, done));
      underWay--;
      return { versionId: "v", storeTimeMs: undefined };
    };
    store.head = (key) => {
      const bytes = store.puts.find((put) => put.key === key)!.bytes;
      return Promise.resolve({ key, length: bytes, versionId: "v", modifiedMs: 0 });
    };
    await clock.advance(seconds(400));
    assert.ok(filesystem.clean);
    const { peakMemoryBytes } = (await engine.status()).upload;
    assert.ok(peakMemoryBytes <= settings.uploadMemoryBytes, `${peakMemoryBytes}`);
    assert.ok(most >= 2 && most <= 4, `${most} PUTs at a time`);
    const order = filesystem.locations.map((at) => new DataView(at.hash.buffer).getUint32(0));
    const sortedWithinPacks = filesystem.locations.every((at, i) =>
      at.ordinal === 0 || order[i] === order[i - 1] + 1
    );
    assert.ok(sortedWithinPacks);
    assert.equal(store.puts.length, chunks * CHUNK / settings.packBytes);
  }, { settings });
});
