/**
 * The URL that names a store: parsed, checked, printed.
 *
 *     file:///mnt/usb/zero
 *     b2://bucket/prefix?region=us-west-004
 *     s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1
 *     memory:                                                         (tests)
 *
 * Credentials never stand in it; a URL that seems to hold some is refused without repeating it.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { keyFault } from "./keys.ts";

/** Where a store is. All parts are checked. */
export type StoreLocation =
  | { scheme: "memory" }
  | { scheme: "file"; path: string }
  | {
    scheme: "s3" | "b2";
    bucket: string;
    /** "" for none; no slash at either end. */
    prefix: string;
    /** `https://host[:port]`, or http for a loopback address. */
    endpoint: string;
    region: string;
  };

/** Room that a prefix must leave for Zero's own keys, out of the 1,024 bytes of a key. */
const longestPrefixBytes = 800;

const forms =
  "write file:///path, b2://bucket/prefix?region=us-west-004 or s3://bucket/prefix?endpoint=https://host&region=name";

function refuse(message: string, hint: string): never {
  throw new UserError(message, { hint, exitCode: ExitCode.usage });
}

/** Parses the URL of a store. Throws UserError that names the value and the way out. */
export function parseStoreUrl(url: string): StoreLocation {
  if (url === "memory:") return { scheme: "memory" };
  const scheme = /^([a-z0-9+.-]+):/i.exec(url)?.[1].toLowerCase();
  refuseCredentials(url);
  switch (scheme) {
    case "file":
      return parseFile(url);
    case "s3":
    case "b2":
      return parseBucket(url, scheme);
    case undefined:
      return refuse(
        `'${url}' is not the URL of a store`,
        url.startsWith("/") ? `for a directory, write file://${url}` : forms,
      );
    default:
      return refuse(`'${scheme}' is no kind of store`, forms);
  }
}

/** The URL of a location; parses to the same location. Holds no secret. */
export function formatStoreUrl(location: StoreLocation): string {
  switch (location.scheme) {
    case "memory":
      return "memory:";
    case "file":
      return `file://${encodePath(location.path)}`;
    case "s3":
    case "b2": {
      const { scheme, bucket, prefix, endpoint, region } = location;
      const path = prefix === "" ? "" : `/${encodePath(prefix)}`;
      const native = endpoint === b2Endpoint(region) && scheme === "b2";
      const query = native ? `region=${region}` : `endpoint=${endpoint}&region=${region}`;
      return `${scheme}://${bucket}${path}?${query}`;
    }
  }
}

/** What to call the store in messages: scheme, bucket and prefix. */
export function describeStore(location: StoreLocation): string {
  return formatStoreUrl(location).replace(/\?.*$/, "");
}

/** The S3 endpoint of a B2 region. */
export function b2Endpoint(region: string): string {
  return `https://s3.${region}.backblazeb2.com`;
}

/** The region that the name of an endpoint tells; undefined where it tells none. */
export function regionOfEndpoint(endpoint: string): string | undefined {
  const { hostname } = new URL(endpoint);
  return /^s3\.([a-z0-9-]+)\.(backblazeb2|amazonaws)\.com$/.exec(hostname)?.[1];
}

function refuseCredentials(url: string): void {
  const authority = /^[^:]*:\/\/([^/?#]*)/.exec(url)?.[1] ?? "";
  const query = url.split("?").slice(1).join("?");
  const named =
    /(^|&)[^=&]*(secret|password|token|credential|access|application-?key|key-?id)[^=&]*=/i;
  // A bucket's name holds neither of these; "key:secret" does.
  if (/[@:]/.test(authority) || /:\/\/[^/]*@/.test(safeDecode(query)) || named.test(query)) {
    refuse(
      "The URL of the store holds credentials",
      "take them out: they belong into the environment or a file that only you can read",
    );
  }
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

function decode(text: string, url: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return refuse(`'${url}' holds a '%' that begins no byte`, "write a '%' itself as %25");
  }
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function parseFile(url: string): StoreLocation {
  const rest = url.slice("file:".length);
  if (!rest.startsWith("///")) {
    refuse(
      `'${url}' does not name a directory by its full path`,
      "write three slashes: file:///mnt/usb/zero",
    );
  }
  if (/[?#]/.test(rest)) {
    refuse(
      `'${url}' holds a '?' or '#', which file URLs do not take`,
      "where the directory's name holds one, write %3F or %23",
    );
  }
  const path = decode(rest.slice(2), url).replace(/\/+/g, "/").replace(/(.)\/$/, "$1");
  if (path.includes("\0") || path.split("/").some((name) => name === "." || name === "..")) {
    refuse(`'${url}' holds '.', '..' or a zero byte`, "name the directory by its full path");
  }
  if (path === "/") refuse("The root directory cannot be a store", "name an empty directory");
  return { scheme: "file", path };
}

function parseBucket(url: string, scheme: "s3" | "b2"): StoreLocation {
  const match = /^[^:]+:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(url);
  if (match === null) refuse(`'${url}' is not the URL of a store`, forms);
  const bucket = match[1];
  checkBucketName(bucket, scheme);
  const prefix = decode(match[2] ?? "", url).replace(/^\/+|\/+$/g, "");
  checkPrefix(prefix);
  const query = parseQuery(match[3] ?? "", url);
  const given = query.get("endpoint");
  if (given !== undefined) checkEndpoint(given);
  const region = query.get("region") ?? (given && regionOfEndpoint(given));
  if (region === undefined) {
    refuse(
      `'${url}' does not say in which region the bucket is`,
      scheme === "b2"
        ? "add ?region=…; the bucket's endpoint in the B2 console is s3.<region>.backblazeb2.com"
        : "add region=… to the URL; the store's documentation names it",
    );
  }
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(region)) {
    refuse(`'${region}' is not the name of a region`, "such as us-west-004");
  }
  const endpoint = given ?? (scheme === "b2" ? b2Endpoint(region) : undefined);
  if (endpoint === undefined) {
    refuse(
      `'${url}' does not say which server holds the bucket`,
      "add endpoint=https://…; for Backblaze write b2://bucket?region=…",
    );
  }
  const implied = regionOfEndpoint(endpoint);
  if (implied !== undefined && implied !== region) {
    refuse(
      `'${url}' names region ${region} and an endpoint in region ${implied}`,
      "leave one of them out",
    );
  }
  return { scheme, bucket, prefix, endpoint: new URL(endpoint).origin, region };
}

function parseQuery(text: string, url: string): Map<string, string> {
  const query = new Map<string, string>();
  for (const part of text.split("&").filter((each) => each !== "")) {
    const [name, ...value] = part.split("=");
    if (name !== "endpoint" && name !== "region") {
      refuse(`'${name}' is no setting of a store's URL`, "there are endpoint and region");
    }
    if (query.has(name)) refuse(`'${url}' sets ${name} twice`, "leave one of them out");
    query.set(name, decode(value.join("="), url));
  }
  return query;
}

function checkBucketName(bucket: string, scheme: "s3" | "b2"): void {
  const shortest = scheme === "b2" ? 6 : 3;
  if (
    !/^[a-z0-9][a-z0-9.-]*[a-z0-9]$/i.test(bucket) || bucket.length < shortest ||
    bucket.length > 63 || /\.\.|^b2-/i.test(bucket) || (scheme === "s3" && /[A-Z]/.test(bucket))
  ) {
    refuse(
      `'${bucket}' is not the name of a bucket`,
      `${shortest} to 63 letters, digits and '-', neither first nor last a '-', not beginning with 'b2-'`,
    );
  }
}

function checkPrefix(prefix: string): void {
  if (prefix === "") return;
  const fault = keyFault(prefix);
  if (fault !== undefined) {
    refuse(`'${prefix}' is no valid prefix: ${fault}`, "such as backups/laptop");
  }
  if (new TextEncoder().encode(prefix).length > longestPrefixBytes) {
    refuse(
      `The prefix is longer than ${longestPrefixBytes} bytes: '${prefix.slice(0, 40)}…'`,
      "keys below it would not fit the store; choose a shorter one",
    );
  }
}

/** Whether a host name can only mean this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname);
}

function checkEndpoint(text: string): void {
  const endpoint = URL.canParse(text) ? new URL(text) : undefined;
  if (endpoint === undefined || !/^https?:$/.test(endpoint.protocol)) {
    return refuse(`'${text}' is not an endpoint`, "such as https://s3.us-west-004.backblazeb2.com");
  }
  if (endpoint.protocol === "http:" && !isLoopback(endpoint.hostname)) {
    refuse(
      `'${text}' would send everything unprotected over the network`,
      "write https://; http:// is for addresses of this machine only",
    );
  }
  if (endpoint.pathname !== "/" || endpoint.search !== "" || endpoint.hash !== "") {
    refuse(`'${text}' is more than a server`, "an endpoint has a host and perhaps a port, no path");
  }
}
