/** Records, objects and manifests of the metadata: round trips, and what a reader refuses. */
import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { type MetadataRecord, RecordTable } from "../../../src/domain/metadata_rows.ts";
import { ByteReader } from "../../../src/format/byte_reader.ts";
import { ByteWriter } from "../../../src/format/byte_writer.ts";
import { FormatError } from "../../../src/format/format_error.ts";
import { metadataKey, parseMetadataKey } from "../../../src/format/keys.ts";
import {
  decodeMetadataObject,
  encodeMetadataObject,
  type MetadataHeader,
  NO_HASH,
  sha256,
} from "../../../src/format/metadata_object.ts";
import { decodeRecord, readRecords } from "../../../src/format/metadata_record_reader.ts";
import { encodeRecord } from "../../../src/format/metadata_records.ts";
import { decodeManifest, encodeManifest } from "../../../src/format/metadata_snapshot.ts";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u64 = fc.maxSafeNat();
const time = fc.tuple(fc.maxSafeInteger(), fc.integer({ min: 0, max: 999_999_999 }));
const id = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const name = fc.uint8Array({ minLength: 1, maxLength: 255 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const chunkLength = fc.integer({ min: 1, max: 64 << 20 });

const rows: Record<number, fc.Arbitrary<unknown>> = {
  [RecordTable.INODE]: fc.record({
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    rdev: u32,
    dirty: fc.boolean(),
    pinned: fc.boolean(),
    size: u64,
    generation: u64,
    changedMs: u64,
    atime: time,
    mtime: time,
    ctime: time,
    btime: time,
    target: maybe(fc.uint8Array({ maxLength: 4095 })),
  }),
  [RecordTable.DENTRY]: fc.record({ parent: u64, inode: u64, name }),
  [RecordTable.XATTR]: fc.record({ inode: u64, name, value: fc.uint8Array({ maxLength: 500 }) }),
  [RecordTable.VERSION]: fc.record({
    inode: u64,
    kind: fc.integer({ min: 1, max: 3 }),
    generation: u64,
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: time,
    savedMs: u64,
    trashedMs: maybe(fc.nat()),
    path: maybe(name),
  }),
  [RecordTable.VERSION_LIST]: fc.array(fc.record({
    index: u64,
    chunk: u64,
    count: fc.integer({ min: 1, max: 65_536 }),
    length: chunkLength,
  })),
  [RecordTable.PACK]: fc.record({
    name: id(16),
    versionId: fc.string({ unit: "binary" }),
    bytes: u64,
    verified: fc.boolean(),
    condemned: fc.boolean(),
    createdMs: u64,
  }),
  [RecordTable.PACK_LIST]: fc.array(fc.record({
    id: u64,
    hash: id(32),
    ordinal: u32,
    offset: u64,
    stored: u32,
    length: chunkLength,
    codec: fc.constantFrom(0, 1),
    lost: fc.boolean(),
  })),
};

const record = fc.integer({ min: 1, max: 7 }).chain((table) =>
  fc.record({ table: fc.constant(table), key: u64, row: maybe(rows[table]) })
) as fc.Arbitrary<MetadataRecord>;

function encodeAll(records: MetadataRecord[]): Uint8Array {
  const into = new ByteWriter();
  for (const each of records) encodeRecord(into, each);
  return into.finish();
}

const plain = (value: unknown): unknown => structuredClone(value);

Deno.test("every record reads back as it was written", () => {
  fc.assert(fc.property(fc.array(record, { maxLength: 20 }), (records) => {
    const back = [...readRecords(encodeAll(records))].map(decodeRecord);
    assert.deepEqual(back, plain(records));
  }));
});

const header: MetadataHeader = {
  kind: 1,
  complete: true,
  restart: false,
  fileSystem: new Uint8Array(16).fill(7),
  epoch: 3,
  first: 10,
  last: 12,
  timeMs: Date.UTC(2026, 0, 1),
  previous: NO_HASH,
  count: 2,
};

function throwsFormat(action: () => unknown, pattern?: RegExp): void {
  assert.throws(action, (error) => {
    assert(error instanceof FormatError, String(error));
    if (pattern !== undefined) assert.match(error.message, pattern);
    return true;
  });
}

Deno.test("an object reads back, and is known by the hash of what it says", () => {
  for (const size of [0, 1, 100_000]) {
    const payload = new Uint8Array(size).fill(65);
    const { bytes, hash } = encodeMetadataObject(header, payload);
    const back = decodeMetadataObject(bytes);
    const { payload: found, hash: itsHash, ...rest } = back;
    assert.deepEqual(rest, header);
    assert.deepEqual(new Uint8Array(found), payload);
    assert.deepEqual(itsHash, hash);
  }
});

Deno.test("an object with any byte changed, or cut anywhere, is refused", () => {
  const { bytes } = encodeMetadataObject(header, sha256(new Uint8Array([1, 2, 3])));
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at] ^= 0x40;
    throwsFormat(() => decodeMetadataObject(damaged));
    throwsFormat(() => decodeMetadataObject(bytes.slice(0, at)));
  }
});

Deno.test("another version, feature and record are refused by name", () => {
  const change = (at: number, value: number) => {
    const { bytes } = encodeMetadataObject(header, new Uint8Array());
    bytes[at] = value;
    return bytes;
  };
  throwsFormat(() => decodeMetadataObject(change(8, 2)), /format 2; this version reads format 1/);
  throwsFormat(() => decodeMetadataObject(change(12, 2)), /bit 1/);
  throwsFormat(() => decodeMetadataObject(change(10, 9)), /kind 9/);
  throwsFormat(() => decodeMetadataObject(change(109, 2)), /schema 2/);
  const unknown = new Uint8Array(16);
  unknown[0] = 8;
  throwsFormat(() => [...readRecords(unknown)], /table 8/);
});

Deno.test("whatever bytes a reader is given, it reads them or throws FormatError", () => {
  const read = (bytes: Uint8Array) => {
    for (const raw of readRecords(bytes)) decodeRecord(raw);
  };
  const only = (action: () => unknown) => {
    try {
      action();
    } catch (error) {
      assert(error instanceof FormatError, String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    only(() => read(bytes));
    only(() => decodeMetadataObject(bytes));
    only(() => decodeManifest(bytes));
  }));
  // Near misses: well-formed records with a few bytes changed.
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(fc.array(record, { minLength: 1, maxLength: 4 }), changes, (all, edits) => {
    const bytes = encodeAll(all);
    for (const [at, value] of edits) bytes[at % bytes.length] = value;
    only(() => read(bytes));
  }));
});

Deno.test("a manifest reads back, and one that claims too much is refused", () => {
  const manifest = {
    base: sha256(new Uint8Array([1])),
    end: sha256(new Uint8Array([2])),
    segments: [1, 2].map((table) => ({
      table: table as RecordTable,
      first: 1,
      last: 2 ** 40,
      count: 77,
      bytes: 12_345,
      content: sha256(new Uint8Array([table])),
      key: "metadata/x",
    })),
  };
  const bytes = encodeManifest(manifest);
  assert.deepEqual(decodeManifest(bytes), manifest);
  new DataView(bytes.buffer).setUint32(64, 0xffffffff, true);
  throwsFormat(() => decodeManifest(bytes), /segments/);
});

Deno.test("names of objects read back; others are no names", () => {
  const unique = "0123456789abcdef0123456789abcdef";
  for (const kind of ["changes", "segment", "snapshot"] as const) {
    const name = { kind, epoch: 7, first: 1, last: 0xabcdef };
    assert.deepEqual(parseMetadataKey(metadataKey(name, unique)), name);
  }
  for (const key of ["metadata/7/1-2-3", "metadata/", `packs/01/${unique}`]) {
    assert.equal(parseMetadataKey(key), undefined);
  }
});

Deno.test("numbers are written in 64 bits and read back, negative ones too", () => {
  const into = new ByteWriter();
  const numbers = [0, 1, -1, 2 ** 32, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER];
  for (const each of numbers) into.i64(each);
  const from = new ByteReader(into.finish(), "a test");
  assert.deepEqual(numbers.map(() => from.i64()), numbers);
  throwsFormat(() => from.u8(), /a test ends after 48 bytes, 1 too early/);
});
