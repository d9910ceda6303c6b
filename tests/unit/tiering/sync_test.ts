import assert from "node:assert/strict";
import type { SyncProgress } from "../../../src/tiering/sync_run.ts";
import { CHUNK, failing, withEngine } from "./engine_fixture.ts";

const seconds = (n: number) => n * 1000;
const FOREVER = new AbortController().signal;

Deno.test("a sync does not wait for quiet time or for packs to fill", async () => {
  await withEngine(async ({ clock, random, filesystem, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    const startedMs = clock.monotonicMs();
    const result = await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    assert.deepEqual(result, { unsafe: 0, open: [] });
    assert.ok(filesystem.clean);
    assert.ok(clock.monotonicMs() - startedMs < 1000);
  });
});

Deno.test("a sync ends although programs write more files than it can list, and takes those of a wrong clock", async () => {
  await withEngine(async ({ clock, random, filesystem, engine }) => {
    const content = random.bytes(CHUNK);
    for (let inode = 2; inode < 300; inode++) filesystem.write(inode, content);
    // Written before the clock was set back by an hour.
    filesystem.write(300, content).changedMs += seconds(3600);
    const call = filesystem.call.bind(filesystem);
    let pages = 0;
    filesystem.call = async (command, argument) => {
      if (command === "dirtyFiles") {
        assert.ok(pages++ < 100, "the sync lists files for ever");
        clock.setWall(clock.wallMs() + 10);
        const first = 1000 * pages;
        for (let inode = first; inode < first + 256; inode++) filesystem.write(inode, content);
      }
      return await call(command, argument);
    };
    await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    for (let inode = 2; inode <= 300; inode++) assert.equal(filesystem.file(inode).dirty, false);
  });
});

Deno.test("a sync of named files leaves others alone", async () => {
  await withEngine(async ({ clock, random, filesystem, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.write(3, random.bytes(CHUNK));
    await clock.until(engine.sync({ inodes: [2, 77], signal: FOREVER }));
    assert.equal(filesystem.file(2).dirty, false);
    assert.equal(filesystem.file(3).dirty, true);
  });
});

Deno.test("a file that is open for writing is staged, reported and not waited for", async () => {
  await withEngine(async ({ clock, random, filesystem, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.openForWriting(2);
    filesystem.write(3, random.bytes(CHUNK));
    const result = await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    assert.deepEqual(result, { unsafe: 1, open: [2] });
    assert.equal(filesystem.file(3).dirty, false);
    assert.notEqual(filesystem.file(2).chunks.get(0)!.chunk, undefined);
  });
});

Deno.test("a file that changes while it is synced is tried again; one that never stops is reported", async () => {
  await withEngine(async ({ clock, random, filesystem, compute, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.write(3, random.bytes(CHUNK));
    let changes = 0;
    compute.onEncode = (job) => {
      if (job.path === "content/3") filesystem.writeChunk(3, 0, random.bytes(CHUNK));
      if (job.path === "content/2" && changes++ === 0) {
        filesystem.writeChunk(2, 0, random.bytes(CHUNK));
      }
    };
    const result = await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    assert.deepEqual(result, { unsafe: 1, open: [] });
    assert.equal(filesystem.file(2).dirty, false);
    assert.equal(filesystem.file(3).dirty, true);
  });
});

Deno.test("a sync waits for a store that fails, says so, and ends when its caller has had enough", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    store.onPut = () => {
      throw failing.unavailable();
    };
    const caller = new AbortController();
    const progress: SyncProgress[] = [];
    const onProgress = (each: SyncProgress) => void progress.push(each);
    const sync = engine.sync({ inodes: "all", signal: caller.signal, onProgress });
    const ended = sync.then(() => "done", (reason) => String(reason));
    await clock.advance(seconds(120));
    assert.match(progress.at(-1)!.trouble!, /503/);
    assert.equal(progress.at(-1)!.waiting, 1);
    caller.abort("enough");
    assert.equal(await clock.until(ended), "enough");
    const again = engine.sync({ inodes: "all", signal: FOREVER });
    store.onPut = () => {};
    assert.equal((await clock.until(again)).unsafe, 0);
    assert.ok(filesystem.clean);
  });
});

Deno.test("paused uploads wait, a sync goes on", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    engine.pauseUploads();
    filesystem.write(2, random.bytes(CHUNK));
    await clock.advance(seconds(60));
    assert.equal(store.puts.length, 0);
    assert.match((await engine.status()).waiting.join(), /paused/);
    await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    assert.ok(filesystem.clean);
    filesystem.write(3, random.bytes(CHUNK));
    engine.resumeUploads();
    await clock.advance(seconds(10));
    assert.ok(filesystem.clean);
  });
});

Deno.test("status tells how much is unsafe, how fast it goes and how long it takes", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    for (let inode = 2; inode < 42; inode++) filesystem.write(inode, random.bytes(16 * CHUNK));
    store.onPut = () => new Promise<void>((done) => clock.after(4000, done));
    await clock.advance(seconds(17));
    const status = await engine.status();
    assert.ok(status.unsafeFiles > 0 && status.unsafeFiles < 40);
    assert.ok(status.upload.bytesPerSecond > CHUNK);
    assert.ok(status.etaMs! > 0);
    assert.ok(status.upload.packsUnderWay > 0);
    await clock.advance(seconds(100));
    assert.equal((await engine.status()).etaMs, 0);
  }, { settings: { packBytes: 2 << 20 } });
});

Deno.test("stopping in the middle of uploads leaves no timer, and the files stay dirty", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    for (let inode = 2; inode < 200; inode++) filesystem.write(inode, random.bytes(CHUNK));
    store.onPut = () => new Promise<void>((done) => clock.after(60_000, done));
    await clock.advance(seconds(7));
    await clock.until(engine.stop());
    assert.ok(!filesystem.clean);
    await clock.advance(seconds(70));
    assert.equal(clock.pending, 0);
    assert.equal(filesystem.packs.length, 0);
  }, { settings: { packBytes: 1 << 20 } });
});

Deno.test("a sync asks a store that refused us at once, since somebody may just have mended it", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    store.onPut = () => {
      throw failing.denied();
    };
    filesystem.write(2, random.bytes(CHUNK));
    await clock.advance(seconds(20));
    assert.equal((await engine.status()).trouble?.kind, "denied");
    store.onPut = () => {};
    const startedMs = clock.monotonicMs();
    await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    assert.ok(filesystem.clean);
    assert.ok(clock.monotonicMs() - startedMs < seconds(2));
  });
});
