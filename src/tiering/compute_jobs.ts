/** What a compute isolate does for one job. Synchronous; touches nothing but the file it is told to read. */
import { chunkId, decodeChunk, encodeChunk, isAllZero, type StoredChunk } from "../format/codec.ts";
import type { EncodeJob, EncodeResult } from "./compute_port.ts";

/** Plain bytes to what a pack holds. */
export function encodeBytes(plain: Uint8Array): EncodeResult {
  if (isAllZero(plain)) return { kind: "zero" };
  return {
    kind: "chunk",
    hash: chunkId(plain),
    length: plain.length,
    ...encodeChunk(plain),
  };
}

/** Reads and encodes a piece of a file. A short read or a missing file means that it changed. */
export function encodeFile(job: EncodeJob): EncodeResult {
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
    return encodeBytes(plain);
  } finally {
    file.close();
  }
}

/** Verified plain bytes in a buffer of their own. Throws FormatError. */
export function decodeBytes(stored: Uint8Array, chunk: StoredChunk): Uint8Array<ArrayBuffer> {
  const plain = decodeChunk(stored, chunk);
  return plain.byteLength === plain.buffer.byteLength
    ? plain as Uint8Array<ArrayBuffer>
    : new Uint8Array(plain);
}
