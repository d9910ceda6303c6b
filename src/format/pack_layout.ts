/**
 * Where things lie in a pack object (docs/FORMAT.md, "Pack"). Little-endian throughout.
 *
 *   header 48   magic 8 · version u16 · zero u16 · feature bits u32 · file system id 16 · pack id 16
 *   chunks      stored bytes, one after another, in order
 *   index 56n   per chunk: chunk id 32 · offset u64 · stored u32 · length u32 · codec u8 · zero 7
 *   footer 64   SHA-256 of header and index 32 · index offset u64 · index length u32 · count u32
 *               · feature bits u32 · version u16 · zero u16 · magic 8
 *
 * In an encrypted file system ("Encrypted packs") each chunk and the index are 16 bytes longer, and the
 * footer begins with the encrypted place of the index:
 *   footer 64   place (index offset u64 · index length u32 · count u32, encrypted) 32 · zero 16 · as above
 */

/** "ZEROPACK". */
export const PACK_MAGIC = new TextEncoder().encode("ZEROPACK");

export const HEADER_BYTES = 48;
export const ENTRY_BYTES = 56;
export const FOOTER_BYTES = 64;

export const Header = { magic: 0, version: 8, zero: 10, features: 12, fileSystem: 16, pack: 32 };
export const Entry = { hash: 0, offset: 32, stored: 40, length: 44, codec: 48, zero: 49 };
export const Footer = {
  hash: 0,
  indexOffset: 32,
  indexLength: 40,
  count: 44,
  features: 48,
  version: 52,
  zero: 54,
  magic: 56,
};

/** The encrypted footer, up to where it is as any footer. */
export const SealedFooter = { place: 0, zero: 32, features: 48 };
/** Plain length of the place of the index. */
export const PLACE_BYTES = 16;

/** One chunk in a pack; its ordinal is its place in the list. */
export interface PackEntry {
  /** Chunk id, 32 bytes. */
  hash: Uint8Array;
  /** Of the stored bytes, from the start of the object. */
  offset: number;
  /** Stored bytes, with the tag where they are encrypted. */
  stored: number;
  /** Plain bytes. */
  length: number;
  /** One of `Codec`. */
  codec: number;
}
