/**
 * Reads the structure of a pack of a file system that is not encrypted: header, index and footer, from the whole object or from its ends.
 * Checks every count and length against the object's real length before it allocates, and throws
 * FormatError for whatever does not agree. Chunks themselves are verified by `decodeChunk`.
 */
import { createHash } from "node:crypto";
import { Codec, HASH_BYTES } from "./codec.ts";
import { requireFeatures } from "./features.ts";
import { FormatError, wellFormed } from "./format_error.ts";
import { ID_BYTES } from "./keys.ts";
import { FORMAT_VERSION, MAX_CHUNK_BYTES, MAX_PACK_BYTES, MAX_PACK_CHUNKS } from "./limits.ts";
import {
  Entry,
  ENTRY_BYTES,
  Footer,
  FOOTER_BYTES,
  Header,
  HEADER_BYTES,
  PACK_MAGIC,
  type PackEntry,
} from "./pack_layout.ts";

export interface PackHeader {
  /** File system id, 16 bytes. */
  fileSystem: Uint8Array;
  /** Pack id, 16 bytes. */
  pack: Uint8Array;
}

export interface PackFooter {
  indexOffset: number;
  indexLength: number;
  count: number;
  /** SHA-256 of header and index. */
  hash: Uint8Array;
}

/** Reads the first 48 bytes of a pack, which must be encrypted or not as the file system is. */
export function readPackHeader(bytes: Uint8Array, options = { encrypted: false }): PackHeader {
  wellFormed(bytes.length >= HEADER_BYTES, () => `a pack of ${bytes.length} bytes has no header`);
  const view = viewOf(bytes);
  checkIdentity(bytes.subarray(0, PACK_MAGIC.length), {
    version: view.getUint16(Header.version, true),
    features: view.getUint32(Header.features, true),
    reserved: view.getUint16(Header.zero, true),
    where: "header",
  }, options);
  return {
    fileSystem: bytes.slice(Header.fileSystem, Header.fileSystem + ID_BYTES),
    pack: bytes.slice(Header.pack, Header.pack + ID_BYTES),
  };
}

/** Checks what every footer has. `bytes` are the last 64 of an object that is `objectLength` long. */
export function checkPackEnd(
  bytes: Uint8Array,
  objectLength: number,
  options: { encrypted: boolean },
): DataView {
  wellFormed(
    bytes.length === FOOTER_BYTES && objectLength >= HEADER_BYTES + ENTRY_BYTES + FOOTER_BYTES,
    () => `a pack of ${objectLength} bytes has no footer`,
  );
  wellFormed(
    objectLength <= MAX_PACK_BYTES,
    () => `a pack has at most ${MAX_PACK_BYTES} bytes, this one ${objectLength}`,
  );
  const view = viewOf(bytes);
  checkIdentity(bytes.subarray(Footer.magic, Footer.magic + PACK_MAGIC.length), {
    version: view.getUint16(Footer.version, true),
    features: view.getUint32(Footer.features, true),
    reserved: view.getUint16(Footer.zero, true),
    where: "footer",
  }, options);
  return view;
}

/** Checks where an index claims to lie; `overhead`: by how much it is longer than its entries. */
export function checkPlace(
  place: { indexOffset: number; indexLength: number; count: number },
  options: { objectLength: number; overhead: number },
): void {
  const { indexOffset, indexLength, count } = place;
  const { objectLength, overhead } = options;
  wellFormed(
    count >= 1 && count <= MAX_PACK_CHUNKS,
    () => `a pack holds 1 to ${MAX_PACK_CHUNKS} chunks, this one claims ${count}`,
  );
  wellFormed(
    indexLength === count * ENTRY_BYTES + overhead &&
      indexOffset === objectLength - FOOTER_BYTES - indexLength && indexOffset > HEADER_BYTES,
    () =>
      `index of ${count} chunks at ${indexOffset} with ${indexLength} bytes in a pack of ${objectLength}`,
  );
}

/** Reads the last 64 bytes of a pack object that is `objectLength` bytes long. */
export function readPackFooter(bytes: Uint8Array, objectLength: number): PackFooter {
  const view = checkPackEnd(bytes, objectLength, { encrypted: false });
  const indexOffset = Number(view.getBigUint64(Footer.indexOffset, true));
  const indexLength = view.getUint32(Footer.indexLength, true);
  const count = view.getUint32(Footer.count, true);
  checkPlace({ indexOffset, indexLength, count }, { objectLength, overhead: 0 });
  return {
    indexOffset,
    indexLength,
    count,
    hash: bytes.slice(Footer.hash, Footer.hash + HASH_BYTES),
  };
}

/** Reads the index; `header` are the first 48 bytes, which its hash covers too. */
export function readPackIndex(
  index: Uint8Array,
  options: { header: Uint8Array; footer: PackFooter },
): PackEntry[] {
  const { header, footer } = options;
  wellFormed(
    index.length === footer.indexLength,
    () => `an index of ${footer.indexLength} bytes came back with ${index.length}`,
  );
  const digest = createHash("sha256").update(header.subarray(0, HEADER_BYTES)).update(index)
    .digest();
  wellFormed(digest.equals(footer.hash), () => "the pack's index does not have the hash it claims");
  return readPackEntries(index, { ...footer, overhead: 0 });
}

/** Reads the entries of an index; `overhead`: by how much stored bytes are longer than encoded ones. */
export function readPackEntries(
  index: Uint8Array,
  options: { count: number; indexOffset: number; overhead: number },
): PackEntry[] {
  const { count, indexOffset, overhead } = options;
  const view = viewOf(index);
  const entries: PackEntry[] = [];
  let expected = HEADER_BYTES;
  for (let ordinal = 0; ordinal < count; ordinal++) {
    const at = ordinal * ENTRY_BYTES;
    const entry: PackEntry = {
      hash: index.slice(at + Entry.hash, at + Entry.hash + HASH_BYTES),
      offset: Number(view.getBigUint64(at + Entry.offset, true)),
      stored: view.getUint32(at + Entry.stored, true),
      length: view.getUint32(at + Entry.length, true),
      codec: view.getUint8(at + Entry.codec),
    };
    checkEntry(entry, { ordinal, expected, overhead });
    expected += entry.stored;
    entries.push(entry);
  }
  wellFormed(
    expected === indexOffset,
    () => `the chunks of a pack end at ${expected}, its index begins at ${indexOffset}`,
  );
  return entries;
}

/** Reads the structure of a whole pack object. */
export function readPack(object: Uint8Array): { header: PackHeader; entries: PackEntry[] } {
  const header = readPackHeader(object);
  const footer = readPackFooter(
    object.subarray(Math.max(0, object.length - FOOTER_BYTES)),
    object.length,
  );
  const index = object.subarray(footer.indexOffset, footer.indexOffset + footer.indexLength);
  return { header, entries: readPackIndex(index, { header: object, footer }) };
}

/** The stored bytes of one chunk within a whole pack object. */
export function storedBytes(object: Uint8Array, entry: PackEntry): Uint8Array {
  return object.subarray(entry.offset, entry.offset + entry.stored);
}

function checkEntry(
  entry: PackEntry,
  place: { ordinal: number; expected: number; overhead: number },
): void {
  const { ordinal, expected, overhead } = place;
  const encoded = entry.stored - overhead;
  if (entry.codec !== Codec.PLAIN && entry.codec !== Codec.ZSTD) {
    throw new FormatError(
      "unknown",
      `chunk ${ordinal} of a pack is stored with codec ${entry.codec}, which this version cannot read`,
    );
  }
  wellFormed(
    entry.length >= 1 && entry.length <= MAX_CHUNK_BYTES,
    () => `chunk ${ordinal} of a pack claims ${entry.length} bytes`,
  );
  wellFormed(
    entry.offset === expected,
    () => `chunk ${ordinal} of a pack lies at ${entry.offset} instead of ${expected}`,
  );
  wellFormed(
    entry.codec === Codec.PLAIN ? encoded === entry.length : encoded >= 1 && encoded < entry.length,
    () => `chunk ${ordinal} of a pack claims ${entry.stored} stored bytes for ${entry.length}`,
  );
}

function checkIdentity(
  magic: Uint8Array,
  found: { version: number; features: number; reserved: number; where: string },
  options: { encrypted: boolean },
): void {
  wellFormed(
    PACK_MAGIC.every((byte, i) => magic[i] === byte),
    () => `the ${found.where} of a pack does not say ZEROPACK`,
  );
  if (found.version !== FORMAT_VERSION) {
    throw new FormatError(
      "unknown",
      `a pack of format ${found.version}; this version reads format ${FORMAT_VERSION}`,
    );
  }
  requireFeatures(found.features, options, "a pack");
  wellFormed(found.reserved === 0, () => `reserved bytes in the ${found.where} of a pack are set`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
