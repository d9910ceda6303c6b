/**
 * From a bucket's id to its name and endpoint, with two calls of B2's native API.
 *
 * Made once, when a file system is configured with an id: the S3 protocol knows names only. Says in
 * plain words what is wrong with a key before anything depends on it. The key goes into the
 * Authorization header of the first call only, and into no message.
 */
import { Buffer } from "node:buffer";
import { ExitCode, UserError } from "../domain/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { StoreError } from "./object_store.ts";
import { Redaction, type StoreCredentials } from "./redaction.ts";
import { isLoopback, regionOfEndpoint } from "./store_url.ts";

export interface B2Bucket {
  bucketId: string;
  bucketName: string;
  /** Of the S3 protocol, such as `https://s3.us-west-004.backblazeb2.com`. */
  endpoint: string;
  region: string;
}

export interface ResolveOptions {
  clock: Clock;
  /** Where accounts log in; B2's own address unless given. Only https, or http on loopback. */
  baseUrl?: string;
  /** The region where the endpoint's name does not tell it, as on loopback. */
  region?: string;
  /** For each of the two calls, milliseconds; 30 s unless given. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

const loginUrl = "https://api.backblazeb2.com";

/** What Zero does with a bucket. */
const neededCapabilities = ["listFiles", "readFiles", "writeFiles", "deleteFiles"];

interface Account {
  accountId: string;
  authorizationToken: string;
  apiUrl: string;
  s3ApiUrl: string;
  capabilities: string[];
  restrictedTo: { id: string; name: string | undefined } | undefined;
}

/**
 * The bucket with this id, for this key. Throws UserError where key or id are wrong, StoreError
 * where B2 cannot be reached.
 */
export async function resolveB2Bucket(
  bucketId: string,
  options: ResolveOptions & { credentials: StoreCredentials },
): Promise<B2Bucket> {
  if (!/^[0-9a-f]{24}$/.test(bucketId)) {
    throw wrong(
      `'${bucketId}' is not the id of a bucket`,
      "it has 24 hexadecimal digits; the B2 console shows it beside the bucket's name",
    );
  }
  const account = await authorize(options);
  const { restrictedTo } = account;
  if (restrictedTo !== undefined && restrictedTo.id !== bucketId) {
    throw wrong(
      `The key may only use bucket ${restrictedTo.name ?? restrictedTo.id}, not ${bucketId}`,
      "use a key for this bucket, or name the other bucket",
    );
  }
  const lacking = neededCapabilities.filter((each) => !account.capabilities.includes(each));
  if (lacking.length > 0) {
    throw wrong(
      `The key lacks ${lacking.join(", ")}`,
      "create an application key with read and write access to the bucket",
    );
  }
  const bucketName = restrictedTo?.name ?? await nameOf(bucketId, { ...options, account });
  const region = regionOfEndpoint(account.s3ApiUrl) ?? options.region;
  if (region === undefined) {
    throw wrong(`'${account.s3ApiUrl}' does not tell its region`, "add region=… to the URL");
  }
  return { bucketId, bucketName, endpoint: new URL(account.s3ApiUrl).origin, region };
}

function wrong(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.usage });
}

async function authorize(
  options: ResolveOptions & { credentials: StoreCredentials },
): Promise<Account> {
  const { keyId, applicationKey } = options.credentials;
  const basic = Buffer.from(`${keyId}:${applicationKey}`).toString("base64");
  const answer = await call(
    `${options.baseUrl ?? loginUrl}/b2api/v3/b2_authorize_account`,
    { method: "GET", headers: { authorization: `Basic ${basic}` } },
    options,
  );
  const accountId = text(answer, "accountId");
  if (accountId === keyId) {
    throw wrong(
      "This is the account's master key, which B2 does not accept over the S3 protocol",
      "create an application key for the bucket, and use its keyID and applicationKey",
    );
  }
  const storage = object(object(answer, "apiInfo"), "storageApi");
  const { bucketId, bucketName, capabilities } = storage;
  return {
    accountId,
    authorizationToken: text(answer, "authorizationToken"),
    apiUrl: text(storage, "apiUrl"),
    s3ApiUrl: text(storage, "s3ApiUrl"),
    capabilities: Array.isArray(capabilities) ? capabilities : [],
    restrictedTo: typeof bucketId === "string"
      ? { id: bucketId, name: typeof bucketName === "string" ? bucketName : undefined }
      : undefined,
  };
}

async function nameOf(
  bucketId: string,
  options: ResolveOptions & { credentials: StoreCredentials; account: Account },
): Promise<string> {
  const { account } = options;
  const { accountId } = account;
  const answer = await call(`${account.apiUrl}/b2api/v3/b2_list_buckets`, {
    method: "POST",
    headers: { authorization: account.authorizationToken, "content-type": "application/json" },
    body: JSON.stringify({ accountId, bucketId }),
  }, options);
  const buckets = Array.isArray(answer.buckets) ? answer.buckets as Json[] : [];
  const found = buckets.find((each) => each.bucketId === bucketId);
  if (found === undefined) {
    throw wrong(
      `There is no bucket ${bucketId} in this account, or the key may not see it`,
      "compare the id with the B2 console; the key needs the capability listBuckets",
    );
  }
  return text(found, "bucketName");
}

type Json = Record<string, unknown>;

function unexpected(field: string): StoreError {
  return new StoreError("corrupt", `B2's answer lacks '${field}': it may not come from B2 at all`);
}

function object(answer: Json, field: string): Json {
  const value = answer[field];
  if (typeof value !== "object" || value === null) throw unexpected(field);
  return value as Json;
}

function text(answer: Json, field: string): string {
  const value = answer[field];
  if (typeof value !== "string") throw unexpected(field);
  return value;
}

async function call(
  url: string,
  request: { method: string; headers: Record<string, string>; body?: string },
  options: ResolveOptions & { credentials: StoreCredentials },
): Promise<Json> {
  const { protocol, hostname, pathname } = new URL(url);
  if (protocol !== "https:" && !(protocol === "http:" && isLoopback(hostname))) {
    throw wrong(`'${url}' is no https address`, "credentials are not sent unprotected");
  }
  const what = pathname.split("/").pop()!;
  const redaction = new Redaction(options.credentials);
  const timeoutMs = options.timeoutMs ?? 30_000;
  const deadline = new AbortController();
  const cancel = options.clock.after(timeoutMs, () => deadline.abort());
  const signals = [deadline.signal, ...(options.signal === undefined ? [] : [options.signal])];
  try {
    const response = await fetch(url, {
      ...request,
      // A redirect would carry the credentials to somebody else.
      redirect: "error",
      signal: AbortSignal.any(signals),
    });
    return judge(what, { status: response.status, body: await response.text(), redaction });
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof StoreError || error instanceof UserError) throw error;
    const why = deadline.signal.aborted
      ? `not done within ${timeoutMs} ms`
      : redaction.text(error instanceof Error ? error.message : String(error));
    throw new StoreError("unavailable", `${what}: ${why}`, { cause: redaction.cause(error) });
  } finally {
    cancel();
  }
}

function judge(
  what: string,
  answer: { status: number; body: string; redaction: Redaction },
): Json {
  const { status, body, redaction } = answer;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (typeof parsed !== "object" || parsed === null) {
    const kind = status < 300 ? "corrupt" : "unavailable";
    throw new StoreError(kind, `${what}: the answer is not B2's (HTTP ${status})`, { status });
  }
  const json = parsed as Json;
  if (status === 200) return json;
  const code = typeof json.code === "string" ? redaction.text(json.code) : undefined;
  const message = `${what}: ${
    redaction.text(String(json.message ?? ""))
  } (HTTP ${status}, ${code})`;
  if (status === 401 || status === 403) {
    throw new UserError(`B2 refuses the key: ${message}`, {
      hint: "compare key id and application key with the B2 console, or create a new key",
      exitCode: ExitCode.store,
    });
  }
  const busy = status === 408 || status === 429 || status >= 500;
  throw new StoreError(busy ? "unavailable" : "invalid", message, { status, code });
}
