/**
 * `zero.json`: says that a prefix of a bucket holds a Zero file system, which one, and how to read
 * it. Written once, when the file system is created, and never changed.
 */
import { invariant } from "../domain/errors.ts";
import { refuseUnknownFeatureNames } from "./features.ts";
import { wellFormed } from "./format_error.ts";
import {
  encodeDocument,
  ID_PATTERN,
  parseDocument,
  refuseOtherFormat,
  TIME_PATTERN,
} from "./json_document.ts";
import { FORMAT_VERSION, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES } from "./limits.ts";

export interface Descriptor {
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  /** Bytes: a power of two from 4 KiB to 64 MiB. */
  chunkSize: number;
  /** Names of features that a reader must know. */
  features: string[];
  /** When it was created, ISO 8601, UTC. */
  created: string;
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
  });
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
  return {
    fileSystem: fields.text("fileSystem", ID_PATTERN),
    chunkSize,
    features,
    created: fields.text("created", TIME_PATTERN),
  };
}
