/**
 * Compute isolates and the line before them. Verifying what a reader waits for goes before
 * compressing what nobody waits for; an isolate gets at most two messages at a time, so that it never
 * idles and little is queued where it cannot be overtaken. A message is one job, or some that are small:
 * it costs each side more than a file of a few KiB does. An isolate that dies rejects its jobs
 * and is replaced by a new one with the next job.
 */
import { FormatError } from "../format/format_error.ts";
import type { PlacedChunk } from "../format/pack_cipher.ts";
import type { Secrets } from "../format/secrets.ts";
import { workerUrl } from "../runtime/worker_url.ts";
import type { ComputeAnswer, ComputeRequest, ComputeSecrets } from "./compute_messages.ts";
import type { ComputePort, Decoded, EncodeJob, EncodeResult, PartOfRange } from "./compute_port.ts";

type Work = {
  [K in ComputeRequest["kind"]]: Omit<Extract<ComputeRequest, { kind: K }>, "id">;
}[ComputeRequest["kind"]];

interface Job {
  work: Work;
  resolve: (answer: ComputeAnswer) => void;
  reject: (error: Error) => void;
}

interface Isolate {
  worker: Worker;
  jobs: Map<number, Job>;
  /** That are not answered. */
  messages: number;
}

/** Messages that one isolate knows of at a time. */
const DEPTH = 2;
/** Files that one message has encoded: some milliseconds. */
const TOGETHER = 64;
const TOGETHER_BYTES = 512 * 1024;

export class ComputePool implements ComputePort {
  readonly parallel: number;
  readonly #isolates: Isolate[] = [];
  /** Unbounded here; callers wait for their budget before they ask. */
  readonly #urgent: Job[] = [];
  readonly #ordinary: Job[] = [];
  #next = 1;
  #closed = false;
  readonly #onCrash: (message: string) => void;
  readonly #secrets: Secrets | undefined;

  /** `onCrash` is told when an isolate has died; `secrets` of an encrypted file system. */
  constructor(
    options: {
      isolates: number;
      secrets: Secrets | undefined;
      onCrash: (message: string) => void;
    },
  ) {
    this.parallel = options.isolates;
    this.#secrets = options.secrets;
    this.#onCrash = options.onCrash;
  }

  get encrypted(): boolean {
    return this.#secrets !== undefined;
  }

  /** An isolate takes some 100 ms to start: as long as a chunk takes to come. */
  prepare(): void {
    if (!this.#closed && this.#isolates.length === 0) this.#start();
  }

  async encode(job: EncodeJob): Promise<EncodeResult> {
    const answer = await this.#ask({ kind: "encode", job });
    if (answer.kind === "encoded") return answer.result;
    throw failure(answer);
  }

  async decode(
    stored: Uint8Array<ArrayBuffer>,
    parts: readonly PartOfRange[],
  ): Promise<Decoded[]> {
    const chunks = parts.map((part) => ({ ...part, chunk: onlyPlace(part.chunk) }));
    const answer = await this.#ask({ kind: "decode", stored, chunks });
    if (answer.kind !== "decoded") throw failure(answer);
    return answer.chunks.map((each) =>
      "kind" in each ? new FormatError(each.why, each.message) : each
    );
  }

  reopen(
    stored: Uint8Array<ArrayBuffer>,
    chunk: PlacedChunk,
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#askForBytes({ kind: "reopen", stored, chunk: onlyPlace(chunk) });
  }

  seal(draft: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return this.#askForBytes({ kind: "seal", draft });
  }

  async #askForBytes(work: Work): Promise<Uint8Array<ArrayBuffer>> {
    const answer = await this.#ask(work);
    if (answer.kind === "bytes") return answer.bytes;
    throw failure(answer);
  }

  close(): void {
    this.#closed = true;
    for (const isolate of this.#isolates.splice(0)) {
      isolate.worker.terminate();
      for (const job of isolate.jobs.values()) job.reject(closed());
    }
    for (const job of [...this.#urgent.splice(0), ...this.#ordinary.splice(0)]) {
      job.reject(closed());
    }
  }

  #ask(work: Work): Promise<ComputeAnswer> {
    if (this.#closed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      (work.kind === "decode" ? this.#urgent : this.#ordinary).push({ work, resolve, reject });
      this.#dispatch();
    });
  }

  #dispatch(): void {
    for (;;) {
      const isolate = this.#idlest();
      if (isolate === undefined) return;
      const jobs = this.#take();
      if (jobs.length === 0) return;
      this.#send(isolate, jobs);
    }
  }

  /** The next job, and small ones that follow: no more than its share of what waits. */
  #take(): Job[] {
    const urgent = this.#urgent.shift();
    if (urgent !== undefined) return [urgent];
    const most = Math.min(TOGETHER, Math.ceil(this.#ordinary.length / this.parallel));
    let bytes = 0;
    let count = 0;
    for (const { work } of this.#ordinary) {
      bytes += work.kind === "encode" ? work.job.length : Infinity;
      if (count > 0 && (count >= most || bytes > TOGETHER_BYTES)) break;
      count++;
    }
    return this.#ordinary.splice(0, count);
  }

  #send(isolate: Isolate, jobs: Job[]): void {
    const requests: ComputeRequest[] = [];
    for (const job of jobs) {
      const id = this.#next++;
      isolate.jobs.set(id, job);
      requests.push({ id, ...job.work });
    }
    try {
      isolate.worker.postMessage(requests, jobs.flatMap(({ work }) => buffersOf(work)));
      isolate.messages++;
    } catch (error) {
      // Bytes that cannot be sent (a buffer that has moved already) are this job's own fault: it is alone.
      for (const { id } of requests) isolate.jobs.delete(id);
      const reason = error instanceof Error ? error : new Error(String(error));
      for (const job of jobs) job.reject(reason);
    }
  }

  /** The isolate with the fewest messages that may take one more; starts one while there are too few. */
  #idlest(): Isolate | undefined {
    if (this.#urgent.length === 0 && this.#ordinary.length === 0) return undefined;
    let best: Isolate | undefined;
    for (const isolate of this.#isolates) {
      if (best === undefined || isolate.messages < best.messages) best = isolate;
    }
    if (this.#isolates.length < this.parallel && (best === undefined || best.messages > 0)) {
      return this.#start();
    }
    return best !== undefined && best.messages < DEPTH ? best : undefined;
  }

  #start(): Isolate {
    const worker = new Worker(workerUrl("tiering/compute_isolate.ts"), { type: "module" });
    const isolate: Isolate = { worker, jobs: new Map(), messages: 0 };
    worker.onmessage = ({ data: answers }: MessageEvent<ComputeAnswer[]>) => {
      isolate.messages--;
      for (const answer of answers) {
        const job = isolate.jobs.get(answer.id);
        isolate.jobs.delete(answer.id);
        job?.resolve(answer);
      }
      this.#dispatch();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#crashed(isolate, event.message);
    };
    worker.onmessageerror = () => this.#crashed(isolate, "an answer could not be read");
    this.#isolates.push(isolate);
    if (this.#secrets !== undefined) {
      const first: ComputeSecrets = { kind: "secrets", material: this.#secrets.material() };
      worker.postMessage(first);
      first.material.master.fill(0);
    }
    return isolate;
  }

  #crashed(isolate: Isolate, message: string): void {
    const at = this.#isolates.indexOf(isolate);
    if (at < 0) return;
    this.#isolates.splice(at, 1);
    isolate.worker.terminate();
    this.#onCrash(message);
    for (const job of isolate.jobs.values()) {
      job.reject(new Error(`the compute isolate ended: ${message}`));
    }
    this.#dispatch();
  }
}

/** Large buffers move instead of being copied. */
function buffersOf(work: Work): Transferable[] {
  switch (work.kind) {
    case "encode":
      return [];
    case "decode":
    case "reopen":
      return [work.stored.buffer];
    case "seal":
      return [work.draft.buffer];
  }
}

/** What of a location a compute isolate needs. */
function onlyPlace({ hash, length, codec, pack, ordinal }: PlacedChunk): PlacedChunk {
  return { hash, length, codec, pack, ordinal };
}

function closed(): Error {
  return new Error("the compute pool is closed");
}

function failure(answer: ComputeAnswer): Error {
  if (answer.kind === "refused") return new FormatError(answer.why, answer.message);
  return new Error(answer.kind === "failed" ? answer.message : `unexpected ${answer.kind}`);
}
