/**
 * Encrypts packs and opens what is in them (docs/FORMAT.md, "Encrypted packs"): each chunk by itself, the
 * index, and the place of the index, all under the key of the pack. A draft is sealed once, so no nonce
 * is ever used twice. Through WebCrypto: on chunks of 4 MiB it is several times as fast as `node:crypto`.
 */
import { Buffer } from "node:buffer";
import { invariant } from "../domain/errors.ts";
import { NONCE_BYTES, notAuthentic, TAG_BYTES } from "./cipher.ts";
import { HASH_BYTES, type StoredChunk } from "./codec.ts";
import { ENCRYPTED } from "./features.ts";
import { wellFormed } from "./format_error.ts";
import { ID_BYTES, packKey } from "./keys.ts";
import { FORMAT_VERSION } from "./limits.ts";
import {
  ENTRY_BYTES,
  Footer,
  FOOTER_BYTES,
  Header,
  HEADER_BYTES,
  PACK_MAGIC,
  type PackEntry,
  PLACE_BYTES,
  SealedFooter,
} from "./pack_layout.ts";
import {
  checkPackEnd,
  checkPlace,
  type PackHeader,
  readPackEntries,
  readPackHeader,
} from "./pack_reader.ts";
import type { Secrets } from "./secrets.ts";

/** A chunk in its place. `ChunkLocation` of the protocol is one. */
export interface PlacedChunk extends StoredChunk {
  /** Pack id, 16 bytes. */
  pack: Uint8Array;
  ordinal: number;
}

/** What stands in the place of an ordinal for what is not a chunk. */
const INDEX = 0xffff_ffff;
const PLACE = 0xffff_fffe;

/** Makes a pack of a draft (`PackWriter.finish`), in the same buffer: no plain byte is left in it. */
export async function sealPack(
  draft: Uint8Array<ArrayBuffer>,
  secrets: Secrets,
): Promise<Uint8Array<ArrayBuffer>> {
  const view = new DataView(draft.buffer, draft.byteOffset, draft.byteLength);
  const end = draft.length - FOOTER_BYTES;
  invariant(draft.subarray(end + Footer.magic).every((byte) => byte === 0), "a draft has no magic");
  const pack = draft.slice(Header.pack, Header.pack + ID_BYTES);
  invariant(
    Buffer.from(additional(secrets, { pack, ordinal: 0 })).subarray(0, HEADER_BYTES)
      .equals(draft.subarray(0, HEADER_BYTES)),
    "a draft has the header of an encrypted pack of this file system",
  );
  const indexOffset = Number(view.getBigUint64(end + Footer.indexOffset, true));
  const indexLength = view.getUint32(end + Footer.indexLength, true);
  const count = view.getUint32(end + Footer.count, true);
  checkPlace({ indexOffset, indexLength, count }, {
    objectLength: draft.length,
    overhead: TAG_BYTES,
  });
  const index = draft.subarray(indexOffset, indexOffset + count * ENTRY_BYTES);
  const entries = readPackEntries(index, { count, indexOffset, overhead: TAG_BYTES });
  const key = await secrets.packKey(pack);
  for (const [ordinal, entry] of entries.entries()) {
    const area = draft.subarray(entry.offset, entry.offset + entry.stored);
    await sealInPlace(area, {
      key,
      ordinal,
      aad: additional(secrets, { ...entry, pack, ordinal }),
    });
  }
  const indexArea = draft.subarray(indexOffset, end);
  const indexAad = additional(secrets, { pack, ordinal: INDEX });
  await sealInPlace(indexArea, { key, ordinal: INDEX, aad: indexAad });
  const place = draft.slice(end + Footer.indexOffset, end + Footer.indexOffset + PLACE_BYTES);
  draft.fill(0, end, end + SealedFooter.features);
  draft.set(place, end);
  const placeArea = draft.subarray(end, end + PLACE_BYTES + TAG_BYTES);
  const placeAad = additional(secrets, { pack, ordinal: PLACE });
  await sealInPlace(placeArea, { key, ordinal: PLACE, aad: placeAad });
  view.setUint32(end + Footer.features, ENCRYPTED, true);
  draft.set(PACK_MAGIC, end + Footer.magic);
  return draft;
}

/**
 * The encoded bytes of a chunk (`decodeChunk` goes on from there). Throws a `corrupt` FormatError unless
 * these are the bytes that were stored in this place of this pack of this file system.
 */
export async function openChunk(
  stored: Uint8Array,
  chunk: PlacedChunk,
  secrets: Secrets,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await secrets.packKey(chunk.pack);
  const { ordinal } = chunk;
  const aad = additional(secrets, chunk);
  return await openArea(stored, { key, ordinal, aad }, `chunk ${ordinal} of a pack`);
}

/** Reads the structure of a whole encrypted pack. Throws FormatError. */
export async function readSealedPack(
  object: Uint8Array,
  secrets: Secrets,
): Promise<{ header: PackHeader; entries: PackEntry[] }> {
  const header = readPackHeader(object, { encrypted: true });
  const { pack } = header;
  wellFormed(
    Buffer.from(header.fileSystem).equals(secrets.fileSystem),
    () => `a pack of file system ${Buffer.from(header.fileSystem).toString("hex")}`,
  );
  const end = Math.max(0, object.length - FOOTER_BYTES);
  const footer = object.subarray(end);
  checkPackEnd(footer, object.length, { encrypted: true });
  wellFormed(
    footer.subarray(SealedFooter.zero, SealedFooter.features).every((byte) => byte === 0),
    () => "reserved bytes in the footer of a pack are set",
  );
  const key = await secrets.packKey(pack);
  const place = await openArea(footer.subarray(0, PLACE_BYTES + TAG_BYTES), {
    key,
    ordinal: PLACE,
    aad: additional(secrets, { pack, ordinal: PLACE }),
  }, "the footer of a pack");
  const view = new DataView(place.buffer);
  const indexOffset = Number(view.getBigUint64(0, true));
  const [indexLength, count] = [view.getUint32(8, true), view.getUint32(12, true)];
  checkPlace({ indexOffset, indexLength, count }, {
    objectLength: object.length,
    overhead: TAG_BYTES,
  });
  const index = await openArea(object.subarray(indexOffset, end), {
    key,
    ordinal: INDEX,
    aad: additional(secrets, { pack, ordinal: INDEX }),
  }, "the index of a pack");
  return { header, entries: readPackEntries(index, { count, indexOffset, overhead: TAG_BYTES }) };
}

interface Area {
  key: CryptoKey;
  ordinal: number;
  aad: Uint8Array<ArrayBuffer>;
}

/** Encrypts all but the last 16 bytes of `area`, and puts the tag there. */
async function sealInPlace(area: Uint8Array<ArrayBuffer>, parts: Area): Promise<void> {
  const plain = area.subarray(0, area.length - TAG_BYTES);
  area.set(new Uint8Array(await crypto.subtle.encrypt(parameters(parts), parts.key, plain)));
}

async function openArea(
  sealed: Uint8Array,
  parts: Area,
  what: string,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const bytes = sealed as Uint8Array<ArrayBuffer>;
    return new Uint8Array(await crypto.subtle.decrypt(parameters(parts), parts.key, bytes));
  } catch (error) {
    // The one thing that it says of bytes, and it says nothing about them.
    if (error instanceof DOMException && error.name === "OperationError") throw notAuthentic(what);
    throw error;
  }
}

function parameters({ ordinal, aad }: Area): AesGcmParams {
  const iv = new Uint8Array(NONCE_BYTES);
  new DataView(iv.buffer).setUint32(0, ordinal, true);
  return { name: "AES-GCM", iv, additionalData: aad, tagLength: TAG_BYTES * 8 };
}

/**
 * Where these bytes belong: the header of the pack, its name in the bucket, the ordinal, and of a chunk
 * its plain length, codec and id.
 */
function additional(
  secrets: Secrets,
  place: { pack: Uint8Array; ordinal: number } & Partial<StoredChunk>,
): Uint8Array<ArrayBuffer> {
  const { pack, ordinal, length, codec, hash } = place;
  const name = new TextEncoder().encode(packKey(pack));
  const chunkBytes = hash === undefined ? 0 : 5 + HASH_BYTES;
  const bytes = new Uint8Array(HEADER_BYTES + 2 + name.length + 4 + chunkBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(PACK_MAGIC, Header.magic);
  view.setUint16(Header.version, FORMAT_VERSION, true);
  view.setUint32(Header.features, ENCRYPTED, true);
  bytes.set(secrets.fileSystem, Header.fileSystem);
  bytes.set(pack, Header.pack);
  view.setUint16(HEADER_BYTES, name.length, true);
  bytes.set(name, HEADER_BYTES + 2);
  let at = HEADER_BYTES + 2 + name.length;
  view.setUint32(at, ordinal, true);
  if (hash === undefined) return bytes;
  view.setUint32(at += 4, length!, true);
  view.setUint8(at += 4, codec!);
  bytes.set(hash, at + 1);
  return bytes;
}
