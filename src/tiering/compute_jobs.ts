/** What a compute isolate does for one job. Touches nothing but the file it is told to read. */
import { chunkId, decodeChunk, encodeChunk, isAllZero } from "../format/codec.ts";
import { FormatError } from "../format/format_error.ts";
import { openChunk, type PlacedChunk } from "../format/pack_cipher.ts";
import type { Secrets } from "../format/secrets.ts";
import type { Decoded, EncodeJob, EncodeResult, PartOfRange } from "./compute_port.ts";

/** Plain bytes to what a pack writer takes. `secrets` of an encrypted file system, here and below. */
export function encodeBytes(plain: Uint8Array, secrets?: Secrets): EncodeResult {
  if (isAllZero(plain)) return { kind: "zero" };
  return {
    kind: "chunk",
    hash: chunkId(plain, secrets),
    length: plain.length,
    ...encodeChunk(plain),
  };
}

/** Reads and encodes a piece of a file. A short read or a missing file means that it changed. */
export function encodeFile(job: EncodeJob, secrets?: Secrets): EncodeResult {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(job.path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { kind: "moved" };
    throw error;
  }
  try {
    const plain = new Uint8Array(job.length);
    file.seekSync(job.offset, Deno.SeekMode.Start);
    for (let got = 0; got < plain.length;) {
      const read = file.readSync(plain.subarray(got));
      if (read === null || read === 0) return { kind: "moved" };
      got += read;
    }
    return encodeBytes(plain, secrets);
  } finally {
    file.close();
  }
}

/** Verified plain bytes in a buffer of their own. Rejects with FormatError. */
export async function decodeBytes(
  stored: Uint8Array,
  chunk: PlacedChunk,
  secrets?: Secrets,
): Promise<Uint8Array<ArrayBuffer>> {
  const encoded = await encodedBytes(stored, chunk, secrets);
  return inOwnBuffer(decodeChunk(encoded, chunk, secrets));
}

/**
 * Verified plain bytes of chunks that came together, or why they are none. What was stored plain stays
 * where it is in the buffer of `stored`. Rejects with other errors than FormatError.
 */
export async function decodeParts(
  stored: Uint8Array<ArrayBuffer>,
  parts: readonly PartOfRange[],
  secrets?: Secrets,
): Promise<Decoded[]> {
  const decoded: Decoded[] = [];
  for (const part of parts) {
    const { chunk } = part;
    const own = stored.subarray(part.start, part.start + part.stored);
    try {
      const encoded = await encodedBytes(own, chunk, secrets);
      decoded.push(decodeChunk(encoded, chunk, secrets) as Uint8Array<ArrayBuffer>);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      decoded.push(error);
    }
  }
  return decoded;
}

/** Encoded bytes in a buffer of their own, after the plain ones have been verified. Rejects likewise. */
export async function reopenBytes(
  stored: Uint8Array,
  chunk: PlacedChunk,
  secrets?: Secrets,
): Promise<Uint8Array<ArrayBuffer>> {
  const encoded = await encodedBytes(stored, chunk, secrets);
  decodeChunk(encoded, chunk, secrets);
  return inOwnBuffer(encoded);
}

/** What the codec made: decrypted, where the file system is encrypted. Rejects with FormatError. */
async function encodedBytes(
  stored: Uint8Array,
  chunk: PlacedChunk,
  secrets: Secrets | undefined,
): Promise<Uint8Array> {
  return secrets === undefined ? stored : await openChunk(stored, chunk, secrets);
}

function inOwnBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.byteLength === bytes.buffer.byteLength
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}
