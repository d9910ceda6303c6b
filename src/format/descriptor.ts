/**
 * `zero.json`: says that a prefix of a bucket holds a Zero file system, which one, and how to read
 * it. Written once, when the file system is created, and never changed.
 */
import { Buffer } from "node:buffer";
import { invariant } from "../domain/errors.ts";
import { ENCRYPTION, refuseUnknownFeatureNames } from "./features.ts";
import { wellFormed } from "./format_error.ts";
import {
  encodeDocument,
  HASH_PATTERN,
  ID_PATTERN,
  parseDocument,
  refuseOtherFormat,
  TIME_PATTERN,
} from "./json_document.ts";
import { FORMAT_VERSION, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES } from "./limits.ts";
import type { Secrets } from "./secrets.ts";

export interface Descriptor {
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  /** Bytes: a power of two from 4 KiB to 64 MiB. */
  chunkSize: number;
  /** Names of features that a reader must know. */
  features: string[];
  /** When it was created, ISO 8601, UTC. */
  created: string;
  /** Of an encrypted file system: proof of all of this, 64 hexadecimal digits. */
  seal?: string;
}

const WHAT = "zero.json";

/** Whether `bytes` may be the chunk size of a file system. */
export function isChunkSize(bytes: number): boolean {
  return bytes >= MIN_CHUNK_BYTES && bytes <= MAX_CHUNK_BYTES && Number.isInteger(Math.log2(bytes));
}

/** The bytes of `zero.json`. */
export function encodeDescriptor(descriptor: Descriptor): Uint8Array<ArrayBuffer> {
  invariant(ID_PATTERN.test(descriptor.fileSystem), () => `id '${descriptor.fileSystem}'`);
  invariant(isChunkSize(descriptor.chunkSize), () => `chunk size ${descriptor.chunkSize}`);
  return encodeDocument({
    format: FORMAT_VERSION,
    about: "This prefix holds a Zero file system. Do not change or delete anything below it.",
    fileSystem: descriptor.fileSystem,
    chunkSize: descriptor.chunkSize,
    features: descriptor.features,
    created: descriptor.created,
    seal: descriptor.seal,
  });
}

/** Whether names and content of this file system are encrypted. */
export function isEncrypted(descriptor: Pick<Descriptor, "features">): boolean {
  return descriptor.features.includes(ENCRYPTION);
}

/** The descriptor with its seal. */
export function sealDescriptor(descriptor: Descriptor, secrets: Secrets): Descriptor {
  return { ...descriptor, seal: sealOf(descriptor, secrets) };
}

/** Throws FormatError unless this is what was written when the file system was created, with these secrets. */
export function checkSeal(descriptor: Descriptor, secrets: Secrets): void {
  wellFormed(
    descriptor.seal === sealOf(descriptor, secrets),
    () => `${WHAT} is not what was written with this key`,
  );
}

function sealOf(descriptor: Descriptor, secrets: Secrets): string {
  const { fileSystem, chunkSize, features, created } = descriptor;
  const lines = [FORMAT_VERSION, fileSystem, chunkSize, features.join(","), created];
  const text = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  return Buffer.from(secrets.descriptorSeal(text)).toString("hex");
}

/** Reads `zero.json`. Throws FormatError; another format or feature is refused by name. */
export function decodeDescriptor(bytes: Uint8Array): Descriptor {
  const fields = parseDocument(bytes, WHAT);
  refuseOtherFormat(fields, WHAT);
  const features = fields.texts("features");
  refuseUnknownFeatureNames(features, WHAT);
  const chunkSize = fields.integer("chunkSize", 1);
  wellFormed(
    isChunkSize(chunkSize),
    () => `'chunkSize' in ${WHAT} is ${chunkSize}, not a power of two from 4 KiB to 64 MiB`,
  );
  const seal = features.includes(ENCRYPTION) ? fields.text("seal", HASH_PATTERN) : undefined;
  return {
    fileSystem: fields.text("fileSystem", ID_PATTERN),
    chunkSize,
    features,
    created: fields.text("created", TIME_PATTERN),
    ...(seal === undefined ? {} : { seal }),
  };
}
