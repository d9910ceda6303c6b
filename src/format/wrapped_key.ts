/**
 * The wrapped master key, `keys/<random>` (docs/FORMAT.md, "Wrapped master key"): the master key under a
 * key that scrypt makes of a passphrase. A checksum tells a damaged object from a wrong passphrase.
 */
import { Buffer } from "node:buffer";
import { createHash, scryptSync } from "node:crypto";
import { invariant } from "../domain/errors.ts";
import { ByteReader } from "./byte_reader.ts";
import { ByteWriter } from "./byte_writer.ts";
import { NONCE_BYTES, open, seal, TAG_BYTES } from "./cipher.ts";
import { ENCRYPTED, requireFeatures } from "./features.ts";
import { FormatError, wellFormed } from "./format_error.ts";
import { ID_BYTES } from "./keys.ts";
import { FORMAT_VERSION } from "./limits.ts";
import { KEY_BYTES, type SecretMaterial } from "./secrets.ts";

const MAGIC = new TextEncoder().encode("ZEROKEYS");
const WHAT = "a wrapped key";
/** Length of scrypt's salt, bytes. */
export const SALT_BYTES = 32;
/** Number of the only key derivation so far. */
const SCRYPT = 1;
const HEADER_BYTES = 92;
const HASHED_BYTES = HEADER_BYTES + KEY_BYTES + TAG_BYTES;
/** Length of the object, bytes. */
export const WRAPPED_KEY_BYTES = HASHED_BYTES + 48;

/** What scrypt costs. Memory is 128 × 2^logN × r bytes. */
export interface ScryptCost {
  logN: number;
  r: number;
  p: number;
}

/** 128 MiB, about a second. */
export const DEFAULT_COST: ScryptCost = { logN: 17, r: 8, p: 1 };
/** The least that a reader accepts. */
export const LEAST_COST: ScryptCost = { logN: 14, r: 8, p: 1 };
const MAX_MEMORY = 2 ** 30;
const MAX_P = 16;

/** The passphrase is not the one that this key was wrapped with. */
export class WrongPassphraseError extends Error {
  override readonly name = "WrongPassphraseError";
}

/** Wraps the master key. `salt` (32 bytes) and `nonce` (12) are random, fresh for each object. */
export function wrapKey(
  material: SecretMaterial,
  parts: { passphrase: Uint8Array; salt: Uint8Array; nonce: Uint8Array; cost?: ScryptCost },
): Uint8Array<ArrayBuffer> {
  const { passphrase, salt, nonce, cost = DEFAULT_COST } = parts;
  invariant(salt.length === SALT_BYTES && nonce.length === NONCE_BYTES, "lengths of salt, nonce");
  invariant(costFault(cost) === undefined, () => `scrypt: ${costFault(cost)}`);
  const into = new ByteWriter();
  into.bytes(MAGIC);
  into.u16(FORMAT_VERSION);
  into.u16(0);
  into.u32(ENCRYPTED);
  into.bytes(material.fileSystem);
  into.u8(SCRYPT);
  into.u8(cost.logN);
  into.u16(0);
  into.u32(cost.r);
  into.u32(cost.p);
  into.u32(0);
  into.bytes(salt);
  into.bytes(nonce);
  const header = into.finish();
  invariant(header.length === HEADER_BYTES, "a wrapped key has a header of 92 bytes");
  const key = stretch(passphrase, { salt, cost });
  try {
    into.bytes(seal(material.master, { key, nonce, additional: header }));
  } finally {
    key.fill(0);
  }
  into.bytes(createHash("sha256").update(into.finish()).digest());
  into.u32(ENCRYPTED);
  into.u16(FORMAT_VERSION);
  into.u16(0);
  into.bytes(MAGIC);
  return into.finish();
}

/**
 * The master key. Throws WrongPassphraseError; FormatError where the object is damaged, of another file
 * system, or asks for more than a reader gives.
 */
export function unwrapKey(
  bytes: Uint8Array,
  parts: { passphrase: Uint8Array; fileSystem: Uint8Array },
): SecretMaterial {
  const { fileSystem, cost, salt, nonce } = readHeader(bytes);
  wellFormed(
    Buffer.from(fileSystem).equals(parts.fileSystem),
    () => `${WHAT} belongs to file system ${Buffer.from(fileSystem).toString("hex")}`,
  );
  const key = stretch(parts.passphrase, { salt, cost });
  const sealed = bytes.subarray(HEADER_BYTES, HASHED_BYTES);
  const additional = bytes.subarray(0, HEADER_BYTES);
  try {
    return { fileSystem, master: open(sealed, { key, nonce, additional }, WHAT) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    // Its checksum is right, so it is as it was written: the key is another.
    throw new WrongPassphraseError("the passphrase is wrong");
  } finally {
    key.fill(0);
  }
}

/** Checks everything but the passphrase. Throws FormatError. */
export function checkWrappedKey(bytes: Uint8Array): void {
  readHeader(bytes);
}

/** Checks everything but the passphrase, and answers whose it is. Throws FormatError. */
export function fileSystemOf(bytes: Uint8Array): Uint8Array {
  return readHeader(bytes).fileSystem;
}

function readHeader(bytes: Uint8Array) {
  wellFormed(
    bytes.length === WRAPPED_KEY_BYTES,
    () => `${WHAT} has ${WRAPPED_KEY_BYTES} bytes, this one ${bytes.length}`,
  );
  const from = new ByteReader(bytes, WHAT);
  checkIdentity({ magic: from.view(8), version: from.u16(), zero: from.u16(), bits: from.u32() });
  const fileSystem = from.bytes(ID_BYTES);
  const derivation = from.u8();
  const logN = from.u8();
  const reserved = from.u16();
  const cost = { logN, r: from.u32(), p: from.u32() };
  const zero = from.u32() + reserved;
  const salt = from.bytes(SALT_BYTES);
  const nonce = from.bytes(NONCE_BYTES);
  from.view(KEY_BYTES + TAG_BYTES);
  const hash = from.view(32);
  const bits = from.u32();
  const version = from.u16();
  checkIdentity({ version, zero: from.u16(), bits, magic: from.view(8) });
  const found = createHash("sha256").update(bytes.subarray(0, HASHED_BYTES)).digest();
  wellFormed(found.equals(hash), () => `${WHAT} does not have its checksum: it is damaged`);
  if (derivation !== SCRYPT) {
    throw new FormatError("unknown", `${WHAT} with key derivation ${derivation}`);
  }
  wellFormed(zero === 0, () => `reserved bytes of ${WHAT} are set`);
  const fault = costFault(cost);
  wellFormed(fault === undefined, () => `${WHAT} asks scrypt for ${fault}`);
  return { fileSystem, cost, salt, nonce };
}

function checkIdentity(
  found: { magic: Uint8Array; version: number; zero: number; bits: number },
): void {
  wellFormed(MAGIC.every((byte, i) => found.magic[i] === byte), () => `${WHAT}: not ZEROKEYS`);
  if (found.version !== FORMAT_VERSION) {
    throw new FormatError("unknown", `${WHAT} of format ${found.version}`);
  }
  requireFeatures(found.bits, { encrypted: true }, WHAT);
  wellFormed(found.zero === 0, () => `reserved bytes of ${WHAT} are set`);
}

/** Why these parameters are not used: too weak, or more than a damaged header may make us spend. */
function costFault({ logN, r, p }: ScryptCost): string | undefined {
  if (logN < LEAST_COST.logN || r < LEAST_COST.r || p < 1) {
    return `too little: 2^${logN}, ${r}, ${p}`;
  }
  if (p > MAX_P || logN > 24 || 128 * 2 ** logN * r > MAX_MEMORY) {
    return `too much: 2^${logN}, ${r}, ${p}`;
  }
  return undefined;
}

function stretch(
  passphrase: Uint8Array,
  { salt, cost }: { salt: Uint8Array; cost: ScryptCost },
): Uint8Array {
  const { logN, r, p } = cost;
  const maxmem = 2 * MAX_MEMORY;
  return new Uint8Array(scryptSync(passphrase, salt, KEY_BYTES, { N: 2 ** logN, r, p, maxmem }));
}
