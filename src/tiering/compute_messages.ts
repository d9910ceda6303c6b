/** What the compute pool and its isolates say to each other. */
import type { PlacedChunk } from "../format/pack_cipher.ts";
import type { SecretMaterial } from "../format/secrets.ts";
import type { EncodeJob, EncodeResult, PartOfRange } from "./compute_port.ts";

/** The first message to an isolate of an encrypted file system; it is not answered. */
export interface ComputeSecrets {
  kind: "secrets";
  material: SecretMaterial;
}

export type ComputeRequest =
  | { id: number; kind: "encode"; job: EncodeJob }
  | { id: number; kind: "decode"; stored: Uint8Array<ArrayBuffer>; chunks: PartOfRange[] }
  | { id: number; kind: "reopen"; stored: Uint8Array<ArrayBuffer>; chunk: PlacedChunk }
  | { id: number; kind: "seal"; draft: Uint8Array<ArrayBuffer> };

export interface Refusal {
  kind: "refused";
  why: "corrupt" | "unknown";
  message: string;
}

export type ComputeAnswer =
  | { id: number; kind: "encoded"; result: EncodeResult }
  /** Of decode: plain bytes of each chunk, or FormatError, by its kind. */
  | { id: number; kind: "decoded"; chunks: (Uint8Array<ArrayBuffer> | Refusal)[] }
  /** Of reopen: encoded ones. Of seal: a pack. */
  | { id: number; kind: "bytes"; bytes: Uint8Array<ArrayBuffer> }
  /** FormatError, by its kind. */
  | { id: number } & Refusal
  /** Anything else, such as EIO of the cache's disk. */
  | { id: number; kind: "failed"; message: string };
