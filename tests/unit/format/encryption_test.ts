/** Encrypted packs, metadata objects and descriptors: fixed vectors, and every way to tamper with them. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "../../harness/properties.ts";
import { chunkId, Codec, decodeChunk, encodeChunk } from "../../../src/format/codec.ts";
import {
  checkSeal,
  decodeDescriptor,
  type Descriptor,
  encodeDescriptor,
  sealDescriptor,
} from "../../../src/format/descriptor.ts";
import { FormatError } from "../../../src/format/format_error.ts";
import {
  decodeMetadataObject,
  encodeMetadataObject,
  MetadataKind,
  NO_HASH,
  sha256,
} from "../../../src/format/metadata_object.ts";
import { openChunk, readSealedPack, sealPack } from "../../../src/format/pack_cipher.ts";
import type { PackEntry } from "../../../src/format/pack_layout.ts";
import { readPack, storedBytes } from "../../../src/format/pack_reader.ts";
import { PackWriter } from "../../../src/format/pack_writer.ts";
import { Secrets } from "../../../src/format/secrets.ts";
import { hex } from "../../../src/runtime/random.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import * as vectors from "./encryption_vectors.ts";

const { fileSystem } = vectors.material;
const secrets = new Secrets(vectors.material);
const others = {
  "another master key": new Secrets({ fileSystem, master: new Uint8Array(32).fill(1) }),
  "another file system": new Secrets({ ...vectors.material, fileSystem: new Uint8Array(16) }),
};

function draftOf(chunks: Uint8Array[], pack: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new PackWriter({ fileSystem, pack, encrypted: true });
  for (const plain of chunks) {
    writer.add({ hash: chunkId(plain, secrets), length: plain.length, ...encodeChunk(plain) });
  }
  return writer.finish();
}

const build = (chunks: Uint8Array[], pack: Uint8Array) => sealPack(draftOf(chunks, pack), secrets);

/** All chunks of a pack, read as a recall does: by the entry, out of the object. */
async function readAll(
  object: Uint8Array,
  entries: PackEntry[],
  pack: Uint8Array,
): Promise<Uint8Array[]> {
  return await Promise.all(entries.map(async (entry, ordinal) => {
    const stored = storedBytes(object, entry);
    return decodeChunk(
      await openChunk(stored, { ...entry, pack, ordinal }, secrets),
      entry,
      secrets,
    );
  }));
}

async function rejectsFormat(action: () => Promise<unknown>, what: string): Promise<void> {
  await assert.rejects(action, (error) => {
    assert(error instanceof FormatError, `${what}: ${error}`);
    return true;
  }, what);
}

Deno.test("a pack that another program has encrypted reads back, and is written just so", async () => {
  const { header, entries } = await readSealedPack(vectors.packObject, secrets);
  assert.deepEqual(header, { fileSystem, pack: vectors.pack });
  assert.deepEqual(entries.map(({ hash }) => hex(hash)), vectors.chunkIds);
  const plain = await readAll(vectors.packObject, entries, vectors.pack);
  assert.deepEqual(plain.map((each) => [...each]), vectors.chunks.map((each) => [...each]));
  assert.equal(hex(await build(vectors.chunks, vectors.pack)), hex(vectors.packObject));
});

Deno.test("a metadata object that another program has encrypted reads back, and is written just so", () => {
  const object = decodeMetadataObject(vectors.metadataObject, secrets);
  const { payload, hash, ...header } = object;
  assert.deepEqual([...payload], [5, 6]);
  assert.deepEqual(header, {
    kind: MetadataKind.CHANGES,
    complete: true,
    restart: false,
    fileSystem,
    epoch: 3,
    first: 10,
    last: 12,
    timeMs: Date.UTC(2026, 0, 1),
    previous: NO_HASH,
    count: 3,
  });
  const again = encodeMetadataObject(header, payload, { secrets, nonce: vectors.metadataNonce });
  assert.equal(hex(again.bytes), hex(vectors.metadataObject));
  assert.deepEqual(again.hash, hash);
});

Deno.test("what was encrypted comes back, whatever the chunks are, and nothing plain is in the pack", async () => {
  const chunk = fc.oneof(
    fc.uint8Array({ minLength: 8, maxLength: 2000 }),
    fc.integer({ min: 8, max: 100_000 }).map((length) => new Uint8Array(length).fill(length & 255)),
    fc.integer({ min: 8, max: 50_000 }).map((length) => new SeededRandom(length).bytes(length)),
  );
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { minLength: 1, maxLength: 8 }), id, async (chunks, pack) => {
      const object = await build(chunks, pack);
      const { header, entries } = await readSealedPack(object, secrets);
      assert.deepEqual([...header.pack], [...pack]);
      const plain = await readAll(object, entries, pack);
      plain.forEach((each, i) => assert.ok(Buffer.from(each).equals(chunks[i])));
      const all = Buffer.from(object);
      for (const each of chunks) {
        assert.equal(all.indexOf(each.subarray(0, 32)), -1);
        assert.equal(all.indexOf(encodeChunk(each).stored), -1);
        assert.equal(all.indexOf(chunkId(each)), -1, "a plain hash");
        assert.equal(all.indexOf(chunkId(each, secrets)), -1, "a chunk id");
      }
    }),
    { numRuns: 40, seed: 5 },
  );
});

Deno.test("a pack with any bit changed, or cut anywhere, is refused, and so is every chunk it touches", async () => {
  const random = new SeededRandom(3);
  const chunks = [random.bytes(40), new Uint8Array(300).fill(9), random.bytes(5)];
  const object = await build(chunks, vectors.pack);
  const { entries } = await readSealedPack(object, secrets);
  for (let at = 0; at < object.length; at++) {
    const damaged = object.slice();
    damaged[at] ^= 1 << (at & 7);
    const hit = entries.findIndex(({ offset, stored }) => at >= offset && at < offset + stored);
    if (hit < 0) {
      await rejectsFormat(() => readSealedPack(damaged, secrets), `byte ${at} of the structure`);
      continue;
    }
    await rejectsFormat(
      () => readAll(damaged, entries, vectors.pack),
      `byte ${at} of chunk ${hit}`,
    );
  }
  for (let length = 0; length < object.length; length += 7) {
    await rejectsFormat(() => readSealedPack(object.slice(0, length), secrets), `cut at ${length}`);
  }
  await rejectsFormat(
    () => readSealedPack(new Uint8Array([...object, 0]), secrets),
    "a byte too many",
  );
});

Deno.test("a chunk is authentic in its own place only", async () => {
  const random = new SeededRandom(4);
  const twins = [random.bytes(64), random.bytes(64)];
  const object = await build(twins, vectors.pack);
  const { entries } = await readSealedPack(object, secrets);
  const other = new Uint8Array(16).fill(0xcd);
  const elsewhere = await build(twins, other);
  const stored = storedBytes(object, entries[0]);
  const right = { ...entries[0], pack: vectors.pack, ordinal: 0 };
  const reads: Record<string, () => Promise<unknown>> = {
    "with another ordinal": () => openChunk(stored, { ...right, ordinal: 1 }, secrets),
    "of another pack": () => openChunk(storedBytes(elsewhere, entries[0]), right, secrets),
    "as if of another pack": () => openChunk(stored, { ...right, pack: other }, secrets),
    "with another codec": () => openChunk(stored, { ...right, codec: Codec.ZSTD }, secrets),
    "with another length": () => openChunk(stored, { ...right, length: 63 }, secrets),
    "with another id": () => openChunk(stored, { ...right, hash: entries[1].hash }, secrets),
    "cut short": () => openChunk(stored.slice(0, -1), right, secrets),
    "of nothing": () => openChunk(new Uint8Array(), right, secrets),
    "plain": () => openChunk(twins[0], right, secrets),
  };
  for (const [what, read] of Object.entries(reads)) await rejectsFormat(read, what);
  for (const [what, wrong] of Object.entries(others)) {
    await rejectsFormat(() => openChunk(stored, right, wrong), what);
    await rejectsFormat(() => readSealedPack(object, wrong), what);
  }
  assert.deepEqual(await openChunk(stored, right, secrets), twins[0]);
});

Deno.test("a pack under the name of another is refused although its bytes are whole", async () => {
  const object = await build([Uint8Array.of(1, 2, 3)], vectors.pack);
  const renamed = object.slice();
  renamed.fill(0xee, 32, 48);
  await rejectsFormat(() => readSealedPack(renamed, secrets), "renamed");
});

Deno.test("a draft is no pack, and is sealed once", async () => {
  const draft = draftOf([Uint8Array.of(1, 2, 3)], vectors.pack);
  await rejectsFormat(() => readSealedPack(draft, secrets), "a draft");
  assert.throws(() => readPack(draft), FormatError);
  await sealPack(draft, secrets);
  await assert.rejects(sealPack(draft, secrets), { name: "InvariantError" });
});

Deno.test("a plain pack in an encrypted file system, and the reverse, are refused by name", async () => {
  const writer = new PackWriter({ fileSystem, pack: vectors.pack, encrypted: false });
  const plain = Uint8Array.of(1, 2, 3);
  writer.add({ hash: chunkId(plain), stored: plain, length: 3, codec: Codec.PLAIN });
  const object = writer.finish();
  await assert.rejects(readSealedPack(object, secrets), /not encrypted, and this file system is/);
  assert.throws(() => readPack(vectors.packObject), /is encrypted, and this file system is not/);
});

const header = {
  kind: MetadataKind.CHANGES,
  complete: true,
  restart: false,
  fileSystem,
  epoch: 3,
  first: 10,
  last: 12,
  timeMs: 5,
  previous: NO_HASH,
  count: 2,
};

Deno.test("a metadata object with any bit changed, although its hash is made right, is refused", () => {
  const nonce = new SeededRandom(9).bytes(12);
  const { bytes } = encodeMetadataObject(header, new SeededRandom(8).bytes(50), { secrets, nonce });
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at] ^= 1 << (at & 7);
    const refused = () => decodeMetadataObject(damaged, secrets);
    assert.throws(refused, FormatError, `byte ${at}`);
    // Whoever holds the bucket can make the hash right; the tag he cannot.
    damaged.set(sha256(damaged.subarray(0, -48)), damaged.length - 48);
    if (at < bytes.length - 48) assert.throws(refused, FormatError, `byte ${at}, hash made right`);
    assert.throws(() => decodeMetadataObject(bytes.slice(0, at), secrets), FormatError);
  }
  for (const [what, wrong] of Object.entries(others)) {
    assert.throws(() => decodeMetadataObject(bytes, wrong), FormatError, what);
  }
});

Deno.test("metadata tells outside neither how many records it holds nor how long they are", () => {
  const nonce = new Uint8Array(12);
  const payload = new TextEncoder().encode("secret name ".repeat(20));
  const { bytes } = encodeMetadataObject(header, payload, { secrets, nonce });
  assert.equal(Buffer.from(bytes).indexOf("secret"), -1);
  assert.deepEqual([...bytes.subarray(96, 104)], new Array(8).fill(0));
  assert.equal(bytes[108], 0);
  assert.deepEqual([...decodeMetadataObject(bytes, secrets).payload], [...payload]);
});

Deno.test("plain metadata in an encrypted file system, and the reverse, are refused by name", () => {
  const plain = encodeMetadataObject(header, new Uint8Array(3)).bytes;
  assert.throws(
    () => decodeMetadataObject(plain, secrets),
    /not encrypted, and this file system is/,
  );
  assert.throws(
    () => decodeMetadataObject(vectors.metadataObject),
    /is encrypted, and this file system is not/,
  );
});

const descriptor: Descriptor = {
  fileSystem: hex(fileSystem),
  chunkSize: 4 << 20,
  features: ["encryption"],
  created: "2026-01-31T12:00:00.000Z",
};

Deno.test("the seal in zero.json is what another program makes of it, and holds each field", () => {
  const sealed = sealDescriptor(descriptor, secrets);
  assert.equal(sealed.seal, vectors.descriptorSeal);
  assert.deepEqual(decodeDescriptor(encodeDescriptor(sealed)), sealed);
  checkSeal(sealed, secrets);
  const changes: Partial<Descriptor>[] = [
    { chunkSize: 1 << 20 },
    { features: [] },
    { created: "2026-01-31T12:00:01.000Z" },
    { fileSystem: "0".repeat(32) },
    { seal: "0".repeat(64) },
  ];
  for (const change of changes) {
    assert.throws(() => checkSeal({ ...sealed, ...change }, secrets), FormatError);
  }
  for (const wrong of Object.values(others)) {
    assert.throws(() => checkSeal(sealed, wrong), FormatError);
  }
  assert.throws(() => decodeDescriptor(encodeDescriptor(descriptor)), /'seal'.*missing/);
});

Deno.test("secrets show no key, however they are looked at", () => {
  const shown = [Deno.inspect(secrets, { showHidden: true, depth: 9 }), JSON.stringify(secrets)];
  const master = [...vectors.material.master].join(", ");
  for (const text of shown) assert.ok(!text.includes(master.slice(8, 40)), text);
});
