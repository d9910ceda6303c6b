/**
 * From the plain bytes of a chunk to the bytes that are stored, and back. Never stores more than the
 * plain bytes, and never hands out bytes that are not those that the chunk id names.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync, type ZstdOptions } from "node:zlib";
import { KiB } from "../domain/units.ts";
import { FormatError, wellFormed } from "./format_error.ts";
import { MAX_CHUNK_BYTES } from "./limits.ts";
import type { Secrets } from "./secrets.ts";

/** How a chunk's bytes are stored. */
export const Codec = {
  /** As they are. */
  PLAIN: 0,
  /** One zstd frame. */
  ZSTD: 1,
} as const;

/** Length of a chunk id, bytes. */
export const HASH_BYTES = 32;

const SAMPLE_BYTES = 64 * KiB;
/** A sample must shrink to this part of itself, or the chunk is stored as it is. */
const WORTHWHILE = 0.95;

/**
 * One zstd frame. Told how much comes, zstd takes tables of that size, and one piece of output holds it
 * all: 4 KiB take half the time, a sample a third of it.
 */
function compress(bytes: Uint8Array): Uint8Array {
  const options: ZstdOptions & { pledgedSrcSize: number } = {
    params: { [constants.ZSTD_c_compressionLevel]: 3 },
    // Not in the types yet.
    pledgedSrcSize: bytes.length,
    chunkSize: Math.min(bytes.length, SAMPLE_BYTES) + KiB,
  };
  return zstdCompressSync(bytes, options);
}

/** What is needed to turn stored bytes into a chunk. `ChunkLocation` of the protocol is one. */
export interface StoredChunk {
  /** Chunk id, 32 bytes. */
  hash: Uint8Array;
  /** Plain bytes. */
  length: number;
  /** One of `Codec`. */
  codec: number;
}

/** The id of a chunk: SHA-256 of its plain bytes; of an encrypted file system, an HMAC of them. */
export function chunkId(plain: Uint8Array, secrets?: Secrets): Uint8Array<ArrayBuffer> {
  return secrets?.chunkId(plain) ?? own(createHash("sha256").update(plain).digest());
}

/** Whether all bytes are zero: such a chunk is a hole and is not stored at all. */
export function isAllZero(bytes: Uint8Array): boolean {
  // 64-bit words first: a hole of 4 MiB costs 0.4 ms, data ends at its first word.
  const head = Math.min(bytes.length, (8 - (bytes.byteOffset & 7)) & 7);
  for (let i = 0; i < head; i++) if (bytes[i] !== 0) return false;
  const count = (bytes.length - head) >>> 3;
  if (count > 0) {
    const words = new BigUint64Array(bytes.buffer, bytes.byteOffset + head, count);
    for (let i = 0; i < count; i++) if (words[i] !== 0n) return false;
  }
  for (let i = head + count * 8; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/**
 * Compresses where that is worth it. The result may be `plain` itself. Level 3: faster than most
 * uplinks; whether it is worth it is asked of 64 KiB from the middle, since heads of media files
 * are compressible and their bodies are not.
 */
export function encodeChunk(plain: Uint8Array): { codec: number; stored: Uint8Array } {
  if (plain.length > 2 * SAMPLE_BYTES) {
    const start = (plain.length - SAMPLE_BYTES) >>> 1;
    const sample = compress(plain.subarray(start, start + SAMPLE_BYTES));
    if (sample.length > SAMPLE_BYTES * WORTHWHILE) return { codec: Codec.PLAIN, stored: plain };
  }
  const packed = compress(plain);
  if (packed.length >= plain.length) return { codec: Codec.PLAIN, stored: plain };
  return { codec: Codec.ZSTD, stored: own(packed) };
}

/**
 * The plain bytes of a chunk, verified: exactly `length` bytes with the id `hash`. May be `stored`
 * itself; what was encrypted must have been decrypted before (`pack_cipher.ts`). Throws FormatError: `corrupt` for bytes that are not the chunk, `unknown` for a codec of a
 * newer version.
 */
export function decodeChunk(
  stored: Uint8Array,
  chunk: StoredChunk,
  secrets?: Secrets,
): Uint8Array {
  wellFormed(
    chunk.length > 0 && chunk.length <= MAX_CHUNK_BYTES,
    () => `a chunk has 1 to ${MAX_CHUNK_BYTES} bytes, this one claims ${chunk.length}`,
  );
  const plain = expand(stored, chunk);
  wellFormed(
    plain.length === chunk.length,
    () => `a chunk of ${chunk.length} bytes came back with ${plain.length}`,
  );
  const found = chunkId(plain, secrets);
  wellFormed(
    Buffer.from(found.buffer).equals(chunk.hash),
    () => `chunk ${toHex(chunk.hash)} came back with other bytes: their id is ${toHex(found)}`,
  );
  return plain;
}

function expand(stored: Uint8Array, chunk: StoredChunk): Uint8Array {
  switch (chunk.codec) {
    case Codec.PLAIN:
      return stored;
    case Codec.ZSTD:
      try {
        return own(zstdDecompressSync(stored, { maxOutputLength: chunk.length }));
      } catch (error) {
        throw new FormatError("corrupt", `a chunk of ${chunk.length} bytes does not decompress`, {
          cause: error,
        });
      }
    default:
      throw new FormatError(
        "unknown",
        `chunk ${
          toHex(chunk.hash)
        } is stored with codec ${chunk.codec}, which this version cannot read`,
      );
  }
}

/** A Buffer's bytes as a plain array of which nobody else holds a part, so that it can be transferred. */
function own(buffer: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = buffer.byteOffset === 0 && buffer.buffer.byteLength === buffer.length;
  return whole ? new Uint8Array(buffer.buffer as ArrayBuffer) : new Uint8Array(buffer);
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
