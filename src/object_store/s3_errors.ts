/**
 * What a failed S3 call means: SDK errors and answers ⇒ `StoreError`.
 *
 * Errors differ in shape by where they arise (server, SDK, socket, TLS), so they are judged by code,
 * status and message. Only an answer that says so for this key is `missing`; everything that is not
 * understood is `unavailable`. No credential and no SDK object gets out (redaction.ts).
 */
import { InvariantError } from "../domain/errors.ts";
import { StoreError, type StoreErrorKind } from "./object_store.ts";
import type { Redaction } from "./redaction.ts";

/** The head of an HTTP answer, as far as one arrived. */
export interface Answer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
}

/**
 * Says that an HTTP 2xx was no answer of a store, such as the page of a captive portal. (Swift calls
 * the empty bodies of its answers HTML too, but like every store it gives each request an id.)
 */
export function isForeign(answer: Answer): boolean {
  return answer.headers["x-amz-request-id"] === undefined &&
    /^text\/html\b/i.test(answer.headers["content-type"] ?? "");
}

const byCode: Record<string, StoreErrorKind> = {
  NoSuchKey: "missing",
  NoSuchVersion: "missing",
  NoSuchBucket: "no-bucket",
  AccessDenied: "denied",
  AllAccessDisabled: "denied",
  AccountProblem: "denied",
  InvalidAccessKeyId: "denied",
  SignatureDoesNotMatch: "denied",
  ExpiredToken: "denied",
  InvalidToken: "denied",
  // The SDK learns the difference of the clocks from this very answer: the next call is in time.
  RequestTimeTooSkewed: "unavailable",
  RequestTimeout: "unavailable",
  SlowDown: "unavailable",
  ServiceUnavailable: "unavailable",
  InternalError: "unavailable",
  OperationAborted: "unavailable",
  BadDigest: "corrupt",
  XAmzContentSHA256Mismatch: "corrupt",
  IncompleteBody: "corrupt",
  InvalidRange: "corrupt",
  PermanentRedirect: "invalid",
  AuthorizationHeaderMalformed: "invalid",
  NotImplemented: "invalid",
  PreconditionFailed: "invalid",
};

function byStatus(status: number, code: string | undefined): StoreErrorKind {
  if (status === 401 || status === 403) return "denied";
  if (status === 408 || status === 425 || status === 429) return "unavailable";
  if (status === 416) return "corrupt";
  // A store's refusal has a code; without one it comes from something on the way.
  if ([400, 405, 411, 412, 413, 414, 431, 501].includes(status) && code !== undefined) {
    return "invalid";
  }
  if (status === 501) return "invalid";
  if (status === 301 || status === 307 || status === 308) return "invalid";
  // Whatever claims success and could not be understood is not what was asked for.
  if (status >= 200 && status < 300) return "corrupt";
  return "unavailable";
}

/** Codes that the SDK makes up where the answer had none. */
const made = new Set(["NotFound", "UnknownError", "Unknown", "Error", "BadRequest", "Forbidden"]);

function codeOf(error: unknown): string | undefined {
  const { Code, name, $fault } = error as { Code?: unknown; name?: unknown; $fault?: unknown };
  // Only what the SDK made from an answer has a fault; other names are JavaScript's.
  if ($fault === undefined) return undefined;
  for (const code of [Code, name]) {
    if (typeof code === "string" && /^[A-Z][A-Za-z0-9]+$/.test(code) && !made.has(code)) {
      return code;
    }
  }
  return undefined;
}

/** Retry-After in milliseconds: a number of seconds, or a date against the answer's own. */
export function retryAfterMs(headers: Record<string, string>): number | undefined {
  const value = headers["retry-after"];
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const until = Date.parse(value) - Date.parse(headers["date"] ?? "");
  return Number.isNaN(until) ? undefined : Math.max(0, until);
}

export interface FailedCall {
  /** Such as `get`. */
  operation: string;
  /** What it was about, in the caller's words. */
  subject: string;
  error: unknown;
  /** Undefined where no answer arrived. */
  answer: Answer | undefined;
  region: string;
}

/** The StoreError that a failed call means. */
export function toStoreError(call: FailedCall, redaction: Redaction): StoreError {
  const { error, answer, operation } = call;
  if (error instanceof StoreError) return error;
  if (error instanceof InvariantError) throw error;
  const subject = `${operation} ${call.subject}`;
  if (answer === undefined) {
    return new StoreError("unavailable", `${subject}: ${redaction.text(describe(error))}`, {
      cause: redaction.cause(error),
    });
  }
  if (answer.status >= 200 && answer.status < 300 && isForeign(answer)) {
    return new StoreError(
      "corrupt",
      `${subject}: a web page came back where the store's answer was expected; ` +
        `something on the way to the store answers in its place`,
      { status: answer.status },
    );
  }
  const code = codeOf(error);
  // The connection ended inside a body that had begun well.
  const broken = answer.status < 300 && code === undefined && isConnectionError(error);
  const hidden = answer.headers["x-amz-delete-marker"] === "true" &&
    (answer.status === 404 || answer.status === 405);
  const kind = hidden
    ? "missing"
    : broken
    ? "unavailable"
    : (code === undefined ? undefined : byCode[code]) ?? byStatus(answer.status, code);
  const text = error instanceof Error ? error.message : String(error);
  const hint = hintFor({ code, answer, text, region: call.region });
  const id = answer.headers["x-amz-request-id"];
  const where = [`HTTP ${answer.status}`, code, id === undefined ? undefined : `request ${id}`]
    .filter((each) => each !== undefined).join(", ");
  const message = `${subject}: ${redaction.text(text)} (${redaction.text(where)})`;
  return new StoreError(
    kind,
    hint === undefined ? message : `${message}; ${redaction.text(hint)}`,
    {
      status: answer.status,
      code: code === undefined ? undefined : redaction.text(code),
      retryAfterMs: retryAfterMs(answer.headers),
      cause: redaction.cause(error),
    },
  );
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  const message = error.message === "" ? error.name : error.message;
  return typeof code === "string" && !message.includes(code) ? `${message} (${code})` : message;
}

/** Whether the transport failed, as against an answer that could not be understood. */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && /^(E[A-Z0-9_]+|ABORT_ERR|UND_ERR_\w+)$/.test(code)) return true;
  return error.name === "TimeoutError" || error.name === "AbortError" ||
    /\b(aborted|socket hang up|premature close|connection (was )?(reset|closed))\b/i
      .test(error.message);
}

function hintFor(
  about: { code: string | undefined; answer: Answer; text: string; region: string },
): string | undefined {
  const { code, answer, text, region } = about;
  if (code === "InvalidAccessKeyId") {
    return /malformed/i.test(text)
      ? "a B2 master key does not work here: create an application key for the bucket, and use its keyID"
      : "the key was deleted, or belongs to another store";
  }
  if (code === "SignatureDoesNotMatch") {
    return "the application key does not belong to the key id, or the region is not the bucket's";
  }
  if (code === "RequestTimeTooSkewed") {
    const date = answer.headers["date"];
    return `this machine's clock is wrong${date ? `: the store's says ${date}` : ""}`;
  }
  const bucketRegion = answer.headers["x-amz-bucket-region"] ??
    /expecting '([a-z0-9-]+)'/.exec(text)?.[1];
  if (bucketRegion !== undefined && bucketRegion !== region) {
    return `the bucket is in region ${bucketRegion}, the store's URL says ${region}`;
  }
  if (answer.status === 401 || answer.status === 403) {
    return "the key may lack a capability (listFiles, readFiles, writeFiles and deleteFiles are needed), " +
      "or a daily cap of the account was reached";
  }
  return undefined;
}
