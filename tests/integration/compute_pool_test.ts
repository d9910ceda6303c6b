import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { chunkId } from "../../src/format/codec.ts";
import { FormatError } from "../../src/format/format_error.ts";
import { type PlacedChunk, readSealedPack } from "../../src/format/pack_cipher.ts";
import { storedBytes } from "../../src/format/pack_reader.ts";
import { PackWriter } from "../../src/format/pack_writer.ts";
import { Secrets } from "../../src/format/secrets.ts";
import { ComputePool } from "../../src/tiering/compute_pool.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

/** Where a chunk lies does not matter where nothing is encrypted. */
const place = { pack: new Uint8Array(16), ordinal: 0 };

async function withPool(
  test: (pool: ComputePool, directory: string, crashes: string[]) => Promise<void>,
  secrets?: Secrets,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const crashes: string[] = [];
  const pool = new ComputePool({
    isolates: 1,
    secrets,
    onCrash: (message) => void crashes.push(message),
  });
  try {
    await test(pool, directory, crashes);
  } finally {
    pool.close();
    await Deno.remove(directory, { recursive: true });
  }
}

/** Of chunks that come together one may be wrong, so nothing is thrown. */
async function decodeOne(
  pool: ComputePool,
  stored: Uint8Array<ArrayBuffer>,
  chunk: PlacedChunk,
): Promise<Uint8Array> {
  const [decoded] = await pool.decode(stored, [{ chunk, start: 0, stored: stored.length }]);
  if (decoded instanceof FormatError) throw decoded;
  return decoded;
}

Deno.test("chunks that came together are verified one by one, and stay in one buffer", async () => {
  await withPool(async (pool, _directory, crashes) => {
    const random = new SeededRandom(6);
    const contents = [random.bytes(5000), random.bytes(70_000), random.bytes(300)];
    const stored = new Uint8Array(Buffer.concat(contents));
    let start = 0;
    const parts = contents.map((plain, ordinal) => {
      const chunk = { ...place, ordinal, hash: chunkId(plain), length: plain.length, codec: 0 };
      const part = { chunk, start, stored: plain.length };
      start += plain.length;
      return part;
    });
    stored[5001] ^= 1;
    const decoded = await pool.decode(stored, parts);
    assert.equal(stored.byteLength, 0, "the stored bytes moved away");
    const [first, wrong, last] = decoded;
    assert.ok(wrong instanceof FormatError && wrong.kind === "corrupt");
    assert.ok(!(first instanceof FormatError) && Buffer.from(first).equals(contents[0]));
    assert.ok(!(last instanceof FormatError) && Buffer.from(last).equals(contents[2]));
    assert.equal(first.buffer, last.buffer, "nothing was copied");
    assert.deepEqual(crashes, []);
  });
});

Deno.test("a piece of a file is read, hashed and compressed in another isolate, and comes back", async () => {
  await withPool(async (pool, directory) => {
    const text = new TextEncoder().encode("all happy families are alike. ".repeat(10_000));
    const path = `${directory}/7.1`;
    await Deno.writeFile(path, text);
    const result = await pool.encode({ path, offset: 1000, length: 100_000 });
    assert.ok(result.kind === "chunk");
    const plain = text.subarray(1000, 101_000);
    assert.ok(Buffer.from(chunkId(plain)).equals(result.hash));
    assert.ok(result.stored.length < 10_000);
    const stored = new Uint8Array(result.stored);
    const back = await decodeOne(pool, stored, { ...result, ...place });
    assert.ok(Buffer.from(back).equals(plain));
    assert.equal(stored.byteLength, 0, "the stored bytes moved away");
  });
});

Deno.test("holes, missing files and short files are told apart", async () => {
  await withPool(async (pool, directory) => {
    const path = `${directory}/8.1`;
    await Deno.writeFile(path, new Uint8Array(100_000));
    assert.deepEqual(await pool.encode({ path, offset: 0, length: 100_000 }), { kind: "zero" });
    assert.deepEqual(await pool.encode({ path, offset: 1, length: 100_000 }), { kind: "moved" });
    const gone = { path: `${directory}/9.1`, offset: 0, length: 1 };
    assert.deepEqual(await pool.encode(gone), { kind: "moved" });
    await assert.rejects(pool.encode({ path: directory, offset: 0, length: 1 }), Error);
  });
});

Deno.test("wrong bytes are refused by name, and the isolate goes on", async () => {
  await withPool(async (pool, _directory, crashes) => {
    const plain = new SeededRandom(1).bytes(5000);
    const chunk = { hash: chunkId(plain), length: 5000, codec: 0, ...place };
    await assert.rejects(decodeOne(pool, new Uint8Array(5000), chunk), {
      name: "FormatError",
      kind: "corrupt",
    });
    await assert.rejects(decodeOne(pool, new Uint8Array(5000), { ...chunk, codec: 7 }), {
      name: "FormatError",
      kind: "unknown",
    });
    assert.ok(Buffer.from(await decodeOne(pool, plain.slice(), chunk)).equals(plain));
    assert.deepEqual(crashes, []);
  });
});

Deno.test("chunks are identified, sealed and opened in the isolates, which know the secrets", async () => {
  const fileSystem = new Uint8Array(16).fill(5);
  const secrets = new Secrets({ fileSystem, master: new SeededRandom(3).bytes(32) });
  await withPool(async (pool, directory, crashes) => {
    const path = `${directory}/11.1`;
    const contents = [new SeededRandom(4).bytes(50_000), new Uint8Array(80_000).fill(65)];
    await Deno.writeFile(path, Buffer.concat(contents));
    const pack = new SeededRandom(5).bytes(16);
    const writer = new PackWriter({ fileSystem, pack, encrypted: pool.encrypted });
    for (const [i, { length }] of contents.entries()) {
      const chunk = await pool.encode({ path, offset: i * 50_000, length });
      assert.ok(chunk.kind === "chunk");
      assert.ok(Buffer.from(secrets.chunkId(contents[i])).equals(chunk.hash));
      writer.add(chunk);
    }
    const draft = writer.finish();
    const object = await pool.seal(draft);
    assert.equal(draft.byteLength, 0, "the draft moved away");
    const { entries } = await readSealedPack(object, secrets);
    for (const [ordinal, entry] of entries.entries()) {
      const placed = { ...entry, pack, ordinal };
      const stored = () => storedBytes(object, entry).slice() as Uint8Array<ArrayBuffer>;
      assert.ok(Buffer.from(await decodeOne(pool, stored(), placed)).equals(contents[ordinal]));
      const encoded = await pool.reopen(stored(), placed);
      assert.equal(encoded.length, entry.stored - 16);
      await assert.rejects(decodeOne(pool, stored(), { ...placed, ordinal: 7 }), {
        name: "FormatError",
        kind: "corrupt",
      });
    }
    assert.deepEqual(crashes, []);
  }, secrets);
});

Deno.test("many jobs are all answered, and closing rejects what is left", async () => {
  await withPool(async (pool, directory) => {
    const path = `${directory}/10.1`;
    const content = new SeededRandom(2).bytes(1 << 20);
    await Deno.writeFile(path, content);
    const jobs = Array.from(
      { length: 64 },
      (_, i) => pool.encode({ path, offset: i * 16_384, length: 16_384 }),
    );
    for (const [i, result] of (await Promise.all(jobs)).entries()) {
      assert.ok(result.kind === "chunk");
      const plain = content.subarray(i * 16_384, (i + 1) * 16_384);
      assert.ok(Buffer.from(chunkId(plain)).equals(result.hash));
    }
    const late = pool.encode({ path, offset: 0, length: 1 << 20 });
    pool.close();
    await assert.rejects(late, /closed/);
    await assert.rejects(pool.encode({ path, offset: 0, length: 1 }), /closed/);
  });
});

Deno.test("of small files that are encoded together each gets its own answer", async () => {
  await withPool(async (pool, directory) => {
    const contents = Array.from({ length: 300 }, (_, i) => new SeededRandom(i + 1).bytes(100 + i));
    for (const [i, content] of contents.entries()) {
      if (i % 7 === 0) continue;
      await Deno.writeFile(`${directory}/${i}`, i % 5 === 0 ? new Uint8Array(100 + i) : content);
    }
    pool.prepare();
    const answers = await Promise.allSettled(contents.map(({ length }, i) => {
      // A directory, of which there are no bytes to be had.
      const path = i % 11 === 0 ? directory : `${directory}/${i}`;
      return pool.encode({ path, offset: 0, length });
    }));
    for (const [i, answer] of answers.entries()) {
      if (i % 11 === 0) {
        assert.equal(answer.status, "rejected");
        continue;
      }
      assert.ok(answer.status === "fulfilled");
      const result = answer.value;
      if (i % 7 === 0) assert.equal(result.kind, "moved");
      else if (i % 5 === 0) assert.equal(result.kind, "zero");
      else {
        assert.ok(result.kind === "chunk");
        assert.ok(Buffer.from(chunkId(contents[i])).equals(result.hash));
      }
    }
  });
});
