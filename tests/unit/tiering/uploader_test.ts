import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readPack } from "../../../src/format/pack_reader.ts";
import { packKey } from "../../../src/format/keys.ts";
import { CHUNK, failing, withEngine } from "./engine_fixture.ts";

const seconds = (n: number) => n * 1000;

Deno.test("a quiet file is in the bucket, verified and saved; a file just written is left alone", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    filesystem.write(2, random.bytes(3 * CHUNK + 10));
    await clock.advance(seconds(4));
    assert.equal(store.puts.length, 0);
    await clock.advance(seconds(5));
    assert.ok(filesystem.clean);
    assert.equal(store.puts.length, 1);
    assert.equal(filesystem.packs.length, 1);
    assert.equal(filesystem.packs[0].verified, true);
    assert.equal(store.heads.length, 1);
    const status = await engine.status();
    assert.equal(status.unsafeFiles, 0);
    assert.equal(status.upload.filesSaved, 1);
  });
});

Deno.test("what is in the bucket can be read back by its format alone", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    filesystem.write(2, random.bytes(2 * CHUNK + 10));
    await clock.advance(seconds(20));
    const pack = readPack(await store.inner.get(store.puts[0].key));
    assert.deepEqual(pack.entries.map((entry) => entry.length), [CHUNK, CHUNK, 10]);
    assert.ok(Buffer.from(pack.header.pack).equals(filesystem.packs[0].name));
  });
});

Deno.test("a second copy uploads no data, and copies within one upload share chunks", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    const content = random.bytes(2 * CHUNK);
    filesystem.write(2, content);
    filesystem.write(3, content);
    await clock.advance(seconds(20));
    assert.ok(filesystem.clean);
    assert.equal(filesystem.locations.length, 2);
    filesystem.write(4, content);
    await clock.advance(seconds(20));
    assert.ok(filesystem.clean);
    assert.equal(store.puts.length, 1);
  });
});

Deno.test("more files than one transaction binds may share one chunk", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    const content = random.bytes(500);
    for (let inode = 2; inode < 2_502; inode++) filesystem.write(inode, content);
    await clock.advance(seconds(120));
    assert.ok(filesystem.clean);
    assert.equal(filesystem.locations.length, 1);
    assert.equal(store.puts.length, 1);
  });
});

Deno.test("a file of zeros uploads nothing", async () => {
  await withEngine(async ({ clock, filesystem, store }) => {
    filesystem.write(2, new Uint8Array(4 * CHUNK));
    await clock.advance(seconds(20));
    assert.ok(filesystem.clean);
    assert.equal(store.puts.length, 0);
  });
});

Deno.test("law 2: a chunk changed while it was uploaded is not placed", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    filesystem.write(2, random.bytes(2 * CHUNK));
    const newer = random.bytes(CHUNK);
    store.onPut = () => {
      store.onPut = () => {};
      filesystem.writeChunk(2, 1, newer);
    };
    await clock.advance(seconds(15));
    assert.equal(store.puts.length, 1);
    const file = filesystem.file(2);
    assert.equal(file.dirty, true);
    assert.equal(file.chunks.get(1)!.chunk, undefined);
    // It returns by itself, and then only the changed chunk goes up.
    await clock.advance(seconds(60));
    assert.ok(filesystem.clean);
    assert.equal(filesystem.locations.length, 3);
  });
});

Deno.test("law 2: a file that a program holds open for writing gets no version, but its quiet chunks go up", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    filesystem.write(2, random.bytes(2 * CHUNK));
    filesystem.openForWriting(2);
    await clock.advance(seconds(60));
    assert.equal(store.puts.length, 1);
    assert.equal(filesystem.file(2).saved, undefined);
    const asked = filesystem.countOf("save");
    await clock.advance(seconds(60));
    assert.equal(filesystem.countOf("save"), asked, "it is not asked again while nothing changes");
    filesystem.closeWriter(2);
    await clock.advance(seconds(20));
    assert.ok(filesystem.clean);
    assert.equal(store.puts.length, 1);
  });
});

Deno.test("law 2: a pack whose PUT answer was lost is never staged unless HEAD confirms it", async () => {
  for (const arrived of [false, true]) {
    await withEngine(async ({ clock, random, filesystem, store }) => {
      filesystem.write(2, random.bytes(CHUNK));
      const lose = () => {
        store.onPut = () => {};
        store.afterPut = () => {};
        throw failing.unavailable();
      };
      if (arrived) store.afterPut = lose;
      else store.onPut = lose;
      await clock.advance(seconds(60));
      assert.ok(filesystem.clean);
      assert.equal(filesystem.packs.length, 1);
      assert.equal(store.puts.length, arrived ? 1 : 2);
      const keys = new Set(store.puts.map((put) => put.key));
      assert.equal(keys.size, store.puts.length, "a new attempt has a new name");
      const staged = packKey(filesystem.packs[0].name);
      assert.equal(staged, store.puts.at(-1)!.key);
    });
  }
});

Deno.test("law 2: a pack that the store shows with another length is never staged", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    filesystem.write(2, random.bytes(CHUNK));
    store.head = (key) => Promise.resolve({ key, length: 5, versionId: "v", modifiedMs: 0 });
    await clock.advance(seconds(300));
    assert.equal(filesystem.packs.length, 0);
    assert.ok(!filesystem.clean);
    assert.ok(store.puts.length < 15, `${store.puts.length} PUTs`);
  });
});

Deno.test("law 8: while the store refuses, everything stays local, is asked for once a minute and then goes up", async () => {
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    filesystem.write(3, random.bytes(CHUNK));
    store.onPut = () => {
      throw failing.denied();
    };
    await clock.advance(seconds(600));
    assert.equal(filesystem.packs.length, 0);
    assert.ok(store.puts.length >= 8 && store.puts.length <= 13, `${store.puts.length} PUTs`);
    const status = await engine.status();
    assert.equal(status.trouble?.kind, "denied");
    assert.ok(status.trouble!.sinceMs < clock.wallMs() - seconds(500));
    assert.match(status.waiting.join(), /403/);
    store.onPut = () => {};
    await clock.advance(seconds(120));
    assert.ok(filesystem.clean);
    assert.equal((await engine.status()).trouble, undefined);
  });
});

Deno.test("a store that is down for hours is asked ever more seldom, and nothing is dropped", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    for (let inode = 2; inode < 50; inode++) filesystem.write(inode, random.bytes(CHUNK));
    store.onPut = () => {
      throw failing.unavailable();
    };
    await clock.advance(seconds(4 * 3600));
    assert.ok(store.puts.length < 120, `${store.puts.length} PUTs in four hours`);
    assert.equal(filesystem.packs.length, 0);
    store.onPut = () => {};
    await clock.advance(seconds(600));
    assert.ok(filesystem.clean);
  });
});

Deno.test("a file that keeps changing is tried ever more seldom", async () => {
  await withEngine(async ({ clock, random, filesystem, compute }) => {
    filesystem.write(2, random.bytes(CHUNK));
    let tries = 0;
    compute.onEncode = () => {
      tries++;
      filesystem.writeChunk(2, 0, random.bytes(CHUNK));
    };
    await clock.advance(seconds(3600));
    assert.ok(tries >= 5 && tries <= 12, `${tries} tries in an hour`);
    compute.onEncode = () => {};
    await clock.advance(seconds(1000));
    assert.ok(filesystem.clean);
  });
});

Deno.test("a file that is saved again and again is saved ever more seldom, until it comes to rest", async () => {
  const settings = { uploadAfterMs: 1_000, uploadDeadlineMs: 240_000 };
  await withEngine(async ({ clock, random, filesystem, store }) => {
    const save = async () => {
      const before = store.puts.length;
      const start = clock.monotonicMs();
      filesystem.write(2, random.bytes(CHUNK));
      while (store.puts.length === before || !filesystem.clean) await clock.advance(1_000);
      return (clock.monotonicMs() - start) / 1000;
    };
    const waits: number[] = [];
    for (let n = 0; n < 7; n++) waits.push(await save());
    // The first two as soon as they are quiet; then half a minute, doubling up to the deadline.
    assert.ok(waits[0] < 20 && waits[1] < 20, waits.join());
    for (const [n, least] of [[2, 20], [3, 45], [4, 100], [5, 220], [6, 220]]) {
      assert.ok(waits[n] > least && waits[n] < 2 * least + 30, `save ${n}: ${waits.join()}`);
    }
    await clock.advance(seconds(1_000));
    assert.ok(await save() < 20);
  }, { settings });
});

Deno.test("a file that is never quiet is tried by its deadline", async () => {
  await withEngine(async ({ clock, random, filesystem, compute }) => {
    for (let second = 0; second < 1000; second += 2) {
      filesystem.writeChunk(2, 0, random.bytes(100));
      await clock.advance(seconds(2));
      if (second < 800) assert.equal(compute.encoded, 0);
    }
    assert.ok(compute.encoded > 0);
  });
});

Deno.test("a log that is written to just when dirty files are listed is not forgotten for a minute", async () => {
  await withEngine(async ({ clock, random, filesystem, compute }) => {
    filesystem.write(2, random.bytes(100));
    await clock.advance(seconds(70));
    assert.ok(filesystem.clean);
    const before = compute.encoded;
    filesystem.openForWriting(2);
    const pass = () => new Promise<void>((later) => clock.after(2, later));
    let lists = 0;
    filesystem.before("dirtyFiles", async ({ future = false }) => {
      if (future || ++lists > 3) return;
      // Later than what is listed, and no longer in the future when that is listed.
      await pass();
      filesystem.writeChunk(2, 0, random.bytes(100));
      await pass();
    });
    filesystem.writeChunk(2, 0, random.bytes(100));
    await clock.advance(seconds(12));
    assert.ok(compute.encoded > before, `not tried; ${lists} lists`);
  });
});

Deno.test("a clock that was set back does not keep a file from being uploaded", async () => {
  await withEngine(async ({ clock, random, filesystem }) => {
    filesystem.write(2, random.bytes(100));
    clock.setWall(clock.wallMs() - 86_400_000);
    await clock.advance(seconds(30));
    assert.ok(filesystem.clean);
  });
});

Deno.test("a huge file keeps neither small files nor other large ones waiting", async () => {
  const settings = { uploadMemoryBytes: 96 * CHUNK, packBytes: 16 * CHUNK };
  await withEngine(async ({ clock, filesystem, compute, store, random }) => {
    for (let index = 0; index < 3000; index++) filesystem.writeChunk(2, index, CHUNK);
    for (let inode = 3; inode < 20; inode++) {
      for (let index = 0; index < 3; index++) filesystem.writeChunk(inode, index, CHUNK);
    }
    for (let inode = 20; inode < 40; inode++) filesystem.writeChunk(inode, 0, 100);
    let next = 0;
    compute.encode = ({ length }) => {
      const hash = new Uint8Array(32);
      new DataView(hash.buffer).setUint32(0, next++);
      const stored = random.bytes(length);
      return Promise.resolve({ kind: "chunk", hash, stored, codec: 0, length });
    };
    store.onPut = () => new Promise<void>((done) => clock.after(2000, done));
    await clock.advance(seconds(60));
    const dirty = [...filesystem.files.values()].filter((file) => file.dirty);
    assert.deepEqual(dirty.map((file) => file.inode), [2]);
    await clock.advance(seconds(300));
    assert.ok(filesystem.clean);
  }, { settings });
});

Deno.test("nothing is sent before the claim on the bucket has settled, nor when it was lost", async () => {
  const claim = Promise.withResolvers<void>();
  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    await clock.advance(seconds(60));
    assert.equal(store.puts.length, 0);
    assert.match((await engine.status()).waiting.join(), /claim/);
    claim.resolve();
    await clock.advance(seconds(10));
    assert.ok(filesystem.clean);
  }, { mayWrite: claim.promise });

  await withEngine(async ({ clock, random, filesystem, store, engine }) => {
    filesystem.write(2, random.bytes(CHUNK));
    await clock.advance(seconds(60));
    assert.equal(store.puts.length, 0);
    assert.equal((await engine.status()).trouble?.kind, "lease");
    const sync = engine.sync({ inodes: "all", signal: new AbortController().signal });
    await assert.rejects(clock.until(sync), /somebody else/);
  }, { mayWrite: Promise.reject(new Error("somebody else holds it")) });
});

Deno.test("a trickle of small files shares packs for ten seconds", async () => {
  await withEngine(async ({ clock, random, filesystem, store }) => {
    for (let inode = 2; inode < 62; inode++) {
      filesystem.write(inode, random.bytes(100));
      await clock.advance(seconds(1));
    }
    await clock.advance(seconds(30));
    assert.ok(filesystem.clean);
    assert.ok(store.puts.length <= 12, `${store.puts.length} PUTs for a minute's files`);
  });
});

Deno.test("what cannot be read is reported, tried again, and does not stop others", async () => {
  await withEngine(async ({ clock, random, filesystem, compute, log }) => {
    filesystem.write(2, random.bytes(100));
    filesystem.write(3, random.bytes(100));
    compute.onEncode = (job) => {
      if (job.path === "content/2") throw new Error("EIO: content/2");
    };
    await clock.advance(seconds(20));
    assert.equal(filesystem.file(3).dirty, false);
    assert.equal(filesystem.file(2).dirty, true);
    assert.ok(log.some((line) => /EIO/.test(String(line.fields?.error))));
    compute.onEncode = () => {};
    await clock.advance(seconds(120));
    assert.ok(filesystem.clean);
  });
});
