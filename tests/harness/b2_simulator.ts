/**
 * A stand-in for Backblaze B2's S3 endpoint, on loopback: a real HTTP server with B2's habits and
 * every fault that Zero must survive.
 *
 * What it is faithful in: Signature V4 with payload hashes, checked strictly; the region in the
 * scope; a refused master key; versions, hide markers, deletes by version; ListObjectsV2 and
 * ListObjectVersions with pages; ranges; 501 for conditional puts, 400 for checksum headers (as B2
 * before July 2025); Date, request ids and version ids in answers; capabilities of keys;
 * `b2_authorize_account` and `b2_list_buckets`. What it lacks: multipart, copy, lifecycle, ACLs.
 *
 * Fault model (b2_simulator/faults.ts): a rule has a label, a match (operations, key, the nth, at
 * most so often, by chance from a seed) and an action. Before a request takes effect the store can
 * refuse (any status, with or without code and Retry-After, XML, HTML or nothing), delay, keep
 * silent, stop reading, or reset. After it took effect the answer can be lost, or claim failure. A
 * put can be stored twice or damaged. A body can be cut, stalled, trickled, shortened, damaged, the
 * whole object or the wrong range. Objects, the bucket and the rights can vanish, the clock can be
 * wrong, listings can omit, repeat and loop, and a web page can answer in the store's place.
 * Faults never change what is stored, except where their description says so.
 *
 * In a process of its own (prints one JSON line, then serves until it is killed; content and
 * credentials are found again with the same --data):
 *
 *     deno run -A tests/harness/b2_simulator.ts [--port-file FILE] [--data DIR] [--port N]
 *                                               [--bucket NAME] [--page-size N]
 *                                               [--key-id ID --application-key KEY]
 *                                               [--latency-ms N --bytes-per-second N]
 *
 * and is scripted over HTTP with `controlB2Simulator(endpoint)`.
 */
import type { SimulatorControl, SimulatorOptions } from "./b2_simulator/control.ts";
import { B2Simulator, everyCapability } from "./b2_simulator/simulator.ts";

export type { FaultAction, FaultRule, Operation } from "./b2_simulator/faults.ts";
export type { SimulatedKey } from "./b2_simulator/native_api.ts";
export type {
  ListedObject,
  LogEntry,
  SimulatorControl,
  SimulatorOptions,
} from "./b2_simulator/control.ts";
export { B2Simulator } from "./b2_simulator/simulator.ts";

/** Starts a simulator inside this process. Stop it, also when the test fails. */
export function startB2Simulator(options: SimulatorOptions = {}): B2Simulator {
  return new B2Simulator(options);
}

/** What a simulator in another process says of itself. */
export interface SimulatorAddress {
  endpoint: string;
  region: string;
  bucket: string;
  bucketId: string;
  keyId: string;
  applicationKey: string;
  /** The URL that Zero takes. */
  url: string;
}

/** The same control as in this process, over HTTP. */
export type RemoteControl = {
  [Name in keyof SimulatorControl]: (
    ...parameters: Parameters<SimulatorControl[Name]>
  ) => Promise<ReturnType<SimulatorControl[Name]>>;
};

/** Scripts a simulator in another process. */
export function controlB2Simulator(endpoint: string): RemoteControl {
  return new Proxy({} as RemoteControl, {
    get: (_target, method) => async (...parameters: unknown[]) => {
      const response = await fetch(`${endpoint}/_control`, {
        method: "POST",
        body: JSON.stringify({ method, parameters }),
        signal: AbortSignal.timeout(10_000),
      });
      return await response.json();
    },
  });
}

function main(): void {
  const options = new Map<string, string>();
  for (let i = 0; i < Deno.args.length; i += 2) options.set(Deno.args[i], Deno.args[i + 1]);
  const bucket = options.get("--bucket") ?? "zero-test";
  const [keyId, applicationKey] = [options.get("--key-id"), options.get("--application-key")];
  const [latencyMs, bytesPerSecond] = [
    options.get("--latency-ms"),
    options.get("--bytes-per-second"),
  ];
  const simulator = startB2Simulator({
    buckets: [bucket],
    link: latencyMs === undefined || bytesPerSecond === undefined
      ? undefined
      : { latencyMs: Number(latencyMs), bytesPerSecond: Number(bytesPerSecond) },
    directory: options.get("--data"),
    port: Number(options.get("--port") ?? 0),
    pageSize: Number(options.get("--page-size") ?? 1000),
    keys: keyId === undefined || applicationKey === undefined
      ? undefined
      : [{ keyId, applicationKey, master: false, capabilities: everyCapability }],
  });
  const { endpoint, region } = simulator;
  const address: SimulatorAddress = {
    endpoint,
    region,
    bucket,
    bucketId: simulator.bucketId(),
    ...simulator.credentials,
    url: simulator.url(),
  };
  const line = `${JSON.stringify(address)}\n`;
  const portFile = options.get("--port-file");
  if (portFile !== undefined) {
    // Whoever waits for the file must not read half of it.
    Deno.writeTextFileSync(`${portFile}.new`, line);
    Deno.renameSync(`${portFile}.new`, portFile);
  }
  console.log(line.trimEnd());
}

if (import.meta.main) main();
