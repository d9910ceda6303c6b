/**
 * Builds the bytes of one pack object in memory. Copies each chunk when it is added, so the caller
 * may let go of it at once; memory is about the size of the pack. Never writes a pack that
 * `pack_reader` would refuse. Of an encrypted file system it writes a draft: everything in its place,
 * with room for the tags, not yet encrypted and not a pack that anybody would read. `sealPack` makes
 * the pack of it.
 */
import { createHash } from "node:crypto";
import { invariant } from "../domain/errors.ts";
import { KiB, MiB } from "../domain/units.ts";
import { TAG_BYTES } from "./cipher.ts";
import { Codec, HASH_BYTES } from "./codec.ts";
import { ENCRYPTED } from "./features.ts";
import { ID_BYTES } from "./keys.ts";
import {
  FORMAT_VERSION,
  MAX_CHUNK_BYTES,
  MAX_PACK_BYTES,
  PACK_TARGET_BYTES,
  PACK_TARGET_CHUNKS,
} from "./limits.ts";
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

/** Chunks of which few make a pack. */
const LARGE_BYTES = 1 * MiB;

/** One pack under construction. After `finish` it takes no more chunks. */
export class PackWriter {
  /** Random name of the pack, 16 bytes. */
  readonly pack: Uint8Array;
  readonly entries: PackEntry[] = [];
  /** `finish` answers a draft. */
  readonly encrypted: boolean;
  readonly #limits: { bytes: number; chunks: number };
  #bytes: Uint8Array<ArrayBuffer>;
  #used = HEADER_BYTES;
  #finished = false;

  /** `fileSystem` and `pack` are ids of 16 bytes; limits default to those of the format. */
  constructor(
    options: {
      fileSystem: Uint8Array;
      pack: Uint8Array;
      encrypted: boolean;
      limits?: { bytes: number; chunks: number };
    },
  ) {
    invariant(options.pack.length === ID_BYTES, "a pack id has 16 bytes");
    invariant(options.fileSystem.length === ID_BYTES, "a file system id has 16 bytes");
    this.pack = options.pack;
    this.encrypted = options.encrypted;
    this.#limits = options.limits ?? { bytes: PACK_TARGET_BYTES, chunks: PACK_TARGET_CHUNKS };
    this.#bytes = new Uint8Array(64 * KiB);
    this.#bytes.set(PACK_MAGIC, Header.magic);
    const view = new DataView(this.#bytes.buffer);
    view.setUint16(Header.version, FORMAT_VERSION, true);
    view.setUint32(Header.features, options.encrypted ? ENCRYPTED : 0, true);
    this.#bytes.set(options.fileSystem, Header.fileSystem);
    this.#bytes.set(options.pack, Header.pack);
  }

  /** Stored bytes of all chunks so far. */
  get payload(): number {
    return this.#used - HEADER_BYTES;
  }

  /** By how much each chunk, and the index, grow when they are encrypted, bytes. */
  get #overhead(): number {
    return this.encrypted ? TAG_BYTES : 0;
  }

  /** Whether a chunk of `stored` bytes still belongs into this pack. An empty pack takes any chunk. */
  hasRoom(stored: number): boolean {
    if (this.#finished) return false;
    if (this.entries.length === 0) return true;
    return this.entries.length < this.#limits.chunks &&
      this.payload + stored + this.#overhead <= this.#limits.bytes;
  }

  /** Whether nothing more fits. */
  get full(): boolean {
    return !this.hasRoom(1);
  }

  /** Appends one chunk, as `encodeChunk` made it; answers its ordinal. */
  add(chunk: { hash: Uint8Array; stored: Uint8Array; length: number; codec: number }): number {
    const { hash, stored, length, codec } = chunk;
    invariant(this.hasRoom(stored.length), "a chunk was added to a pack without room for it");
    invariant(hash.length === HASH_BYTES, "a chunk id has 32 bytes");
    invariant(length > 0 && length <= MAX_CHUNK_BYTES, () => `chunk of ${length} bytes`);
    invariant(
      codec === Codec.PLAIN ? stored.length === length : stored.length < length,
      () => `${stored.length} stored bytes for ${length} with codec ${codec}`,
    );
    invariant(stored.length > 0, "a stored chunk is never empty");
    const occupied = stored.length + this.#overhead;
    this.entries.push({ hash, offset: this.#used, stored: occupied, length, codec });
    this.#reserve(occupied);
    this.#bytes.set(stored, this.#used);
    this.#used += occupied;
    return this.entries.length - 1;
  }

  /** The whole object, in a buffer of its own; its draft where it is still to be encrypted. */
  finish(): Uint8Array<ArrayBuffer> {
    invariant(!this.#finished, "a pack is finished once");
    invariant(this.entries.length > 0, "a pack holds at least one chunk");
    this.#finished = true;
    const indexOffset = this.#used;
    const indexLength = this.entries.length * ENTRY_BYTES + this.#overhead;
    const total = indexOffset + indexLength + FOOTER_BYTES;
    invariant(total <= MAX_PACK_BYTES, () => `a pack of ${total} bytes`);
    this.#reserve(indexLength + FOOTER_BYTES);
    const bytes = this.#bytes.subarray(0, total);
    const view = new DataView(bytes.buffer);
    this.entries.forEach((entry, ordinal) => {
      const at = indexOffset + ordinal * ENTRY_BYTES;
      bytes.set(entry.hash, at + Entry.hash);
      view.setBigUint64(at + Entry.offset, BigInt(entry.offset), true);
      view.setUint32(at + Entry.stored, entry.stored, true);
      view.setUint32(at + Entry.length, entry.length, true);
      view.setUint8(at + Entry.codec, entry.codec);
    });
    const at = indexOffset + indexLength;
    if (!this.encrypted) {
      const digest = createHash("sha256").update(bytes.subarray(0, HEADER_BYTES))
        .update(bytes.subarray(indexOffset, at)).digest();
      bytes.set(digest, at + Footer.hash);
      bytes.set(PACK_MAGIC, at + Footer.magic);
    }
    view.setBigUint64(at + Footer.indexOffset, BigInt(indexOffset), true);
    view.setUint32(at + Footer.indexLength, indexLength, true);
    view.setUint32(at + Footer.count, this.entries.length, true);
    view.setUint16(at + Footer.version, FORMAT_VERSION, true);
    return bytes;
  }

  #reserve(more: number): void {
    const needed = this.#used + more;
    if (needed <= this.#bytes.length) return;
    // Doubling, but no further than a full pack with its index needs; at once where chunks are large:
    // then it will be full soon, and pages that are not written to cost nothing.
    const ceiling = HEADER_BYTES + this.#limits.bytes + this.#limits.chunks * ENTRY_BYTES +
      FOOTER_BYTES;
    const wanted = more >= LARGE_BYTES ? ceiling : Math.min(this.#bytes.length * 2, ceiling);
    const size = Math.max(needed, wanted);
    const grown = new Uint8Array(size);
    grown.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = grown;
  }
}
