/** Entry of the metadata isolate: reads rows and makes objects of them, one request at a time. */
/// <reference lib="deno.worker" />
import type { MetadataAnswer, MetadataRequest } from "./metadata_export_client.ts";
import { MetadataExporter } from "./metadata_exporter.ts";

declare const self: DedicatedWorkerGlobalScope;

let exporter: MetadataExporter | undefined;

self.onmessage = ({ data }: MessageEvent<MetadataRequest>) => {
  const { id, directory, call, argument } = data;
  let answer: MetadataAnswer;
  try {
    exporter ??= new MetadataExporter(directory);
    // The pairs of call and argument are checked where they are sent.
    answer = { id, result: exporter[call](argument as never) };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(answer);
};
