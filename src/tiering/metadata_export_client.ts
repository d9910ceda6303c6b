/**
 * The metadata isolate as a MetadataExportPort. Owns the Worker, which starts with the first request
 * and is replaced by a new one if it dies.
 */
import type { SecretMaterial, Secrets } from "../format/secrets.ts";
import { workerUrl } from "../runtime/worker_url.ts";
import type { MetadataExporter, MetadataExportPort } from "./metadata_exporter.ts";

type Call = "unshipped" | "changes" | "segment" | "segmentObject";

/** The first message to the isolate; it is not answered. */
export interface MetadataOpening {
  directory: string;
  /** Of an encrypted file system. */
  material: SecretMaterial | undefined;
}

export interface MetadataRequest {
  id: number;
  call: Call;
  argument: unknown;
}

export type MetadataAnswer = { id: number; result: unknown } | { id: number; error: string };

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

export class MetadataExportClient implements MetadataExportPort {
  readonly #directory: string;
  readonly #secrets: Secrets | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #next = 1;
  #closed = false;

  /** `directory`: the cache; `secrets` of an encrypted file system. */
  constructor(directory: string, secrets?: Secrets) {
    this.#directory = directory;
    this.#secrets = secrets;
  }

  unshipped(limit: number) {
    return this.#ask("unshipped", limit);
  }

  changes(request: Parameters<MetadataExporter["changes"]>[0]) {
    return this.#ask("changes", request);
  }

  segment(place: Parameters<MetadataExporter["segment"]>[0]) {
    return this.#ask("segment", place);
  }

  segmentObject(request: Parameters<MetadataExporter["segmentObject"]>[0]) {
    return this.#ask("segmentObject", request);
  }

  close(): void {
    this.#closed = true;
    this.#end("the metadata isolate is closed");
  }

  #ask<K extends Call>(
    call: K,
    argument: Parameters<MetadataExporter[K]>[0],
  ): Promise<ReturnType<MetadataExporter[K]>> {
    if (this.#closed) return Promise.reject(new Error("the metadata isolate is closed"));
    const id = this.#next++;
    const answer = new Promise<unknown>((resolve, reject) =>
      this.#waiting.set(id, { resolve, reject })
    );
    const request: MetadataRequest = { id, call, argument };
    (this.#worker ??= this.#start()).postMessage(request);
    return answer as Promise<ReturnType<MetadataExporter[K]>>;
  }

  #start(): Worker {
    const worker = new Worker(workerUrl("tiering/metadata_isolate.ts"), {
      type: "module",
      name: "metadata",
    });
    worker.onmessage = ({ data }: MessageEvent<MetadataAnswer>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data.result);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(`the metadata isolate ended: ${event.message}`);
    };
    const opening: MetadataOpening = {
      directory: this.#directory,
      material: this.#secrets?.material(),
    };
    worker.postMessage(opening);
    opening.material?.master.fill(0);
    return worker;
  }

  #end(reason: string): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}
