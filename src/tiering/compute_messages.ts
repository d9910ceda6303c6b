/** What the compute pool and its isolates say to each other. */
import type { StoredChunk } from "../format/codec.ts";
import type { EncodeJob, EncodeResult } from "./compute_port.ts";

export type ComputeRequest =
  | { id: number; kind: "encode"; job: EncodeJob }
  | { id: number; kind: "decode"; stored: Uint8Array<ArrayBuffer>; chunk: StoredChunk };

export type ComputeAnswer =
  | { id: number; kind: "encoded"; result: EncodeResult }
  | { id: number; kind: "decoded"; plain: Uint8Array<ArrayBuffer> }
  /** FormatError, by its kind. */
  | { id: number; kind: "refused"; why: "corrupt" | "unknown"; message: string }
  /** Anything else, such as EIO of the cache's disk. */
  | { id: number; kind: "failed"; message: string };
