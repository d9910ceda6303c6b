/**
 * Entry of a compute isolate: one job per message, answered in order. Owns no state. Whatever a job
 * throws becomes its answer; only a defect of this file ends the isolate.
 */
/// <reference lib="deno.worker" />
import { FormatError } from "../format/format_error.ts";
import { decodeBytes, encodeFile } from "./compute_jobs.ts";
import type { ComputeAnswer, ComputeRequest } from "./compute_messages.ts";

declare const self: DedicatedWorkerGlobalScope;

self.onmessage = (event: MessageEvent<ComputeRequest>) => {
  const answer = work(event.data);
  self.postMessage(answer, buffersOf(answer));
};

function work(request: ComputeRequest): ComputeAnswer {
  const { id } = request;
  try {
    if (request.kind === "encode") {
      return { id, kind: "encoded", result: encodeFile(request.job) };
    }
    return { id, kind: "decoded", plain: decodeBytes(request.stored, request.chunk) };
  } catch (error) {
    if (error instanceof FormatError) {
      return { id, kind: "refused", why: error.kind, message: error.message };
    }
    return { id, kind: "failed", message: error instanceof Error ? error.message : `${error}` };
  }
}

/** Large buffers move instead of being copied. */
function buffersOf(answer: ComputeAnswer): Transferable[] {
  if (answer.kind === "decoded") return [answer.plain.buffer];
  if (answer.kind === "encoded" && answer.result.kind === "chunk") {
    return [answer.result.stored.buffer as ArrayBuffer];
  }
  return [];
}
