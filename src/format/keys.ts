/**
 * Names of objects in the bucket, below the file system's prefix. The only place that builds or
 * parses them.
 */
import { invariant } from "../domain/errors.ts";
import { hex } from "../runtime/random.ts";

/** Describes the file system; written once. */
export const DESCRIPTOR_KEY = "zero.json";
/** Chunks. */
export const PACK_PREFIX = "packs/";
/** Changes and snapshots of the metadata. */
export const METADATA_PREFIX = "metadata/";
/** Claims on the right to write. */
export const LEASE_PREFIX = "lease/";
/** Wrapped master keys of encrypted file systems. */
export const KEY_PREFIX = "keys/";
/** Objects that are put to try something out and removed at once; whatever is left of them is garbage. */
export const PROBE_PREFIX = "doctor/";

/** Length of a pack id, a file system id and a mount id, bytes. */
export const ID_BYTES = 16;

/** Key of a pack. The first two digits spread packs over 256 folders, for stores that are directories. */
export function packKey(pack: Uint8Array): string {
  invariant(pack.length === ID_BYTES, () => `a pack id has 16 bytes, this one ${pack.length}`);
  const name = hex(pack);
  return `${PACK_PREFIX}${name.slice(0, 2)}/${name}`;
}

/** The id in a pack's key, 32 hexadecimal digits; undefined for other keys. */
export function packIdOfKey(key: string): string | undefined {
  const match = /^packs\/([0-9a-f]{2})\/(\1[0-9a-f]{30})$/.exec(key);
  return match === null ? undefined : match[2];
}

/** An epoch as 16 hexadecimal digits, so that names sort in order of epochs. */
export function epochText(epoch: number): string {
  invariant(Number.isSafeInteger(epoch) && epoch >= 0, () => `not an epoch: ${epoch}`);
  return epoch.toString(16).padStart(16, "0");
}

/** What a metadata object's name says. */
export interface MetadataName {
  kind: "changes" | "segment" | "snapshot";
  epoch: number;
  first: number;
  last: number;
}

/** Key of a metadata object; `unique` are 32 hexadecimal digits, fresh for each attempt. */
export function metadataKey(name: MetadataName, unique: string): string {
  const suffix = name.kind === "changes" ? "" : `-${name.kind}`;
  return `${METADATA_PREFIX}${epochText(name.epoch)}/${epochText(name.first)}-${
    epochText(name.last)
  }-${unique}${suffix}`;
}

/** What a key below `metadata/` says; undefined for other names. */
export function parseMetadataKey(key: string): MetadataName | undefined {
  const match =
    /^metadata\/([0-9a-f]{16})\/([0-9a-f]{16})-([0-9a-f]{16})-[0-9a-f]{32}(-segment|-snapshot)?$/
      .exec(key);
  if (match === null) return undefined;
  const [epoch, first, last] = match.slice(1, 4).map((digits) => Number.parseInt(digits, 16));
  if (![epoch, first, last].every(Number.isSafeInteger)) return undefined;
  const kind = (match[4]?.slice(1) ?? "changes") as MetadataName["kind"];
  return { kind, epoch, first, last };
}

/** Key of a wrapped master key; `unique` are 32 hexadecimal digits. */
export function wrappedKeyKey(unique: string): string {
  return `${KEY_PREFIX}${unique}`;
}

/** Key of an object that is put to try something out; `unique` are 32 hexadecimal digits. */
export function probeKey(unique: string): string {
  return `${PROBE_PREFIX}${unique}`;
}
