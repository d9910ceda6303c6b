/** Answers that are not what a sound store would give: instead of the sound one, or made from it. */
import type { FaultAction, FaultRule } from "./faults.ts";
import type { WireResponse } from "./http_wire.ts";
import { errorResponse, noSuchBucket, noSuchKey, type ParsedRequest } from "./s3_operations.ts";
import type { StoredVersion } from "./versions.ts";

const page = new TextEncoder().encode(
  "<!DOCTYPE html><html><body>Welcome to this network. Please accept the terms.</body></html>",
);

/** The answer that a rule gives in place of the store, before or after the request took effect. */
export function faultAnswer(
  struck: FaultRule[],
  when: { applied: boolean },
): WireResponse | undefined {
  for (const { action } of struck) {
    if (action.kind === "status" && (action.applied ?? false) === when.applied) {
      return statusAnswer(action);
    }
    if (when.applied) continue;
    if (action.kind === "missing") return noSuchKey();
    if (action.kind === "noBucket") return noSuchBucket();
    if (action.kind === "webPage") {
      return { status: 200, headers: { "content-type": "text/html; charset=utf-8" }, body: page };
    }
  }
  return undefined;
}

function statusAnswer(action: FaultAction & { kind: "status" }): WireResponse {
  const response: WireResponse = action.body === "html"
    ? { status: action.status, headers: { "content-type": "text/html" }, body: page }
    : action.body === "empty"
    ? { status: action.status, headers: {}, body: new Uint8Array(0) }
    : errorResponse(
      action.status,
      action.code ?? "Simulated",
      action.message ?? "A simulated fault",
    );
  if (action.retryAfterSeconds !== undefined) {
    response.headers["retry-after"] = String(action.retryAfterSeconds);
  }
  Object.assign(response.headers, action.headers);
  return response;
}

/** The sound answer, with what the rules do to it. */
export function applyToAnswer(
  sound: WireResponse,
  what: { struck: FaultRule[]; parsed: ParsedRequest; stored: StoredVersion | undefined },
): WireResponse {
  let response: WireResponse = { ...sound, headers: { ...sound.headers } };
  for (const { action } of what.struck) {
    switch (action.kind) {
      case "shorten":
        response.body = response.body.subarray(
          0,
          Math.max(0, response.body.length - action.byBytes),
        );
        break;
      case "flipBit": {
        const body = response.body.slice();
        body[action.atByte ?? 0] ^= 1;
        response.body = body;
        break;
      }
      case "wholeObject":
        if (what.stored === undefined) break;
        response = { status: 200, headers: { ...response.headers }, body: what.stored.body };
        delete response.headers["content-range"];
        break;
      case "shiftRange":
        response = shifted(response, { stored: what.stored, byBytes: action.byBytes });
        break;
      case "noVersionId":
        delete response.headers["x-amz-version-id"];
        break;
      case "listOmits":
      case "listRepeats":
      case "pageLoop":
        response.body = relisted(response.body, { action, parsed: what.parsed });
    }
  }
  return response;
}

function shifted(
  response: WireResponse,
  what: { stored: StoredVersion | undefined; byBytes: number },
): WireResponse {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers["content-range"] ?? "");
  if (match === null || what.stored === undefined) return response;
  const first = Number(match[1]) + what.byBytes;
  const last = Number(match[2]) + what.byBytes;
  return {
    status: 206,
    headers: { ...response.headers, "content-range": `bytes ${first}-${last}/${match[3]}` },
    body: what.stored.body.subarray(first, last + 1),
  };
}

function relisted(
  body: Uint8Array,
  what: { action: FaultAction; parsed: ParsedRequest },
): Uint8Array {
  const text = new TextDecoder().decode(body);
  const entry = /<(Contents|Version|DeleteMarker)>.*?<\/\1>/g;
  let index = 0;
  const listing = what.action.kind === "listOmits"
    ? text.replace(entry, (found) => (index++ % 2 === 0 ? found : ""))
    : what.action.kind === "listRepeats"
    ? text.replace(entry, (found) => found + found)
    : text.replace(/<IsTruncated>.*?<\/IsTruncated>/, "<IsTruncated>true</IsTruncated>")
      .replace(/<Next(KeyMarker|VersionIdMarker)>.*?<\/Next\1>/g, "")
      .replace(
        "</IsTruncated>",
        `</IsTruncated><NextKeyMarker>${
          what.parsed.query.get("key-marker") ?? what.parsed.key
        }</NextKeyMarker>`,
      );
  return new TextEncoder().encode(listing);
}
