/** What a request asks for, and B2's answers as far as Zero asks: sound, before any fault. */
import { createHash } from "node:crypto";
import type { Operation } from "./faults.ts";
import type { WireRequest, WireResponse } from "./http_wire.ts";
import { parseQuery } from "./signature.ts";
import { byUtf8, type StoredVersion, type Versions } from "./versions.ts";

export interface ParsedRequest {
  operation: Operation;
  bucket: string;
  /** The key, or the prefix of a listing. */
  key: string;
  query: Map<string, string>;
}

const encoder = new TextEncoder();
const nothing = new Uint8Array(0);

export function parseRequest(request: WireRequest): ParsedRequest {
  const query = new Map(parseQuery(request.query));
  const path = request.path.slice(1);
  if (path.endsWith("b2_authorize_account")) {
    return { operation: "authorize", bucket: "", key: "", query };
  }
  if (path.endsWith("b2_list_buckets")) {
    return { operation: "listBuckets", bucket: "", key: "", query };
  }
  const slash = path.indexOf("/");
  const bucket = decodeURIComponent(slash < 0 ? path : path.slice(0, slash));
  const key = slash < 0 ? "" : decodeURIComponent(path.slice(slash + 1));
  return {
    operation: operationOf(request.method, { key, query }),
    bucket,
    key: key || (query.get("prefix") ?? ""),
    query,
  };
}

function operationOf(
  method: string,
  about: { key: string; query: Map<string, string> },
): Operation {
  const { key, query } = about;
  if (key === "") {
    if (method === "HEAD") return "headBucket";
    if (method === "GET" && query.has("versions")) return "listVersions";
    return method === "GET" && query.get("list-type") === "2" ? "list" : "other";
  }
  switch (method) {
    case "PUT":
      return query.size > 0 && !query.has("x-id") ? "other" : "put";
    case "GET":
      return "get";
    case "HEAD":
      return "head";
    case "DELETE":
      return query.has("versionId") ? "delete" : "hide";
    default:
      return "other";
  }
}

export function xmlText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

function xml(status: number, document: string): WireResponse {
  return {
    status,
    headers: { "content-type": "application/xml" },
    body: encoder.encode(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n${document}`),
  };
}

export function errorResponse(status: number, code: string, message: string): WireResponse {
  return xml(
    status,
    `<Error><Code>${xmlText(code)}</Code><Message>${xmlText(message)}</Message></Error>`,
  );
}

export const noSuchKey = () => errorResponse(404, "NoSuchKey", "The specified key does not exist.");
export const noSuchBucket = () =>
  errorResponse(404, "NoSuchBucket", "The specified bucket does not exist");

/** MD5 of bodies, which never change; a test reads a pack of 16 MiB many times. */
const etags = new WeakMap<Uint8Array, string>();

function etagOf(body: Uint8Array): string {
  const known = etags.get(body) ?? createHash("md5").update(body).digest("hex");
  etags.set(body, known);
  return `"${known}"`;
}

function objectHeaders(version: StoredVersion): Record<string, string> {
  return {
    "content-type": "application/octet-stream",
    "accept-ranges": "bytes",
    etag: etagOf(version.body),
    "last-modified": new Date(version.modifiedMs).toUTCString(),
    "x-amz-version-id": version.versionId,
  };
}

export interface Bucket {
  name: string;
  versions: Versions;
  nowMs: number;
  /** Entries on a page of a listing at most. */
  pageSize: number;
}

/** Carries out a request whose signature and payload have been checked. */
export function carryOut(
  request: WireRequest,
  what: { parsed: ParsedRequest; body: Uint8Array<ArrayBuffer>; bucket: Bucket },
): WireResponse {
  const { parsed, body, bucket } = what;
  const { versions, name, nowMs } = bucket;
  const { key, query } = parsed;
  switch (parsed.operation) {
    case "put": {
      const version = versions.put(name, { key, body, marker: false, modifiedMs: nowMs });
      const { etag } = objectHeaders(version);
      const headers = { etag, "x-amz-version-id": version.versionId };
      return { status: 200, headers, body: nothing };
    }
    case "get":
    case "head":
      return read(request, { key, query, bucket });
    case "delete":
      versions.remove(name, key, query.get("versionId")!);
      return {
        status: 204,
        headers: { "x-amz-version-id": query.get("versionId")! },
        body: nothing,
      };
    case "hide": {
      const hidden = versions.put(name, { key, body: nothing, marker: true, modifiedMs: nowMs });
      const headers = { "x-amz-delete-marker": "true", "x-amz-version-id": hidden.versionId };
      return { status: 204, headers, body: nothing };
    }
    case "headBucket":
      return { status: 200, headers: {}, body: nothing };
    case "list":
      return listObjects(bucket, query);
    case "listVersions":
      return listVersions(bucket, query);
    case "authorize":
    case "listBuckets":
    case "other":
      return errorResponse(
        501,
        "NotImplemented",
        `This simulator does not do ${request.method} ${request.path}?${request.query}`,
      );
  }
}

function read(
  request: WireRequest,
  what: { key: string; query: Map<string, string>; bucket: Bucket },
): WireResponse {
  const { key, query, bucket } = what;
  const versionId = query.get("versionId");
  const version = bucket.versions.find(bucket.name, key, versionId);
  if (version === undefined) {
    return versionId === undefined
      ? noSuchKey()
      : errorResponse(404, "NoSuchVersion", "The specified version does not exist.");
  }
  if (version.marker) {
    const refusal = versionId === undefined
      ? noSuchKey()
      : errorResponse(405, "MethodNotAllowed", "The specified method is not allowed.");
    refusal.headers["x-amz-delete-marker"] = "true";
    return refusal;
  }
  const headers = objectHeaders(version);
  const match = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get("range") ?? "");
  if (match === null) return { status: 200, headers, body: version.body };
  const size = version.body.length;
  const first = match[1] === "" ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const last = match[1] === "" || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (first >= size || last < first) {
    return errorResponse(416, "InvalidRange", "The requested range is not satisfiable");
  }
  headers["content-range"] = `bytes ${first}-${last}/${size}`;
  return { status: 206, headers, body: version.body.subarray(first, last + 1) };
}

function listObjects(bucket: Bucket, query: Map<string, string>): WireResponse {
  const prefix = query.get("prefix") ?? "";
  const token = query.get("continuation-token");
  const after = token ?? query.get("start-after");
  const found = bucket.versions.all(bucket.name).filter((version) =>
    version.latest && !version.marker && version.key.startsWith(prefix) &&
    (after === undefined || byUtf8(version.key, after) > 0)
  );
  const page = found.slice(0, Math.min(bucket.pageSize, Number(query.get("max-keys") ?? 1000)));
  const truncated = page.length < found.length;
  const entries = page.map((version) => `<Contents>${entryXml(version)}</Contents>`).join("");
  const next = truncated
    ? `<NextContinuationToken>${xmlText(page[page.length - 1].key)}</NextContinuationToken>`
    : "";
  return xml(
    200,
    `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket.name}</Name>` +
      `<Prefix>${xmlText(prefix)}</Prefix><KeyCount>${page.length}</KeyCount>` +
      `<IsTruncated>${truncated}</IsTruncated>${next}${entries}</ListBucketResult>`,
  );
}

function entryXml(version: StoredVersion): string {
  const { etag } = objectHeaders(version);
  return `<Key>${xmlText(version.key)}</Key>` +
    `<LastModified>${new Date(version.modifiedMs).toISOString()}</LastModified>` +
    `<ETag>${xmlText(etag)}</ETag><Size>${version.length}</Size>` +
    `<StorageClass>STANDARD</StorageClass>`;
}

function listVersions(bucket: Bucket, query: Map<string, string>): WireResponse {
  const prefix = query.get("prefix") ?? "";
  const keyMarker = query.get("key-marker");
  const versionMarker = query.get("version-id-marker");
  const all = bucket.versions.all(bucket.name).filter((each) => each.key.startsWith(prefix));
  const begin = keyMarker === undefined ? 0 : all.findIndex((version, index) => {
    if (byUtf8(version.key, keyMarker) > 0) return true;
    return versionMarker !== undefined && version.key === keyMarker &&
      all.slice(0, index).some((before) => before.versionId === versionMarker);
  });
  const found = begin < 0 ? [] : all.slice(begin);
  const page = found.slice(0, Math.min(bucket.pageSize, Number(query.get("max-keys") ?? 1000)));
  const truncated = page.length < found.length;
  const entries = page.map((version) => {
    const id = `<VersionId>${version.versionId}</VersionId><IsLatest>${version.latest}</IsLatest>`;
    if (!version.marker) return `<Version>${entryXml(version)}${id}</Version>`;
    return `<DeleteMarker><Key>${xmlText(version.key)}</Key>${id}<LastModified>${
      new Date(version.modifiedMs).toISOString()
    }</LastModified></DeleteMarker>`;
  });
  const last = page[page.length - 1];
  const next = truncated
    ? `<NextKeyMarker>${xmlText(last.key)}</NextKeyMarker>` +
      `<NextVersionIdMarker>${last.versionId}</NextVersionIdMarker>`
    : "";
  return xml(
    200,
    `<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket.name}</Name>` +
      `<Prefix>${xmlText(prefix)}</Prefix><IsTruncated>${truncated}</IsTruncated>${next}` +
      `${entries.join("")}</ListVersionsResult>`,
  );
}
