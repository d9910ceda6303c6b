/**
 * The wrapped master keys of an encrypted file system: without one that can be used, the bucket is not
 * enough, whatever else is in it. Only the passphrase itself is not tried. Where none is left, a repair
 * puts back what the cache has kept of it; nothing is ever replaced or deleted.
 */
import { FormatError } from "../format/format_error.ts";
import { fileSystemOf } from "../format/wrapped_key.ts";
import { hex } from "../runtime/random.ts";
import type { ReportBuilder } from "./fsck_report.ts";

/** Of an encrypted file system. */
export interface KeyObjects {
  /** 32 hexadecimal digits. */
  fileSystem: string;
  /** What lies below `keys/`; without bytes, where the length alone says that it is no key. Rejects with StoreError. */
  read: () => Promise<{ key: string; length: number; bytes: Uint8Array | undefined }[]>;
  /** The wrapped key as the cache has kept it; undefined: it has none. */
  kept?: Uint8Array | undefined;
  /** Puts a wrapped key below `keys/`, under a new name, and answers that. Rejects with StoreError. */
  put?: (bytes: Uint8Array) => Promise<string>;
}

const TITLE = "the bucket holds the key, for whoever knows the passphrase";

export function skipKeys(builder: ReportBuilder, why: string): void {
  builder.skip("keys", TITLE, why);
}

/** False: no key there can be used. Rejects with StoreError where the store cannot be asked. */
export async function checkKeys(keys: KeyObjects, builder: ReportBuilder): Promise<boolean> {
  const check = builder.begin("keys", TITLE);
  const found = await keys.read();
  const faults = found.flatMap(({ key, length, bytes }) => {
    const fault = bytes === undefined
      ? `has ${length} bytes, so it is no wrapped key`
      : faultOf(bytes, keys.fileSystem);
    return fault === undefined ? [] : [`${key}: ${fault}`];
  });
  for (const what of faults) builder.problem(check, { what });
  if (faults.length < found.length) return true;
  builder.problem(check, {
    what: "no wrapped key can be used, so the passphrase alone would bring nothing back: " +
      "zero key passphrase writes one",
  });
  return false;
}

/**
 * Puts the cache's copy back, of a bucket that is known to be this file system's and has no key that can
 * be used. What was done, for people. Rejects with StoreError.
 */
export async function restoreKey({ kept, put, fileSystem }: KeyObjects): Promise<string[]> {
  if (kept === undefined || put === undefined || faultOf(kept, fileSystem) !== undefined) return [];
  const key = await put(kept);
  return [`keys: ${key} was put back, for the passphrase that this cache was opened with last`];
}

function faultOf(bytes: Uint8Array, fileSystem: string): string | undefined {
  try {
    const owner = hex(fileSystemOf(bytes));
    return owner === fileSystem ? undefined : `it belongs to file system ${owner}`;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return error.message;
  }
}
