import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "../../harness/properties.ts";
import { chunkId, Codec, decodeChunk, encodeChunk } from "../../../src/format/codec.ts";
import { FormatError } from "../../../src/format/format_error.ts";
import { Footer, FOOTER_BYTES, Header, HEADER_BYTES } from "../../../src/format/pack_layout.ts";
import {
  readPack,
  readPackFooter,
  readPackHeader,
  readPackIndex,
  storedBytes,
} from "../../../src/format/pack_reader.ts";
import { PackWriter } from "../../../src/format/pack_writer.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";

const fileSystem = new Uint8Array(16).fill(7);

function build(chunks: Uint8Array[]): Uint8Array {
  const writer = new PackWriter({
    fileSystem,
    pack: new Uint8Array(16).fill(9),
    encrypted: false,
  });
  for (const plain of chunks) {
    writer.add({ hash: chunkId(plain), length: plain.length, ...encodeChunk(plain) });
  }
  return writer.finish();
}

/** Recomputes the index hash, so that a change reaches the checks behind it. */
function rehash(object: Uint8Array): Uint8Array {
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  const footer = object.length - FOOTER_BYTES;
  const indexOffset = Number(view.getBigUint64(footer + Footer.indexOffset, true));
  const digest = createHash("sha256").update(object.subarray(0, HEADER_BYTES))
    .update(object.subarray(indexOffset, footer)).digest();
  object.set(digest, footer);
  return object;
}

const chunkArbitrary = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 3000 }),
  fc.integer({ min: 1, max: 300_000 }).map((length) => new Uint8Array(length).fill(length & 255)),
  fc.integer({ min: 1, max: 200_000 }).map((length) => new SeededRandom(length).bytes(length)),
);

Deno.test("what a pack writer wrote, a pack reader reads, chunk by chunk", () => {
  fc.assert(
    fc.property(fc.array(chunkArbitrary, { minLength: 1, maxLength: 12 }), (chunks) => {
      const object = build(chunks);
      const { header, entries } = readPack(object);
      assert.deepEqual(header, { fileSystem, pack: new Uint8Array(16).fill(9) });
      assert.equal(entries.length, chunks.length);
      entries.forEach((entry, ordinal) => {
        const plain = decodeChunk(storedBytes(object, entry), entry);
        assert.ok(Buffer.from(plain).equals(chunks[ordinal]));
      });
    }),
    { numRuns: 60, seed: 1 },
  );
});

Deno.test("the structure of a pack can be read from its ends alone", () => {
  const object = build([new Uint8Array(5000).fill(1), new Uint8Array(10).fill(2)]);
  const footer = readPackFooter(object.slice(-FOOTER_BYTES), object.length);
  const entries = readPackIndex(
    object.slice(footer.indexOffset, footer.indexOffset + footer.indexLength),
    { header: object.slice(0, HEADER_BYTES), footer },
  );
  assert.deepEqual(entries.map((entry) => entry.length), [5000, 10]);
  assert.deepEqual(entries.map((entry) => entry.codec), [Codec.ZSTD, Codec.PLAIN]);
});

Deno.test("a damaged pack gives a named error or the right bytes, never wrong bytes or a crash", () => {
  const random = new SeededRandom(42);
  const chunks = [random.bytes(700), new Uint8Array(9000).fill(3), random.bytes(33)];
  const object = build(chunks);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(object.length - 1), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.option(fc.nat(object.length)),
      fc.boolean(),
      (flips, cut, consistent) => {
        let damaged = object.slice();
        for (const [at, bits] of flips) damaged[at] ^= bits;
        if (consistent) {
          try {
            damaged = rehash(damaged) as Uint8Array<ArrayBuffer>;
          } catch (error) {
            assert.ok(error instanceof RangeError); // the flipped index offset is no number
          }
        }
        if (cut !== null) damaged = damaged.slice(0, cut);
        try {
          const { entries } = readPack(damaged);
          for (const entry of entries) {
            const plain = decodeChunk(storedBytes(damaged, entry), entry);
            assert.ok(Buffer.from(chunkId(plain)).equals(entry.hash));
          }
        } catch (error) {
          assert.ok(error instanceof FormatError, `${error}`);
        }
      },
    ),
    { numRuns: 3000, seed: 2 },
  );
});

Deno.test("noise is not a pack", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
      assert.throws(() => readPack(noise), FormatError);
    }),
    { numRuns: 300, seed: 3 },
  );
});

Deno.test("a pack of a newer format, or with unknown features, is refused by name", () => {
  const object = build([new Uint8Array(10).fill(2)]);
  const newer = object.slice();
  newer[Header.version] = 2;
  assert.throws(
    () => readPackHeader(newer),
    { name: "FormatError", kind: "unknown", message: /format 2/ },
  );
  const featured = object.slice();
  featured[Header.features] = 2;
  featured[Header.features + 3] = 0x80;
  assert.throws(
    () => readPackHeader(featured),
    { name: "FormatError", kind: "unknown", message: /bit 1, bit 31/ },
  );
});

Deno.test("a pack that claims more chunks than it can hold is refused before anything is allocated", () => {
  const object = build([new Uint8Array(10).fill(2)]);
  const footer = object.slice(-FOOTER_BYTES);
  const view = new DataView(footer.buffer);
  view.setUint32(Footer.count, 0xffff_ffff, true);
  view.setUint32(Footer.indexLength, 0xffff_ffff, true);
  assert.throws(() => readPackFooter(footer, object.length), { message: /4294967295/ });
  assert.throws(() => readPackFooter(object.slice(-FOOTER_BYTES), 2 ** 40), FormatError);
});

Deno.test("a pack takes no chunk beyond its bounds, but any chunk as its first", () => {
  const writer = new PackWriter({
    fileSystem,
    pack: new Uint8Array(16),
    encrypted: false,
    limits: { bytes: 1000, chunks: 2 },
  });
  const chunk = (length: number) => {
    const plain = new SeededRandom(length).bytes(length);
    return { hash: chunkId(plain), stored: plain, length, codec: Codec.PLAIN };
  };
  assert.ok(writer.hasRoom(5000));
  writer.add(chunk(900));
  assert.ok(writer.hasRoom(100));
  assert.ok(!writer.hasRoom(101));
  writer.add(chunk(50));
  assert.ok(writer.full);
  assert.throws(() => writer.add(chunk(1)), { name: "InvariantError" });
});
