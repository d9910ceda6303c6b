/** Entry of the metadata isolate: reads rows and makes objects of them, one request at a time. */
/// <reference lib="deno.worker" />
import { Secrets } from "../format/secrets.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import type { MetadataAnswer, MetadataOpening, MetadataRequest } from "./metadata_export_client.ts";
import { MetadataExporter } from "./metadata_exporter.ts";

declare const self: DedicatedWorkerGlobalScope;

let opening: MetadataOpening | undefined;
let secrets: Secrets | undefined;
let exporter: MetadataExporter | undefined;

self.onmessage = ({ data }: MessageEvent<MetadataOpening | MetadataRequest>) => {
  if (!("call" in data)) {
    opening = data;
    if (data.material !== undefined) {
      secrets = new Secrets(data.material);
      data.material.master.fill(0);
    }
    return;
  }
  const { id, call, argument } = data;
  let answer: MetadataAnswer;
  try {
    exporter ??= new MetadataExporter(opening!.directory, {
      clock: systemClock,
      secrets: secrets && { secrets, random: systemRandom },
    });
    // The pairs of call and argument are checked where they are sent.
    answer = { id, result: exporter[call](argument as never) };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(answer);
};
