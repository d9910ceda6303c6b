/**
 * Checks AWS Signature Version 4 as a strict store does: every header that must be signed is, the
 * date is near, the scope names this region, and the body is the one whose hash was signed.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { WireRequest } from "./http_wire.ts";

/** A refusal, as S3 words it. */
export interface Refusal {
  status: number;
  code: string;
  message: string;
}

export interface SigningKey {
  keyId: string;
  applicationKey: string;
  /** A master key: B2 does not accept it over S3. */
  master: boolean;
}

const maxSkewMs = 15 * 60 * 1000;

function rfc3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The decoded parameters of a query, in the order in which they were sent. */
export function parseQuery(query: string): [string, string][] {
  return query.split("&").filter((part) => part !== "").map((part) => {
    const [name, ...value] = part.split("=");
    return [decodeURIComponent(name), decodeURIComponent(value.join("="))];
  });
}

function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: Uint8Array | string, text: string): Uint8Array {
  return createHmac("sha256", key).update(text).digest();
}

function canonicalRequest(request: WireRequest, signedHeaders: string[]): string {
  const path = request.path.split("/").map((part) => rfc3986(decodeURIComponent(part))).join("/");
  const query = parseQuery(request.query)
    .map(([name, value]) => [rfc3986(name), rfc3986(value)])
    .sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`).join("&");
  const headers = signedHeaders.map((name) =>
    `${name}:${(request.headers.get(name) ?? "").replace(/\s+/g, " ")}\n`
  ).join("");
  return [
    request.method,
    path,
    query,
    headers,
    signedHeaders.join(";"),
    request.headers.get("x-amz-content-sha256"),
  ].join("\n");
}

/** Why the request is refused, or the key that it is signed with. The body is checked apart. */
export function checkSignature(
  request: WireRequest,
  store: { keys: SigningKey[]; region: string; nowMs: number },
): { refusal: Refusal } | { key: SigningKey } {
  const refuse = (status: number, code: string, message: string) => ({
    refusal: { status, code, message },
  });
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/
      .exec(request.headers.get("authorization") ?? "");
  if (match === null) {
    return refuse(403, "AccessDenied", "Unauthenticated requests are not allowed");
  }
  const [, keyId, day, region, headerList, signature] = match;
  const key = store.keys.find((each) => each.keyId === keyId);
  if (key?.master) return refuse(403, "InvalidAccessKeyId", "Malformed Access Key Id");
  if (key === undefined) {
    return refuse(403, "InvalidAccessKeyId", "The key ID you provided does not exist");
  }
  const date = request.headers.get("x-amz-date") ?? "";
  const time = Date.parse(
    date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"),
  );
  if (Number.isNaN(time) || !date.startsWith(day)) {
    return refuse(403, "AccessDenied", "The date of the request is missing or malformed");
  }
  if (Math.abs(time - store.nowMs) > maxSkewMs) {
    return refuse(
      403,
      "RequestTimeTooSkewed",
      "The difference between the request time and the current time is too large",
    );
  }
  if (region !== store.region) {
    return refuse(
      403,
      "SignatureDoesNotMatch",
      "Signature validation failed: wrong region in the scope",
    );
  }
  const signedHeaders = headerList.split(";");
  const mustSign = ["host", ...[...request.headers.keys()].filter((name) => /^x-amz-/.test(name))];
  const unsigned = mustSign.find((name) => !signedHeaders.includes(name));
  if (unsigned !== undefined) {
    return refuse(
      403,
      "AccessDenied",
      `There were headers present which were not signed: ${unsigned}`,
    );
  }
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = [
    "AWS4-HMAC-SHA256",
    date,
    scope,
    sha256(canonicalRequest(request, signedHeaders)),
  ].join("\n");
  const signing = [region, "s3", "aws4_request"].reduce<Uint8Array>(
    (secret, part) => hmac(secret, part),
    hmac(`AWS4${key.applicationKey}`, day),
  );
  const expected = createHmac("sha256", signing).update(toSign).digest();
  const given = new Uint8Array(signature.match(/../g)!.map((pair) => parseInt(pair, 16)));
  if (!timingSafeEqual(expected, given)) {
    return refuse(403, "SignatureDoesNotMatch", "Signature validation failed");
  }
  return { key };
}

/** Why a body is refused: its hash must be signed, and be its own. */
export function checkPayload(request: WireRequest, body: Uint8Array): Refusal | undefined {
  const claimed = request.headers.get("x-amz-content-sha256") ?? "";
  if (!/^[0-9a-f]{64}$/.test(claimed)) {
    return {
      status: 400,
      code: "InvalidRequest",
      message: `This simulator takes payloads with a signed hash only, not '${claimed}'`,
    };
  }
  if (claimed !== sha256(body)) {
    return {
      status: 400,
      code: "XAmzContentSHA256Mismatch",
      message: "The provided 'x-amz-content-sha256' header does not match what was computed.",
    };
  }
  return undefined;
}
