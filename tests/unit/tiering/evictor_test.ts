import assert from "node:assert/strict";
import { CHUNK, failing, type Fixture, withEngine } from "./engine_fixture.ts";

const seconds = (n: number) => n * 1000;
const FOREVER = new AbortController().signal;

/** `count` saved files of one chunk each, the first the least recently used. */
async function fill({ clock, random, filesystem, engine }: Fixture, count: number): Promise<void> {
  for (let inode = 2; inode < 2 + count; inode++) {
    filesystem.write(inode, random.bytes(CHUNK));
    filesystem.file(inode).lastUsedMs = inode;
  }
  await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
}

function setMarks({ filesystem }: Fixture, marks: { high: number; low: number }): void {
  Object.assign(filesystem.marks, {
    high: marks.high * CHUNK,
    low: marks.low * CHUNK,
    hard: (marks.high + 1) * CHUNK,
  });
}

function pressure({ filesystem }: Fixture, needed = 0): void {
  const { used, waiting } = filesystem;
  filesystem.emit({ event: "pressure", used, needed, waiting });
}

const resident = ({ filesystem }: Fixture) => filesystem.used / CHUNK;

Deno.test("above the high mark, files leave down to the low mark, least recently used first", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, 20);
    setMarks(fixture, { high: 15, low: 10 });
    pressure(fixture);
    await clock.advance(seconds(1));
    assert.equal(resident(fixture), 10);
    assert.equal(filesystem.file(2).chunks.get(0)!.resident, false);
    assert.equal(filesystem.file(21).chunks.get(0)!.resident, true);
  });
});

Deno.test("between the marks nothing leaves", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, 12);
    setMarks(fixture, { high: 15, low: 10 });
    pressure(fixture);
    await clock.advance(seconds(100));
    assert.equal(resident(fixture), 12);
    assert.equal(filesystem.countOf("evict"), 0);
  });
});

Deno.test("what somebody waits for is freed although the marks are kept", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, 12);
    setMarks(fixture, { high: 15, low: 14 });
    filesystem.waiting = 1;
    pressure(fixture, 3 * CHUNK);
    await clock.advance(100);
    assert.equal(resident(fixture), 9);
  });
});

Deno.test("law 3: no eviction relies on an unverified pack", async () => {
  await withEngine(async (fixture) => {
    const { clock, store, filesystem } = fixture;
    store.onHead = () => {
      throw failing.unavailable();
    };
    await fill(fixture, 20);
    assert.ok(filesystem.packs.every((pack) => !pack.verified));
    setMarks(fixture, { high: 15, low: 10 });
    pressure(fixture);
    await clock.advance(seconds(10));
    assert.equal(resident(fixture), 20, "403 or a store that is down: nothing is known, all stays");
    store.onHead = () => {};
    await clock.advance(seconds(10));
    assert.ok(filesystem.packs.every((pack) => pack.verified));
    assert.equal(resident(fixture), 10);
  });
});

Deno.test("law 3: a pack that the store shows shorter, or not at all, keeps its files here", async () => {
  for (const shorter of [true, false]) {
    await withEngine(async (fixture) => {
      const { clock, store, log, engine } = fixture;
      store.onHead = () => {
        throw failing.unavailable();
      };
      await fill(fixture, 20);
      const heads = (await engine.status()).storeCalls.head;
      store.onHead = () => {
        if (!shorter) throw failing.missing();
      };
      if (shorter) {
        store.head = (key) => Promise.resolve({ key, length: 5, versionId: "v", modifiedMs: 0 });
      }
      setMarks(fixture, { high: 15, low: 10 });
      pressure(fixture);
      await clock.advance(seconds(10));
      assert.equal(resident(fixture), 20);
      assert.equal(
        (await engine.status()).storeCalls.head - heads,
        1,
        "it is not asked every second",
      );
      assert.ok(log.some((line) => line.level === "error" && /pack/.test(line.message)));
    });
  }
});

Deno.test("refused files are not asked for again in the same run, and others go instead", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, 20);
    for (const inode of [2, 3, 4]) filesystem.file(inode).pinned = true;
    setMarks(fixture, { high: 15, low: 10 });
    pressure(fixture);
    await clock.advance(seconds(1));
    assert.equal(resident(fixture), 10);
    assert.ok(filesystem.countOf("evict") <= 3);
  });
});

Deno.test("under pressure dirty files go up without quiet time, and leave as they are confirmed", async () => {
  await withEngine(async (fixture) => {
    const { clock, random, filesystem } = fixture;
    setMarks(fixture, { high: 15, low: 10 });
    for (let inode = 2; inode < 22; inode++) filesystem.write(inode, random.bytes(CHUNK));
    filesystem.waiting = 1;
    pressure(fixture);
    await clock.advance(seconds(4));
    assert.ok(filesystem.clean);
    assert.equal(resident(fixture), 10);
  }, { settings: { uploadAfterMs: 3_600_000 } });
});

Deno.test("under pressure a file that is being written shrinks to what is newest: it may outgrow the disk", async () => {
  await withEngine(async (fixture) => {
    const { clock, random, filesystem } = fixture;
    setMarks(fixture, { high: 8, low: 6 });
    filesystem.writeChunk(2, 0, random.bytes(CHUNK));
    filesystem.openForWriting(2);
    let written = 1;
    for (let step = 0; step < 400 && written < 60; step++) {
      if (filesystem.used + CHUNK <= filesystem.marks.hard) {
        filesystem.writeChunk(2, written++, random.bytes(CHUNK));
        filesystem.waiting = 0;
      } else {
        filesystem.waiting = 1;
        pressure(fixture, CHUNK);
      }
      await clock.advance(500);
    }
    assert.equal(written, 60);
    assert.ok(filesystem.used <= filesystem.marks.hard);
    assert.equal(filesystem.file(2).saved, undefined);
  });
});

Deno.test("a mark that cannot be reached is reported with what stands in the way, without a busy loop", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem, engine, store } = fixture;
    await fill(fixture, 20);
    for (let inode = 2; inode < 22; inode++) filesystem.file(inode).pinned = true;
    setMarks(fixture, { high: 15, low: 10 });
    pressure(fixture);
    const before = filesystem.calls.length;
    await clock.advance(seconds(60));
    const status = await engine.status();
    assert.equal(status.eviction.obstacles?.pinned, 20 * CHUNK);
    assert.deepEqual(status.eviction.obstacles?.refused, {});
    assert.match(status.waiting.join(), /above its mark/);
    assert.ok(filesystem.calls.length - before < 1500, `${filesystem.calls.length - before} calls`);
    assert.equal(store.puts.length, 1);
  });
});

Deno.test("bytes that are still being unlinked are not freed twice", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, 30);
    setMarks(fixture, { high: 20, low: 15 });
    // Evicted bytes count as used for a while, as they do until a disk helper has unlinked them.
    filesystem.before("evict", ({ files }) => {
      const leaving = files.length * CHUNK;
      filesystem.reserved += leaving;
      clock.after(700, () => filesystem.reserved -= leaving);
    });
    pressure(fixture);
    await clock.advance(300);
    pressure(fixture);
    await clock.advance(seconds(20));
    assert.equal(resident(fixture), 15);
  });
});

Deno.test("what others took while files left kept the cache above its mark for a minute: it is told only once", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, 30);
    setMarks(fixture, { high: 20, low: 15 });
    let taken = false;
    filesystem.before("evict", () => {
      if (!taken) filesystem.reserved += 15 * CHUNK;
      taken = true;
    });
    pressure(fixture);
    await clock.advance(seconds(5));
    assert.equal(resident(fixture), 15);
  });
});

Deno.test("evicting named files uploads what is dirty first, and says why others stay", async () => {
  await withEngine(async ({ clock, random, filesystem, engine }) => {
    for (const inode of [2, 3, 4]) filesystem.write(inode, random.bytes(CHUNK));
    filesystem.file(3).pinned = true;
    filesystem.openForWriting(4);
    const progress: number[] = [];
    const onProgress = (done: number) => void progress.push(done);
    const result = await clock.until(engine.evictFiles([2, 3, 4, 99], { onProgress }));
    assert.equal(result.evicted, 1);
    assert.equal(result.freedBytes, CHUNK);
    assert.deepEqual(
      result.refused.sort((a, b) => a.inode - b.inode),
      [{ inode: 3, why: "pinned" }, { inode: 4, why: "open" }, { inode: 99, why: "gone" }],
    );
    assert.deepEqual(progress, [4]);
    const forced = await clock.until(engine.evictFiles([3], { force: true }));
    assert.equal(forced.evicted, 1);
  });
});
