import assert from "node:assert/strict";
import { sleep } from "../../../src/runtime/clock.ts";
import { CHUNK, evictAll, failing, type Fixture, withEngine } from "./engine_fixture.ts";

const seconds = (n: number) => n * 1000;

/** One evicted file with `chunks` chunks, all in one pack. */
async function evicted(fixture: Fixture, chunks: number): Promise<void> {
  fixture.filesystem.write(2, fixture.random.bytes(chunks * CHUNK));
  await evictAll(fixture);
  assert.equal(fixture.filesystem.used, 0);
}

Deno.test("a chunk that a reader wants is fetched, verified and installed", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store, engine } = fixture;
    await evicted(fixture, 3);
    filesystem.wantChunk(2, 1);
    await clock.advance(0);
    assert.equal(filesystem.installed.length, 1);
    assert.equal(store.gets.length, 1);
    assert.equal(store.gets[0].length, filesystem.locations[1].stored);
    const { recall } = await engine.status();
    assert.equal(recall.recalled, 1);
    assert.equal(recall.waiting, 0);
  });
});

Deno.test("neighbours that are wanted together come with one GET, a reader's chunk comes alone", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store } = fixture;
    await evicted(fixture, 6);
    filesystem.wantChunk(2, 0, "reader");
    for (let index = 1; index < 6; index++) filesystem.wantChunk(2, index, "ahead");
    await clock.advance(10);
    assert.equal(filesystem.installed.length, 6);
    assert.deepEqual(store.gets.map((get) => get.length / CHUNK), [1, 5]);
  });
});

Deno.test("two files that want the same chunk share one download", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store, random } = fixture;
    const content = random.bytes(CHUNK);
    filesystem.write(2, content);
    filesystem.write(3, content);
    await evictAll(fixture);
    filesystem.wantChunk(2, 0);
    filesystem.wantChunk(3, 0);
    await clock.advance(0);
    assert.equal(store.gets.length, 1);
    assert.deepEqual(filesystem.installed.map((each) => each.inode), [2, 3]);
  });
});

Deno.test("what nobody waits for takes half of the downloads, and readers go first", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store } = fixture;
    await evicted(fixture, 40);
    store.onGet = () => sleep(clock, 1000);
    for (let index = 0; index < 20; index += 2) filesystem.wantChunk(2, index, "ahead");
    await clock.advance(10);
    assert.equal(store.gets.length, 4);
    for (let index = 20; index < 40; index += 2) filesystem.wantChunk(2, index, "reader");
    await clock.advance(10);
    assert.equal(store.gets.length, 8);
    const last = store.gets.slice(4).map((get) => get.offset);
    const readers = filesystem.locations.slice(20).map((location) => location.offset);
    assert.ok(last.every((offset) => readers.includes(offset)));
    await clock.advance(seconds(10));
    assert.equal(filesystem.installed.length, 20);
  });
});

Deno.test("readahead that gets a reader overtakes what still has none", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store } = fixture;
    await evicted(fixture, 40);
    store.onGet = () => sleep(clock, 1000);
    for (let index = 0; index < 40; index += 2) filesystem.wantChunk(2, index, "ahead");
    await clock.advance(10);
    filesystem.emit({ event: "recallUrgent", inode: 2, incarnation: 1, index: 38 });
    await clock.advance(10);
    assert.equal(store.gets.length, 5);
    assert.equal(store.gets[4].offset, filesystem.locations[38].offset);
  });
});

Deno.test("a recall that nobody waits for any more is aborted, one that somebody shares is not", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store, random, engine } = fixture;
    const content = random.bytes(CHUNK);
    filesystem.write(2, content);
    filesystem.write(3, content);
    await evictAll(fixture);
    let aborted = 0;
    store.onGet = async (_key, { signal }) => {
      signal!.addEventListener("abort", () => aborted++);
      await sleep(clock, 1000, signal);
    };
    const cancel = (inode: number) =>
      filesystem.emit({ event: "recallCancelled", inode, incarnation: 1, index: 0 });
    filesystem.wantChunk(2, 0);
    filesystem.wantChunk(3, 0);
    await clock.advance(10);
    cancel(2);
    await clock.advance(10);
    assert.equal(aborted, 0);
    cancel(3);
    await clock.advance(10);
    assert.equal(aborted, 1);
    await clock.advance(seconds(5));
    assert.equal(filesystem.installed.length + filesystem.failures.length, 0);
    assert.equal((await engine.status()).recall.waiting, 0);
    // Wanted again, it comes.
    filesystem.wantChunk(2, 0);
    await clock.advance(seconds(5));
    assert.equal(filesystem.installed.length, 1);
  });
});

Deno.test("law 4: wrong bytes are fetched again and never installed", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store, log } = fixture;
    await evicted(fixture, 1);
    let wrong = 2;
    store.afterGet = (bytes) => {
      if (wrong-- > 0) bytes[100] ^= 1;
    };
    filesystem.wantChunk(2, 0);
    await clock.advance(seconds(1));
    assert.equal(store.gets.length, 3);
    assert.equal(filesystem.installed.length, 1);
    assert.equal(log.filter((line) => /wrong bytes/.test(line.message)).length, 2);
  });
});

Deno.test("law 8: bytes that stay wrong are a failed recall, not a lost chunk", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store } = fixture;
    await evicted(fixture, 2);
    store.afterGet = (bytes) => void (bytes[100] ^= 1);
    filesystem.wantChunk(2, 0);
    await clock.advance(seconds(1));
    assert.equal(store.gets.length, 3);
    assert.equal(filesystem.installed.length, 0);
    assert.equal(filesystem.failures.length, 1);
    assert.equal(filesystem.failures[0].lost, false);
    assert.match(filesystem.failures[0].reason, /other bytes/);
  });
});

Deno.test("one damaged chunk among neighbours costs the others nothing", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store } = fixture;
    await evicted(fixture, 4);
    store.afterGet = (bytes) => {
      if (bytes.length > CHUNK) bytes[CHUNK + 5] ^= 1;
    };
    for (let index = 0; index < 4; index++) filesystem.wantChunk(2, index, "bulk");
    await clock.advance(seconds(1));
    assert.equal(filesystem.installed.length, 4);
    assert.equal(store.gets.length, 2);
  });
});

Deno.test("law 8: only a missing version is a lost chunk", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store } = fixture;
    await evicted(fixture, 1);
    const [pack] = filesystem.packs;
    await store.inner.delete(store.puts[0].key, pack.versionId);
    filesystem.wantChunk(2, 0);
    await clock.advance(seconds(1));
    assert.equal(filesystem.failures.length, 1);
    assert.equal(filesystem.failures[0].lost, true);
  });
});

Deno.test("law 8: 403 is not absence, and neither is a store that is down: it is asked as long as somebody waits", async () => {
  for (const failure of [failing.denied, failing.unavailable]) {
    await withEngine(async (fixture) => {
      const { clock, filesystem, store, engine } = fixture;
      await evicted(fixture, 1);
      store.onGet = () => {
        throw failure();
      };
      filesystem.wantChunk(2, 0);
      await clock.advance(seconds(300));
      assert.equal(filesystem.failures.length, 0);
      assert.ok(store.gets.length > 10 && store.gets.length < 100, `${store.gets.length} GETs`);
      const status = await engine.status();
      assert.equal(status.trouble?.kind, failure().kind);
      filesystem.emit({ event: "recallCancelled", inode: 2, incarnation: 1, index: 0 });
      const asked = store.gets.length;
      await clock.advance(seconds(300));
      assert.equal(store.gets.length, asked);
      store.onGet = () => {};
      filesystem.wantChunk(2, 0);
      await clock.advance(seconds(1));
      assert.equal(filesystem.installed.length, 1);
      assert.equal((await engine.status()).trouble, undefined);
    });
  }
});

Deno.test("a reader does not wait out the pause of a recall that failed before he came", async () => {
  for (const joins of ["the same place", "another file with the same chunk"] as const) {
    await withEngine(async (fixture) => {
      const { clock, filesystem, store, random } = fixture;
      const content = random.bytes(CHUNK);
      filesystem.write(2, content);
      filesystem.write(3, content);
      await evictAll(fixture);
      store.onGet = () => {
        throw failing.unavailable();
      };
      filesystem.wantChunk(2, 0, "bulk");
      await clock.advance(seconds(120));
      store.onGet = () => {};
      const asked = store.gets.length;
      const place = { inode: 2, incarnation: 1, index: 0 };
      if (joins === "the same place") filesystem.emit({ event: "recallUrgent", ...place });
      else filesystem.wantChunk(3, 0, "reader");
      await clock.advance(0);
      assert.equal(store.gets.length, asked + 1, joins);
      assert.ok(filesystem.installed.length > 0, joins);
    });
  }
});

Deno.test("stopping ends downloads, timers and waiting, and leaves nothing behind", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, store, engine } = fixture;
    await evicted(fixture, 10);
    store.onGet = (_key, { signal }) => sleep(clock, seconds(3600), signal);
    for (let index = 0; index < 10; index++) filesystem.wantChunk(2, index);
    await clock.advance(10);
    const startedMs = clock.monotonicMs();
    await clock.until(engine.stop());
    assert.ok(clock.monotonicMs() - startedMs < 5000);
    await clock.advance(0);
    assert.equal(clock.pending, 0);
  });
});
