/**
 * Random programs, a store that fails at random, pressure, evictions and recalls. The fake isolate
 * throws when wrong bytes would be bound or installed or unconfirmed bytes would leave; at the end
 * every file is read back and compared with what was written last.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { CHUNK, evictAll, failing, type Fixture, withEngine } from "./engine_fixture.ts";

const FOREVER = new AbortController().signal;

function breakAtRandom({ store, clock }: Fixture, random: SeededRandom): () => void {
  let rate = 0.3;
  const maybe = async () => {
    if (random.fraction() < 0.2) {
      await new Promise<void>((done) => clock.after(random.below(4000), done));
    }
    if (random.fraction() >= rate) return;
    throw random.fraction() < 0.7 ? failing.unavailable() : failing.denied();
  };
  store.onPut = maybe;
  store.afterPut = maybe;
  store.onHead = maybe;
  store.onGet = maybe;
  store.afterGet = (bytes) => {
    if (random.fraction() < rate / 3 && bytes.length > 0) bytes[random.below(bytes.length)] ^= 4;
  };
  return () => rate = 0;
}

async function readBack(fixture: Fixture, written: Map<number, Map<number, Uint8Array>>) {
  const { clock, filesystem } = fixture;
  await evictAll(fixture);
  for (const [inode, chunks] of written) {
    for (const [index, bytes] of chunks) {
      const chunk = filesystem.file(inode).chunks.get(index);
      if (bytes.every((byte) => byte === 0)) {
        assert.equal(chunk, undefined, "zeros are a hole");
        continue;
      }
      assert.equal(chunk!.resident, false, `inode ${inode}, chunk ${index}`);
      filesystem.wantChunk(inode, index);
      for (let waited = 0; !chunk!.resident && waited < 100; waited++) await clock.advance(1000);
      assert.ok(Buffer.from(chunk!.bytes!).equals(bytes), `inode ${inode}, chunk ${index}`);
    }
  }
}

async function scenario(fixture: Fixture, seed: number): Promise<void> {
  const { clock, filesystem, engine } = fixture;
  const random = new SeededRandom(seed);
  const heal = breakAtRandom(fixture, random);
  const written = new Map<number, Map<number, Uint8Array>>();
  const contents = Array.from(
    { length: 6 },
    (_, i) => i === 0 ? new Uint8Array(CHUNK) : random.bytes(1 + random.below(CHUNK)),
  );
  for (let step = 0; step < 150; step++) {
    const inode = 2 + random.below(12);
    const action = random.fraction();
    const file = filesystem.files.get(inode);
    if (action < 0.5) {
      const index = random.below(5);
      const bytes = random.fraction() < 0.5
        ? contents[random.below(contents.length)]
        : random.bytes(1 + random.below(CHUNK));
      filesystem.writeChunk(inode, index, bytes.slice());
      if (!written.has(inode)) written.set(inode, new Map());
      written.get(inode)!.set(index, bytes);
    } else if (action < 0.6 && file !== undefined) {
      if (file.writers === 0) filesystem.openForWriting(inode);
      else filesystem.closeWriter(inode);
    } else if (action < 0.7) {
      const high = Math.floor(filesystem.used * random.fraction());
      Object.assign(filesystem.marks, { high, low: high / 2 });
      filesystem.emit({ event: "pressure", used: filesystem.used, needed: 0, waiting: 0 });
    } else if (action < 0.8 && file !== undefined) {
      for (const [index, chunk] of file.chunks) {
        if (!chunk.resident) filesystem.wantChunk(inode, index, "ahead");
      }
    } else if (action < 0.85 && file !== undefined) {
      filesystem.unlink(inode);
      written.delete(inode);
    }
    await clock.advance(random.below(5000));
  }
  heal();
  Object.assign(filesystem.marks, { high: 1e12, low: 1e12 });
  for (const file of filesystem.files.values()) {
    while (file.writers > 0) filesystem.closeWriter(file.inode);
  }
  const { unsafe } = await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
  assert.equal(unsafe, 0);
  assert.ok(filesystem.clean);
  // What was asked for before would come back after it was evicted.
  while ((await engine.status()).recall.waiting > 0) await clock.advance(1000);
  await readBack(fixture, written);
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(`whatever fails and whoever writes, what was written comes back (seed ${seed})`, async () => {
    await withEngine((fixture) => scenario(fixture, seed), {
      settings: { packBytes: 4 * CHUNK, uploadMemoryBytes: 12 * CHUNK },
    });
  });
}
