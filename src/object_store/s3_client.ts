/**
 * The SDK's client, with every option explicit.
 *
 * An option that is left out makes the SDK look into the environment, `~/.aws` or a metadata service
 * of some cloud. It makes one attempt per call: trying again is retrying_object_store.ts's business.
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { S3Client } from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import type { StoreCredentials } from "./redaction.ts";

/** Bounds of one call. */
export interface StoreTimeouts {
  /** To establish a connection, TLS included, milliseconds. */
  connectMs: number;
  /** Without a byte in either direction, milliseconds. */
  idleMs: number;
  /** A whole call, beside the time that its bytes may take, milliseconds. */
  callMs: number;
  /** The slowest transfer that is still waited for: adds bytes / this to `callMs`. */
  minBytesPerSecond: number;
}

/** B2 answers in 0.1 to 3 s, and says "busy" within 20 s; a stalled one never does. */
export const defaultTimeouts: StoreTimeouts = {
  connectMs: 10_000,
  idleMs: 30_000,
  callMs: 60_000,
  minBytesPerSecond: 32 * 1024,
};

/** The time that a call which moves `bytes` may take in all, milliseconds. */
export function callDeadlineMs(timeouts: StoreTimeouts, bytes: number): number {
  return timeouts.callMs + Math.ceil((bytes * 1000) / timeouts.minBytesPerSecond);
}

export interface S3ClientOptions {
  /** `https://host[:port]`, or http for a loopback address. */
  endpoint: string;
  region: string;
  credentials: StoreCredentials;
  timeouts: StoreTimeouts;
  /** Connections at most. */
  maxSockets: number;
}

export function createS3Client(options: S3ClientOptions): S3Client {
  const { endpoint, region, credentials, timeouts } = options;
  return new S3Client({
    endpoint,
    region,
    credentials: {
      accessKeyId: credentials.keyId,
      secretAccessKey: credentials.applicationKey,
    },
    // B2 supports both styles; only this one works with any bucket name and a loopback address.
    forcePathStyle: true,
    maxAttempts: 1,
    retryMode: "standard",
    // The default adds headers that S3 stores reject, and turns streams into a framing that some
    // of them store as content. The signed SHA-256 of the payload is checked by the store anyway.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // Some stores never answer the expectation, and the SDK then opens a connection per call.
    expectContinueHeader: false,
    followRegionRedirects: false,
    defaultsMode: "standard",
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    authSchemePreference: [],
    sigv4aSigningRegionSet: [region],
    userAgentAppId: "zero",
    // What it would log are whole commands with their bodies.
    logger: { debug() {}, info() {}, warn() {}, error() {}, trace() {} },
    requestHandler: new ByMethod(timeouts, options.maxSockets),
  });
}

/**
 * Gives every PUT a connection of its own, and keeps connections for everything else.
 *
 * Deno 2.9's `node:http` silently sends a request again when a kept connection closes before its
 * answer (measured; Node reports ECONNRESET). For a PUT that is a second version, billed for ever,
 * that nobody knows of; for all other calls of ours it does no harm. A new connection per object of
 * megabytes costs little, and B2 spreads connections over its servers.
 */
class ByMethod {
  readonly metadata = { handlerProtocol: "http/1.1" };
  #puts: NodeHttpHandler;
  #others: NodeHttpHandler;

  constructor(timeouts: StoreTimeouts, maxSockets: number) {
    this.#puts = httpHandler(timeouts, { keepAlive: false, maxSockets });
    this.#others = httpHandler(timeouts, { keepAlive: true, maxSockets });
  }

  handle: NodeHttpHandler["handle"] = (request, options) =>
    (request.method === "PUT" ? this.#puts : this.#others).handle(request, options);

  // The client's constructor asks for these two; it has nothing to change.
  updateHttpClientConfig(): void {}
  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  destroy(): void {
    this.#puts.destroy();
    this.#others.destroy();
  }
}

function httpHandler(
  timeouts: StoreTimeouts,
  agent: { keepAlive: boolean; maxSockets: number },
): NodeHttpHandler {
  return new NodeHttpHandler({
    connectionTimeout: timeouts.connectMs,
    socketTimeout: timeouts.idleMs,
    // Each call passes its own, which grows with its bytes.
    requestTimeout: timeouts.callMs,
    throwOnRequestTimeout: true,
    // More callers than connections is normal: they wait; not worth a warning on stderr.
    socketAcquisitionWarningTimeout: 2 ** 31 - 1,
    httpAgent: new HttpAgent(agent),
    httpsAgent: new HttpsAgent(agent),
  });
}
