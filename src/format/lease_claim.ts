/**
 * Claims on the right to write to a bucket prefix: immutable objects whose names alone say who may.
 * The protocol that uses them stands in `src/tiering/lease.ts`.
 */
import { invariant } from "../domain/errors.ts";
import {
  encodeDocument,
  HASH_PATTERN,
  ID_PATTERN,
  parseDocument,
  refuseOtherFormat,
  TIME_PATTERN,
} from "./json_document.ts";
import { epochText, LEASE_PREFIX } from "./keys.ts";
import { FORMAT_VERSION } from "./limits.ts";

/** What a claim's name says. */
export interface ClaimName {
  epoch: number;
  /** Random, one per claim: 32 hexadecimal digits. */
  mountId: string;
}

/** What a claim says to people. */
export interface LeaseClaim extends ClaimName {
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  machine: string;
  user: string;
  /** ISO 8601, UTC, by the claimant's clock. */
  since: string;
  /**
   * Hash of the last metadata object that the claimant has seen, 64 hexadecimal digits: what an
   * earlier epoch adds behind it does not count. Undefined: it does not know any.
   */
  base?: string;
}

/** Key of a claim, or of the word that it is given back. */
export function claimKey(name: ClaimName, options: { released?: boolean } = {}): string {
  invariant(ID_PATTERN.test(name.mountId), () => `mount id '${name.mountId}'`);
  const suffix = options.released ? "-released" : "";
  return `${LEASE_PREFIX}${epochText(name.epoch)}-${name.mountId}${suffix}`;
}

/** What a key below `lease/` says; undefined for names that are not claims. */
export function parseClaimKey(key: string): (ClaimName & { released: boolean }) | undefined {
  const match = /^lease\/([0-9a-f]{16})-([0-9a-f]{32})(-released)?$/.exec(key);
  if (match === null) return undefined;
  const epoch = Number.parseInt(match[1], 16);
  // An epoch that no version writes; treating it as absent could let two mounts write.
  if (!Number.isSafeInteger(epoch)) return { ...foreign, mountId: match[2] };
  return { epoch, mountId: match[2], released: match[3] !== undefined };
}

const foreign = { epoch: Number.MAX_SAFE_INTEGER, released: false };

/** The bytes of a claim. */
export function encodeClaim(claim: LeaseClaim): Uint8Array<ArrayBuffer> {
  return encodeDocument({
    format: FORMAT_VERSION,
    fileSystem: claim.fileSystem,
    epoch: claim.epoch,
    mountId: claim.mountId,
    machine: claim.machine,
    user: claim.user,
    since: claim.since,
    base: claim.base,
  });
}

/** Reads a claim. Throws FormatError. */
export function decodeClaim(bytes: Uint8Array): LeaseClaim {
  const what = "a lease claim";
  const fields = parseDocument(bytes, what);
  refuseOtherFormat(fields, what);
  const base = fields.optionalText("base", HASH_PATTERN);
  return {
    fileSystem: fields.text("fileSystem", ID_PATTERN),
    epoch: fields.integer("epoch", 1),
    mountId: fields.text("mountId", ID_PATTERN),
    machine: fields.text("machine"),
    user: fields.text("user"),
    since: fields.text("since", TIME_PATTERN),
    ...(base === undefined ? {} : { base }),
  };
}
