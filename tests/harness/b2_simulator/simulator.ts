/** The simulator itself: a loopback server over the state, the faults and the counters. */
import { createHash } from "node:crypto";
import { applyToAnswer, faultAnswer } from "./fault_answers.ts";
import type { ListedObject, LogEntry, SimulatorControl, SimulatorOptions } from "./control.ts";
import { type FaultRule, Faults, type Operation } from "./faults.ts";
import { type Delivery, WireConnection, type WireRequest, type WireResponse } from "./http_wire.ts";
import { Link } from "./link.ts";
import { authorizeAccount, listBuckets, type SimulatedKey } from "./native_api.ts";
import {
  carryOut,
  errorResponse,
  noSuchBucket,
  type ParsedRequest,
  parseRequest,
} from "./s3_operations.ts";
import { checkPayload, checkSignature } from "./signature.ts";
import { Versions } from "./versions.ts";

/** What a key may be allowed to do. */
export const everyCapability = [
  "listBuckets",
  "listFiles",
  "readFiles",
  "writeFiles",
  "deleteFiles",
];

/** What a key needs for an operation. */
const needed: Partial<Record<Operation, string>> = {
  put: "writeFiles",
  hide: "writeFiles",
  get: "readFiles",
  head: "readFiles",
  delete: "deleteFiles",
  list: "listFiles",
  listVersions: "listFiles",
};

const logLimit = 200_000;

export class B2Simulator implements SimulatorControl {
  readonly endpoint: string;
  readonly region: string;
  /** The first bucket. */
  readonly bucket: string;
  readonly keys: SimulatedKey[];
  #buckets = new Map<string, { id: string; present: boolean }>();
  #versions: Versions;
  #faults: Faults;
  #pageSize: number;
  #link: Link | undefined;
  #listener: Deno.TcpListener;
  #connections = new Set<Deno.Conn>();
  #serving: Promise<void>;
  #stopped = Promise.withResolvers<void>();
  #skewMs = 0;
  #requests = 0;
  #log: LogEntry[] = [];
  #counts: Partial<Record<Operation, number>> = {};
  #traffic = { bytesIn: 0, bytesOut: 0 };

  constructor(options: SimulatorOptions = {}) {
    this.region = options.region ?? "us-west-004";
    const names = options.buckets ?? ["zero-test"];
    this.bucket = names[0];
    for (const name of names) {
      const id = createHash("md5").update(name).digest("hex").slice(0, 24);
      this.#buckets.set(name, { id, present: true });
    }
    this.keys = options.keys ?? [{
      keyId: "0040a1b2c3d4e5f0000000001",
      applicationKey: "K004SimulatedApplicationKey0001",
      master: false,
      capabilities: everyCapability,
    }];
    this.#versions = new Versions(options.directory);
    this.#faults = new Faults(options.seed ?? 1);
    this.#pageSize = options.pageSize ?? 1000;
    this.#link = options.link && new Link(options.link);
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: options.port ?? 0 });
    this.endpoint = `http://127.0.0.1:${this.#listener.addr.port}`;
    this.#serving = this.#serve();
  }

  get credentials(): { keyId: string; applicationKey: string } {
    const { keyId, applicationKey } = this.keys[0];
    return { keyId, applicationKey };
  }

  /** The URL that Zero takes for the first bucket. */
  url(prefix = ""): string {
    return `s3://${this.bucket}/${prefix}?endpoint=${this.endpoint}&region=${this.region}`;
  }

  bucketId(name = this.bucket): string {
    return this.#buckets.get(name)!.id;
  }

  async stop(): Promise<void> {
    this.#listener.close();
    this.#stopped.resolve();
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
    await this.#serving;
  }

  addRules(rules: FaultRule[]): void {
    this.#faults.add(rules);
  }
  clearRules(label?: string): void {
    this.#faults.clear(label);
  }
  hits(): Record<string, number> {
    return this.#faults.hits();
  }
  counts(): Partial<Record<Operation, number>> {
    return { ...this.#counts };
  }
  traffic(): { bytesIn: number; bytesOut: number } {
    return { ...this.#traffic };
  }
  log(): LogEntry[] {
    return [...this.#log];
  }
  resetCounts(): void {
    this.#counts = {};
    this.#traffic = { bytesIn: 0, bytesOut: 0 };
    this.#log = [];
  }
  objects(bucket = this.bucket): ListedObject[] {
    return this.#versions.all(bucket).map(({ body, ...version }) => ({
      ...version,
      sha256: createHash("sha256").update(body).digest("hex"),
    }));
  }
  /** The stored bytes of the latest version. */
  read(key: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#versions.find(this.bucket, key)?.body.slice();
  }
  corrupt(key: string, atByte = 0): boolean {
    const version = this.#versions.find(this.bucket, key);
    if (version === undefined) return false;
    const body = version.body.slice();
    body[atByte] ^= 1;
    this.#versions.damage(version, body);
    return true;
  }
  remove(key: string): number {
    const found = this.#versions.all(this.bucket).filter((version) => version.key === key);
    for (const { versionId } of found) this.#versions.remove(this.bucket, key, versionId);
    return found.length;
  }
  hide(key: string): void {
    const body = new Uint8Array(0);
    this.#versions.put(this.bucket, { key, body, marker: true, modifiedMs: this.#nowMs() });
  }
  setBucket(name: string, present: boolean): void {
    const id = this.#buckets.get(name)?.id ??
      createHash("md5").update(name).digest("hex").slice(0, 24);
    this.#buckets.set(name, { id, present });
  }
  setClockSkew(ms: number): void {
    this.#skewMs = ms;
  }

  async #serve(): Promise<void> {
    const open = new Set<Promise<void>>();
    for await (const connection of this.#listener) {
      connection.setNoDelay();
      this.#connections.add(connection);
      const done = this.#converse(connection).finally(() => {
        open.delete(done);
        // stop() may have closed it already.
        if (this.#connections.delete(connection)) connection.close();
      });
      open.add(done);
    }
    await Promise.all(open);
  }

  async #converse(connection: Deno.Conn): Promise<void> {
    const wire = new WireConnection(connection, this.#link);
    try {
      for (let request; (request = await wire.readHead()) !== undefined;) {
        if (!await this.#answer(wire, request)) return;
        if (request.headers.get("connection")?.toLowerCase() === "close") return;
      }
    } catch (error) {
      // The client went away, or stop() closed the connection: both are the end of a conversation.
      const ended = [
        Deno.errors.BadResource,
        Deno.errors.Interrupted,
        Deno.errors.ConnectionReset,
        Deno.errors.ConnectionAborted,
        Deno.errors.BrokenPipe,
        Deno.errors.NotConnected,
      ];
      if (!ended.some((kind) => error instanceof kind)) throw error;
    }
  }

  async #answer(wire: WireConnection, request: WireRequest): Promise<boolean> {
    if (request.path === "/_control") return await this.#control(wire, request);
    const parsed = parseRequest(request);
    const { operation, key } = parsed;
    this.#counts[operation] = (this.#counts[operation] ?? 0) + 1;
    const struck = this.#faults.strike(operation, key);
    const entry: LogEntry = {
      operation,
      key,
      status: 0,
      bytesIn: 0,
      bytesOut: 0,
      faults: struck.map((rule) => rule.label),
    };
    if (this.#log.length < logLimit) this.#log.push(entry);
    const delivery: Delivery = {};
    for (const rule of struck) {
      const { action } = rule;
      switch (action.kind) {
        case "hold":
          await Promise.race([this.#faults.untilCleared(rule), this.#stopped.promise]);
          break;
        case "delay":
          await new Promise((resolve) => setTimeout(resolve, action.ms));
          break;
        case "silent":
          await wire.untilClosed();
          return false;
        case "stallUpload":
          await wire.readBody(request, action.afterBytes);
          // Reading on would drain what the client still sends: wait without reading.
          await this.#stopped.promise;
          return false;
        case "resetBefore":
          return false;
        case "stallBody":
          delivery.stallAfter = action.afterBytes;
          break;
        case "cutBody":
          delivery.closeAfter = action.afterBytes;
          break;
        case "trickle":
          delivery.trickle = { bytes: action.bytes, everyMs: action.everyMs };
      }
    }
    const body = await wire.readBody(request);
    if (body === undefined) return false;
    entry.bytesIn = body.length;
    this.#traffic.bytesIn += body.length;
    await this.#link?.delay();
    const response = this.#respond(request, { parsed, body, struck });
    if (struck.some(({ action }) => action.kind === "loseAnswer")) return false;
    entry.status = response.status;
    const withoutBody = request.method === "HEAD";
    entry.bytesOut = withoutBody
      ? 0
      : Math.min(response.body.length, delivery.closeAfter ?? delivery.stallAfter ?? Infinity);
    this.#traffic.bytesOut += entry.bytesOut;
    return await wire.respond(this.#complete(response), { withoutBody, delivery });
  }

  /** Adds what every answer of B2 carries. */
  #complete(response: WireResponse): WireResponse {
    const id = (++this.#requests).toString(16).padStart(16, "0");
    // A web page is the answer of something else.
    const own: Record<string, string> = response.headers["content-type"]?.startsWith("text/html")
      ? {}
      : { "x-amz-request-id": id, "x-amz-id-2": `simulated-${id}` };
    const headers: Record<string, string> = {
      date: new Date(this.#nowMs()).toUTCString(),
      ...own,
      ...response.headers,
    };
    if (response.status !== 204) headers["content-length"] ??= String(response.body.length);
    return { ...response, headers };
  }

  #nowMs(): number {
    return Date.now() + this.#skewMs;
  }

  #respond(
    request: WireRequest,
    what: { parsed: ParsedRequest; body: Uint8Array<ArrayBuffer>; struck: FaultRule[] },
  ): WireResponse {
    const { parsed, body, struck } = what;
    const instead = faultAnswer(struck, { applied: false });
    if (instead !== undefined) return instead;
    const sound = this.#soundResponse(request, { parsed, body, struck });
    if (sound.status >= 300) return sound;
    return faultAnswer(struck, { applied: true }) ??
      applyToAnswer(sound, {
        struck,
        parsed,
        stored: this.#versions.find(parsed.bucket, parsed.key, parsed.query.get("versionId")),
      });
  }

  #soundResponse(
    request: WireRequest,
    what: { parsed: ParsedRequest; body: Uint8Array<ArrayBuffer>; struck: FaultRule[] },
  ): WireResponse {
    const { parsed, struck } = what;
    let { body } = what;
    const { operation, bucket } = parsed;
    if (operation === "authorize" || operation === "listBuckets") {
      const buckets = new Map(
        [...this.#buckets].filter(([, each]) => each.present)
          .map(([name, { id }]) => [name, id]),
      );
      const context = { keys: this.keys, buckets, endpoint: this.endpoint };
      return operation === "authorize"
        ? authorizeAccount(request, context)
        : listBuckets(request, body, context);
    }
    const refusal = this.#refusal(request, { parsed, body });
    if (refusal !== undefined) return refusal;
    if (!this.#buckets.get(bucket)?.present) return noSuchBucket();
    const place = {
      name: bucket,
      versions: this.#versions,
      nowMs: this.#nowMs(),
      pageSize: this.#pageSize,
    };
    if (operation === "put") {
      for (const { action } of struck) {
        if (action.kind === "storeTwice") carryOut(request, { parsed, body, bucket: place });
        if (action.kind === "storeDamaged") {
          body = body.slice();
          body[0] ^= 1;
        }
      }
    }
    return carryOut(request, { parsed, body, bucket: place });
  }

  /** What B2 refuses before it looks at an object. */
  #refusal(
    request: WireRequest,
    what: { parsed: ParsedRequest; body: Uint8Array },
  ): WireResponse | undefined {
    const { parsed, body } = what;
    const checked = checkSignature(request, {
      keys: this.keys,
      region: this.region,
      nowMs: this.#nowMs(),
    });
    if ("refusal" in checked) {
      const { status, code, message } = checked.refusal;
      return errorResponse(status, code, message);
    }
    const key = checked.key as SimulatedKey;
    const capability = needed[parsed.operation];
    if (
      (capability !== undefined && !key.capabilities.includes(capability)) ||
      (key.restrictedTo !== undefined && key.restrictedTo !== parsed.bucket)
    ) {
      return errorResponse(403, "AccessDenied", "not entitled");
    }
    const payload = checkPayload(request, body);
    if (payload !== undefined) return errorResponse(payload.status, payload.code, payload.message);
    for (const name of request.headers.keys()) {
      if (/^x-amz-(sdk-)?checksum/.test(name)) {
        return errorResponse(
          400,
          "InvalidArgument",
          `Unsupported header '${name}' received for this API call.`,
        );
      }
      if (request.method === "PUT" && /^if-(none-)?match$/.test(name)) {
        return errorResponse(
          501,
          "NotImplemented",
          "A header you provided implies functionality that is not implemented.",
        );
      }
    }
    return undefined;
  }

  async #control(wire: WireConnection, request: WireRequest): Promise<boolean> {
    const body = await wire.readBody(request);
    if (body === undefined) return false;
    const { method, parameters } = JSON.parse(new TextDecoder().decode(body)) as {
      method: keyof SimulatorControl;
      parameters: unknown[];
    };
    const action = this[method] as (...parameters: unknown[]) => unknown;
    const result = action.apply(this, parameters) ?? null;
    const answer = new TextEncoder().encode(JSON.stringify(result));
    const headers = { "content-type": "application/json", "content-length": `${answer.length}` };
    return await wire.respond({ status: 200, headers, body: answer }, {
      withoutBody: false,
      delivery: {},
    });
  }
}
