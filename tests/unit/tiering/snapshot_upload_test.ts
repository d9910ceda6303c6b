/** Files that are never quiet or never closed: saved from snapshots, by the upload deadline. */
import assert from "node:assert/strict";
import { CHUNK, failing, type Fixture, withEngine } from "./engine_fixture.ts";

const seconds = (n: number) => n * 1000;
const DEADLINE_MS = seconds(900);

/** A program that has the file open and writes to it every other second. */
async function writeFor({ clock, random, filesystem }: Fixture, ms: number): Promise<void> {
  for (const end = clock.monotonicMs() + ms; clock.monotonicMs() < end;) {
    filesystem.writeChunk(2, 0, random.bytes(100));
    await clock.advance(seconds(2));
  }
}

Deno.test("a file that a program writes to for ever is saved once in every deadline", async () => {
  await withEngine(async (fixture) => {
    const { random, filesystem } = fixture;
    filesystem.write(2, random.bytes(3 * CHUNK));
    filesystem.openForWriting(2);
    await writeFor(fixture, DEADLINE_MS - seconds(30));
    assert.equal(filesystem.countOf("snapshot"), 0, "it is saved before its deadline");
    await writeFor(fixture, seconds(90));
    assert.equal(filesystem.countOf("snapshot"), 1);
    const first = filesystem.file(2).saved!;
    assert.ok(first > 0);
    await writeFor(fixture, 3 * DEADLINE_MS);
    assert.equal(filesystem.countOf("snapshot"), 4);
    assert.ok(filesystem.file(2).saved! > first);
    assert.ok(filesystem.file(2).dirty);
    assert.equal(filesystem.shadows.size, 0, "a snapshot is left over");
  });
});

Deno.test("a file that is open and not written to is saved once, and again after its next change", async () => {
  await withEngine(async ({ clock, random, filesystem }) => {
    filesystem.write(2, random.bytes(2 * CHUNK));
    filesystem.openForWriting(2);
    await clock.advance(4 * DEADLINE_MS);
    assert.equal(filesystem.countOf("snapshot"), 1);
    assert.equal(filesystem.file(2).saved, filesystem.file(2).generation);
    filesystem.writeChunk(2, 1, random.bytes(10));
    await clock.advance(DEADLINE_MS - seconds(60));
    assert.equal(filesystem.countOf("snapshot"), 1, "its deadline runs from the change on");
    await clock.advance(seconds(120));
    assert.equal(filesystem.file(2).saved, filesystem.file(2).generation);
    filesystem.closeWriter(2);
    await clock.advance(seconds(60));
    assert.ok(filesystem.clean);
  });
});

Deno.test("what a snapshot has uploaded is not uploaded again when the file is closed", async () => {
  await withEngine(async (fixture) => {
    const { clock, random, filesystem, store } = fixture;
    filesystem.write(2, random.bytes(3 * CHUNK));
    filesystem.openForWriting(2);
    let last = new Uint8Array();
    filesystem.before("snapshot", () => {
      last = random.bytes(CHUNK);
      filesystem.writeChunk(2, 0, last);
    });
    await writeFor(fixture, DEADLINE_MS + seconds(60));
    filesystem.writeChunk(2, 0, last);
    const before = store.puts.length;
    filesystem.closeWriter(2);
    await clock.advance(seconds(120));
    assert.ok(filesystem.clean);
    assert.equal(store.puts.length, before);
  });
});

Deno.test("a store that fails is asked for snapshots ever more seldom, and they go up when it works", async () => {
  await withEngine(async (fixture) => {
    const { random, filesystem, store, engine } = fixture;
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.openForWriting(2);
    store.onPut = () => {
      throw failing.unavailable();
    };
    await writeFor(fixture, 4 * DEADLINE_MS);
    const asked = filesystem.countOf("snapshot");
    assert.ok(asked >= 2 && asked <= 10, `asked ${asked} times`);
    store.onPut = () => {};
    await writeFor(fixture, DEADLINE_MS + seconds(60));
    assert.ok(filesystem.file(2).saved! > 0);
    assert.equal((await engine.status()).trouble, undefined);
  });
});

Deno.test("when space becomes short, a snapshot that is on its way is given up", async () => {
  await withEngine(async (fixture) => {
    const { clock, random, filesystem, store } = fixture;
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.openForWriting(2);
    const hung = Promise.withResolvers<void>();
    filesystem.before("snapshot", () => {
      store.onPut = () => hung.promise;
    });
    await writeFor(fixture, DEADLINE_MS + seconds(30));
    assert.equal(filesystem.shadows.size, 1, "it is not on its way");
    Object.assign(filesystem.marks, { high: 0, low: 0 });
    filesystem.emit({ event: "pressure", used: filesystem.used, needed: 0, waiting: 0 });
    await clock.advance(seconds(1));
    assert.equal(filesystem.shadows.size, 0, "it is in the way");
    store.onPut = () => {};
    hung.resolve();
    await writeFor(fixture, seconds(60));
  });
});

Deno.test("a snapshot that cannot be had is asked for ever more seldom", async () => {
  await withEngine(async (fixture) => {
    const { random, filesystem } = fixture;
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.openForWriting(2);
    filesystem.refuseSnapshots = "full";
    await writeFor(fixture, 4 * DEADLINE_MS);
    const asked = filesystem.countOf("snapshot");
    assert.ok(asked >= 4 && asked <= 10, `asked ${asked} times`);
    filesystem.refuseSnapshots = undefined;
    await writeFor(fixture, DEADLINE_MS + seconds(60));
    assert.ok(filesystem.file(2).saved! > 0);
  });
});
