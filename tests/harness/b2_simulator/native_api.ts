/** The two calls of B2's native API that Zero makes: who am I, and what is this bucket called. */
import { Buffer } from "node:buffer";
import type { WireRequest, WireResponse } from "./http_wire.ts";
import type { SigningKey } from "./signature.ts";

export interface SimulatedKey extends SigningKey {
  capabilities: string[];
  /** The only bucket that the key may use, by name; undefined for all. */
  restrictedTo?: string;
}

export interface NativeContext {
  keys: SimulatedKey[];
  /** Bucket ids by name. */
  buckets: Map<string, string>;
  endpoint: string;
}

const accountId = "a1b2c3d4e5f6";

function json(status: number, value: unknown): WireResponse {
  return {
    status,
    headers: { "content-type": "application/json;charset=utf-8" },
    body: new TextEncoder().encode(JSON.stringify(value)),
  };
}

function refusal(status: number, code: string, message: string): WireResponse {
  return json(status, { status, code, message });
}

export function authorizeAccount(request: WireRequest, context: NativeContext): WireResponse {
  const basic = /^Basic (.*)$/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const credentials = Buffer.from(basic, "base64").toString();
  const key = context.keys.find((each) => `${each.keyId}:${each.applicationKey}` === credentials);
  if (key === undefined) return refusal(401, "unauthorized", "The applicationKeyId is wrong");
  const { restrictedTo } = key;
  return json(200, {
    accountId: key.master ? key.keyId : accountId,
    authorizationToken: `token-of-${key.keyId}`,
    apiInfo: {
      storageApi: {
        apiUrl: context.endpoint,
        s3ApiUrl: context.endpoint,
        bucketId: restrictedTo === undefined ? null : context.buckets.get(restrictedTo),
        bucketName: restrictedTo ?? null,
        capabilities: key.capabilities,
        namePrefix: null,
      },
    },
  });
}

export function listBuckets(
  request: WireRequest,
  body: Uint8Array,
  context: NativeContext,
): WireResponse {
  const token = request.headers.get("authorization");
  const key = context.keys.find((each) => `token-of-${each.keyId}` === token);
  if (key === undefined) return refusal(401, "bad_auth_token", "Invalid authorization token");
  if (!key.capabilities.includes("listBuckets")) {
    return refusal(401, "unauthorized", "The key lacks the capability listBuckets");
  }
  const wanted = JSON.parse(new TextDecoder().decode(body)) as { bucketId?: string };
  const buckets = [...context.buckets]
    .filter(([name, id]) =>
      (wanted.bucketId === undefined || id === wanted.bucketId) &&
      (key.restrictedTo === undefined || key.restrictedTo === name)
    )
    .map(([bucketName, bucketId]) => ({
      accountId,
      bucketId,
      bucketName,
      bucketType: "allPrivate",
    }));
  return json(200, { buckets });
}
