/**
 * Work that would block the engine: reading, hashing, compressing, encrypting, verifying. `ComputePool`
 * does it in other isolates; tests do it on the spot.
 */
import type { FormatError } from "../format/format_error.ts";
import type { PlacedChunk } from "../format/pack_cipher.ts";

/** A piece of a content file, bytes. */
export interface EncodeJob {
  path: string;
  offset: number;
  length: number;
}

/** A chunk, ready for a pack. */
export interface EncodedChunk {
  kind: "chunk";
  /** Chunk id. */
  hash: Uint8Array;
  stored: Uint8Array;
  codec: number;
  /** Plain bytes. */
  length: number;
}

export type EncodeResult =
  | EncodedChunk
  /** All bytes are zero. */
  | { kind: "zero" }
  /** The file is gone or shorter: somebody changed it, so ask again what is dirty. */
  | { kind: "moved" };

/** A chunk, and where its stored bytes lie in what was fetched. */
export interface PartOfRange {
  readonly chunk: PlacedChunk;
  readonly start: number;
  readonly stored: number;
}

export type Decoded = Uint8Array<ArrayBuffer> | FormatError;

export interface ComputePort {
  /** Jobs that it works on at a time. */
  readonly parallel: number;
  /** This file system is encrypted: packs are written as drafts, and have to be sealed. */
  readonly encrypted: boolean;
  /** Work will come in a moment: whatever takes time to start starts now. */
  prepare(): void;
  encode(job: EncodeJob): Promise<EncodeResult>;
  /**
   * The plain bytes of chunks that came together, each verified, or why they are not the chunk. They may
   * share a buffer, which nobody else holds. The buffer of `stored` moves away.
   */
  decode(
    stored: Uint8Array<ArrayBuffer>,
    chunks: readonly PartOfRange[],
  ): Promise<Decoded[]>;
  /**
   * A chunk as a pack writer takes it: decrypted, still compressed, and verified as `decode` does. The
   * buffer of `stored` moves away. Rejects with FormatError.
   */
  reopen(stored: Uint8Array<ArrayBuffer>, chunk: PlacedChunk): Promise<Uint8Array<ArrayBuffer>>;
  /** Makes a pack of a draft, whose buffer moves away. Only where `encrypted`. */
  seal(draft: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends the isolates; jobs under way are rejected. */
  close(): void;
}
