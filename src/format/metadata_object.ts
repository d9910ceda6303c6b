/**
 * The frame of every metadata object: header, compressed payload, footer (docs/FORMAT.md,
 * "Metadata"). An object is known by the SHA-256 in its footer, and changes form a chain of these.
 * In an encrypted file system the payload is encrypted, with what tells how much it holds, and bound to
 * the header; the SHA-256 is one of encrypted bytes.
 */
import { createHash } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { invariant } from "../domain/errors.ts";
import { ByteReader } from "./byte_reader.ts";
import { ByteWriter } from "./byte_writer.ts";
import { NONCE_BYTES, open, seal, TAG_BYTES } from "./cipher.ts";
import { Codec, HASH_BYTES } from "./codec.ts";
import { ENCRYPTED, requireFeatures } from "./features.ts";
import { FormatError, wellFormed } from "./format_error.ts";
import { ID_BYTES } from "./keys.ts";
import { FORMAT_VERSION, MAX_METADATA_BYTES } from "./limits.ts";
import { RECORD_SCHEMA } from "./metadata_layout.ts";
import type { Secrets } from "./secrets.ts";

/** "ZEROMETA". */
const MAGIC = new TextEncoder().encode("ZEROMETA");
const HEADER_BYTES = 112;
const FOOTER_BYTES = 48;
/** Encrypted with the payload: count u32, plain length u32, codec u8, zero 3. */
const INNER_BYTES = 12;

/** What a metadata object holds. */
export const MetadataKind = {
  /** Records of what changed; a link of the chain. */
  CHANGES: 1,
  /** Records of all rows of a table in a range of keys. */
  SEGMENT: 2,
  /** The list of a snapshot's segments, written last. */
  SNAPSHOT: 3,
} as const;
export type MetadataKind = (typeof MetadataKind)[keyof typeof MetadataKind];

/** With this object a state is reached in which all tables agree with each other. */
const COMPLETE = 1;
/** Something before it is missing: applies only directly upon a snapshot. */
const RESTART = 2;

/** The hash before the first object of a file system. */
export const NO_HASH = new Uint8Array(HASH_BYTES);

export interface MetadataHeader {
  kind: MetadataKind;
  complete: boolean;
  restart: boolean;
  /** File system id, 16 bytes. */
  fileSystem: Uint8Array;
  epoch: number;
  /** Sequence numbers: what changed from `first` on, up to and with `last`. */
  first: number;
  last: number;
  /** Wall clock when the rows were read, ms. */
  timeMs: number;
  /** CHANGES: hash of the object before it; NO_HASH for the first one, and for other kinds. */
  previous: Uint8Array;
  /** Records in the payload. */
  count: number;
}

export interface MetadataObject extends MetadataHeader {
  payload: Uint8Array;
  /** SHA-256 in the footer. */
  hash: Uint8Array<ArrayBuffer>;
}

/** An object's bytes, and the hash that they are known by. */
export interface EncodedObject {
  bytes: Uint8Array<ArrayBuffer>;
  hash: Uint8Array<ArrayBuffer>;
}

const compression = { params: { [constants.ZSTD_c_compressionLevel]: 6 } };

/** What encrypts a metadata object. */
export interface MetadataSealing {
  secrets: Secrets;
  /** 12 random bytes, fresh for each object. */
  nonce: Uint8Array;
}

/** An object's bytes; encrypted where `sealing` is given. */
export function encodeMetadataObject(
  header: MetadataHeader,
  payload: Uint8Array,
  sealing?: MetadataSealing,
): EncodedObject {
  invariant(payload.length <= MAX_METADATA_BYTES, () => `metadata of ${payload.length} bytes`);
  invariant(header.previous.length === HASH_BYTES, "a hash has 32 bytes");
  const packed = zstdCompressSync(payload, compression);
  const codec = packed.length < payload.length ? Codec.ZSTD : Codec.PLAIN;
  const encoded = codec === Codec.ZSTD ? packed : payload;
  const facts = { count: header.count, plain: payload.length, codec };
  let frame: Uint8Array;
  let stored = encoded;
  if (sealing === undefined) {
    frame = encodeHeader(header, { ...facts, stored: encoded.length, features: 0 });
  } else {
    const length = NONCE_BYTES + INNER_BYTES + encoded.length + TAG_BYTES;
    const nothing = { count: 0, plain: 0, codec: 0 };
    frame = encodeHeader(header, { ...nothing, stored: length, features: ENCRYPTED });
    stored = sealPayload(encoded, { ...facts, frame, sealing });
  }
  const into = new ByteWriter();
  into.bytes(frame);
  into.bytes(stored);
  const hash = sha256(into.finish());
  into.bytes(hash);
  into.u32(sealing === undefined ? 0 : ENCRYPTED);
  into.u16(FORMAT_VERSION);
  into.u16(0);
  into.bytes(MAGIC);
  return { bytes: into.finish(), hash };
}

function encodeHeader(
  header: MetadataHeader,
  facts: { count: number; plain: number; stored: number; codec: number; features: number },
): Uint8Array {
  const into = new ByteWriter(HEADER_BYTES);
  into.bytes(MAGIC);
  into.u16(FORMAT_VERSION);
  into.u8(header.kind);
  into.u8((header.complete ? COMPLETE : 0) | (header.restart ? RESTART : 0));
  into.u32(facts.features);
  into.bytes(header.fileSystem);
  into.u64(header.epoch);
  into.u64(header.first);
  into.u64(header.last);
  into.u64(header.timeMs);
  into.bytes(header.previous);
  into.u32(facts.count);
  into.u32(facts.plain);
  into.u32(facts.stored);
  into.u8(facts.codec);
  into.u8(RECORD_SCHEMA);
  into.u16(0);
  return into.finish();
}

function sealPayload(
  encoded: Uint8Array,
  parts: {
    frame: Uint8Array;
    count: number;
    plain: number;
    codec: number;
    sealing: MetadataSealing;
  },
): Uint8Array {
  const { nonce, secrets } = parts.sealing;
  invariant(nonce.length === NONCE_BYTES, "a nonce has 12 bytes");
  const inner = new ByteWriter(INNER_BYTES + encoded.length);
  inner.u32(parts.count);
  inner.u32(parts.plain);
  inner.u8(parts.codec);
  for (let i = 0; i < 3; i++) inner.u8(0);
  inner.bytes(encoded);
  const sealed = secrets.withMetadataKey((key) =>
    seal(inner.finish(), { key, nonce, additional: parts.frame })
  );
  const into = new ByteWriter(nonce.length + sealed.length);
  into.bytes(nonce);
  into.bytes(sealed);
  return into.finish();
}

/** Decrypts a stored payload: what it holds, and its encoded bytes. */
function openPayload(
  stored: Uint8Array,
  { frame, secrets }: { frame: Uint8Array; secrets: Secrets },
): { count: number; plain: number; codec: number; encoded: Uint8Array } {
  wellFormed(
    stored.length >= NONCE_BYTES + INNER_BYTES + TAG_BYTES,
    () => `an encrypted metadata object with a payload of ${stored.length} bytes`,
  );
  const nonce = stored.subarray(0, NONCE_BYTES);
  const inner = secrets.withMetadataKey((key) =>
    open(stored.subarray(NONCE_BYTES), { key, nonce, additional: frame }, "a metadata object")
  );
  const from = new ByteReader(inner, "a metadata object");
  const [count, plain] = [from.u32(), from.u32()];
  const codec = from.u8();
  const reserved = from.u8() | from.u16();
  wellFormed(reserved === 0, () => "reserved bytes of an encrypted metadata object are set");
  return { count, plain, codec, encoded: from.view(from.left) };
}

/**
 * Reads an object whole. Throws FormatError; another version, feature, kind or codec by name, and a
 * plain object in an encrypted file system (where there are `secrets`) or the reverse.
 */
export function decodeMetadataObject(bytes: Uint8Array, secrets?: Secrets): MetadataObject {
  const encrypted = secrets !== undefined;
  wellFormed(
    bytes.length >= HEADER_BYTES + FOOTER_BYTES,
    () => `a metadata object of ${bytes.length} bytes`,
  );
  const from = new ByteReader(bytes, "a metadata object");
  const magic = from.view(MAGIC.length);
  const version = from.u16();
  const kind = from.u8();
  const flags = from.u8();
  checkIdentity(magic, { version, features: from.u32(), where: "header", encrypted });
  if (kind < MetadataKind.CHANGES || kind > MetadataKind.SNAPSHOT || flags > (COMPLETE | RESTART)) {
    throw new FormatError("unknown", `a metadata object of kind ${kind} with flags ${flags}`);
  }
  const fileSystem = from.bytes(ID_BYTES);
  const [epoch, first, last, timeMs] = Array.from({ length: 4 }, () => from.u64());
  const previous = from.bytes(HASH_BYTES);
  const [outerCount, outerPlain, storedLength] = Array.from({ length: 3 }, () => from.u32());
  const outerCodec = from.u8();
  const schema = from.u8();
  const reserved = from.u16();
  if (schema !== RECORD_SCHEMA || reserved !== 0) {
    throw new FormatError(
      "unknown",
      `metadata of schema ${schema}; this version reads ${RECORD_SCHEMA}`,
    );
  }
  wellFormed(
    storedLength === from.left - FOOTER_BYTES,
    () => `a metadata object of ${bytes.length} bytes claims ${storedLength} of payload`,
  );
  const stored = from.view(storedLength);
  const hash = from.bytes(HASH_BYTES);
  const features = from.u32();
  const endVersion = from.u16();
  wellFormed(from.u16() === 0, () => "reserved bytes in the footer of a metadata object are set");
  const end = { version: endVersion, features, where: "footer", encrypted };
  checkIdentity(from.view(MAGIC.length), end);
  const digest = createHash("sha256").update(bytes.subarray(0, HEADER_BYTES + storedLength));
  wellFormed(digest.digest().equals(hash), () => "a metadata object does not have its hash");
  const outer = { count: outerCount, plain: outerPlain, codec: outerCodec, encoded: stored };
  wellFormed(
    !encrypted || (outerCount | outerPlain | outerCodec) === 0,
    () => "an encrypted metadata object tells outside what it holds",
  );
  const frame = bytes.subarray(0, HEADER_BYTES);
  const { count, plain, codec, encoded } = secrets === undefined
    ? outer
    : openPayload(stored, { frame, secrets });
  wellFormed(
    plain <= MAX_METADATA_BYTES,
    () => `a metadata object claims ${plain} bytes; at most ${MAX_METADATA_BYTES} are expected`,
  );
  return {
    kind: kind as MetadataKind,
    complete: (flags & COMPLETE) !== 0,
    restart: (flags & RESTART) !== 0,
    fileSystem,
    epoch,
    first,
    last,
    timeMs,
    previous,
    count,
    payload: expand(encoded, { codec, length: plain }),
    hash,
  };
}

function expand(stored: Uint8Array, { codec, length }: { codec: number; length: number }) {
  if (codec !== Codec.PLAIN && codec !== Codec.ZSTD) {
    throw new FormatError("unknown", `metadata with codec ${codec}`);
  }
  let plain = stored;
  if (codec === Codec.ZSTD) {
    try {
      plain = new Uint8Array(zstdDecompressSync(stored, { maxOutputLength: Math.max(1, length) }));
    } catch (error) {
      throw new FormatError("corrupt", "metadata does not decompress", { cause: error });
    }
  }
  wellFormed(plain.length === length, () => `metadata of ${plain.length} instead of ${length}`);
  return plain;
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function checkIdentity(
  magic: Uint8Array,
  found: { version: number; features: number; where: string; encrypted: boolean },
): void {
  wellFormed(
    MAGIC.every((byte, i) => magic[i] === byte),
    () => `the ${found.where} of a metadata object does not say ZEROMETA`,
  );
  if (found.version !== FORMAT_VERSION) {
    throw new FormatError(
      "unknown",
      `metadata of format ${found.version}; this version reads format ${FORMAT_VERSION}`,
    );
  }
  requireFeatures(found.features, found, "a metadata object");
}
