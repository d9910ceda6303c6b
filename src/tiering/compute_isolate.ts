/**
 * Entry of a compute isolate: the jobs of a message are answered in one when all are done. Owns no
 * state but the secrets of the file system, where it is encrypted. Whatever a job throws becomes its
 * answer; only a defect of this file ends the isolate.
 */
/// <reference lib="deno.worker" />
import { invariant } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import { sealPack } from "../format/pack_cipher.ts";
import { Secrets } from "../format/secrets.ts";
import { decodeParts, encodeFile, reopenBytes } from "./compute_jobs.ts";
import type { ComputeAnswer, ComputeRequest, ComputeSecrets, Refusal } from "./compute_messages.ts";

declare const self: DedicatedWorkerGlobalScope;

let secrets: Secrets | undefined;

self.onmessage = async ({ data }: MessageEvent<ComputeRequest[] | ComputeSecrets>) => {
  if (!Array.isArray(data)) {
    secrets = new Secrets(data.material);
    data.material.master.fill(0);
    return;
  }
  const answers: ComputeAnswer[] = [];
  for (const request of data) answers.push(await work(request));
  self.postMessage(answers, answers.flatMap(buffersOf));
};

async function work(request: ComputeRequest): Promise<ComputeAnswer> {
  const { id } = request;
  try {
    switch (request.kind) {
      case "encode":
        return { id, kind: "encoded", result: encodeFile(request.job, secrets) };
      case "decode":
        return { id, kind: "decoded", chunks: await decodeAll(request) };
      case "reopen":
        return bytes(id, await reopenBytes(request.stored, request.chunk, secrets));
      case "seal":
        invariant(secrets !== undefined, "a pack is sealed without secrets");
        return bytes(id, await sealPack(request.draft, secrets));
    }
  } catch (error) {
    if (error instanceof FormatError) return { id, ...refusal(error) };
    return { id, kind: "failed", message: error instanceof Error ? error.message : `${error}` };
  }
}

/** One chunk that is wrong keeps nobody from getting the others. */
async function decodeAll(
  { stored, chunks }: Extract<ComputeRequest, { kind: "decode" }>,
): Promise<(Uint8Array<ArrayBuffer> | Refusal)[]> {
  const decoded = await decodeParts(stored, chunks, secrets);
  return decoded.map((each) => each instanceof FormatError ? refusal(each) : each);
}

function refusal(error: FormatError): Refusal {
  return { kind: "refused", why: error.kind, message: error.message };
}

function bytes(id: number, bytes: Uint8Array<ArrayBuffer>): ComputeAnswer {
  return { id, kind: "bytes", bytes };
}

/** Large buffers move instead of being copied. */
function buffersOf(answer: ComputeAnswer): Transferable[] {
  if (answer.kind === "bytes") return [answer.bytes.buffer];
  if (answer.kind === "decoded") {
    // Chunks that were stored plain share the buffer that they came in.
    return [...new Set(answer.chunks.flatMap((each) => "kind" in each ? [] : [each.buffer]))];
  }
  if (answer.kind === "encoded" && answer.result.kind === "chunk") {
    return [answer.result.stored.buffer as ArrayBuffer];
  }
  return [];
}
