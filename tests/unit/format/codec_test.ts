import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { chunkId, Codec, decodeChunk, encodeChunk, isAllZero } from "../../../src/format/codec.ts";
import { hex } from "../../../src/runtime/random.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";

Deno.test("a chunk id is the SHA-256 of the plain bytes", () => {
  assert.equal(
    hex(chunkId(new TextEncoder().encode("abc"))),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
});

Deno.test("text shrinks, noise is stored as it is, and nothing ever grows", () => {
  const text = new TextEncoder().encode("to be or not to be, that is the question. ".repeat(9000));
  assert.equal(encodeChunk(text).codec, Codec.ZSTD);
  assert.ok(encodeChunk(text).stored.length < text.length / 10);
  for (const length of [1, 2, 100, 70_000, 400_000]) {
    const noise = new SeededRandom(length).bytes(length);
    const { codec, stored } = encodeChunk(noise);
    assert.equal(codec, Codec.PLAIN);
    assert.equal(stored, noise);
  }
});

Deno.test("a compressible head before an incompressible body does not cost a compression", () => {
  const media = new SeededRandom(5).bytes(1 << 20);
  media.fill(0, 0, 100_000);
  assert.equal(encodeChunk(media).codec, Codec.PLAIN);
});

Deno.test("decoding gives back what was encoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 50_000 }), (plain) => {
      const { codec, stored } = encodeChunk(plain);
      const back = decodeChunk(stored, { hash: chunkId(plain), length: plain.length, codec });
      assert.deepEqual(new Uint8Array(back), plain);
    }),
    { numRuns: 100, seed: 1 },
  );
});

Deno.test("other bytes, other lengths, cut frames and bombs are corrupt; another codec is unknown", () => {
  const plain = new Uint8Array(100_000).fill(7);
  const hash = chunkId(plain);
  const { stored, codec } = encodeChunk(plain);
  const corrupt = { name: "FormatError", kind: "corrupt" };
  const length = plain.length;
  assert.throws(() => decodeChunk(stored.subarray(0, 10), { hash, length, codec }), corrupt);
  assert.throws(() => decodeChunk(new Uint8Array(0), { hash, length, codec }), corrupt);
  assert.throws(() => decodeChunk(stored, { hash, length: 1000, codec }), corrupt);
  assert.throws(() => decodeChunk(stored, { hash, length: length + 1, codec }), corrupt);
  assert.throws(() => decodeChunk(stored, { hash, length: 2 ** 40, codec }), corrupt);
  assert.throws(() => decodeChunk(plain.slice().fill(8), { hash, length, codec: 0 }), corrupt);
  assert.throws(() => decodeChunk(stored, { hash, length, codec: 9 }), {
    name: "FormatError",
    kind: "unknown",
    message: /codec 9/,
  });
});

Deno.test("a single byte that is not zero is found wherever it lies", () => {
  const whole = new Uint8Array(100);
  for (let start = 0; start < 20; start++) {
    for (let end = start; end < 60; end++) {
      const part = whole.subarray(start, end);
      assert.ok(isAllZero(part));
      for (let at = 0; at < part.length; at += 3) {
        part[at] = 1;
        assert.ok(!isAllZero(part), `${start} ${end} ${at}`);
        part[at] = 0;
      }
    }
  }
});
