/**
 * From a passphrase or a recovery key to the secrets of a file system, and to a new passphrase. What was
 * wrong is told apart: the passphrase, a damaged key, a `zero.json` that is not what it was. Whatever is
 * taken is wiped.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { checkSeal, type Descriptor } from "../format/descriptor.ts";
import { FormatError } from "../format/format_error.ts";
import { parseRecoveryKey } from "../format/recovery_key.ts";
import { type SecretMaterial, Secrets } from "../format/secrets.ts";
import {
  checkWrappedKey,
  type ScryptCost,
  unwrapKey,
  WrongPassphraseError,
} from "../format/wrapped_key.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { fromHex, type Random } from "../runtime/random.ts";
import type { KeyFile } from "./key_file.ts";
import type { KeySource, Unlocking } from "./key_source.ts";
import { deleteOtherKeys, putWrappedKey, readWrappedKeys } from "./wrapped_keys.ts";

export interface UnlockParts {
  descriptor: Descriptor;
  key: KeySource;
  /** Undefined: the bucket cannot be asked now. */
  store: ObjectStore | undefined;
  /** Of the cache, if there is one: read where the bucket does not help, brought up to date otherwise. */
  file: KeyFile | undefined;
}

export interface Unlocked {
  secrets: Secrets;
  /** What a cache should keep of the key. */
  wrapped: Uint8Array<ArrayBuffer> | undefined;
  /** The bucket was asked, and has no key that could be used: it is not enough any more. */
  warning: string | undefined;
}

interface Candidate {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Opens a file system. Rejects with UserError (exit codes in the README), and with StoreError where the
 * bucket is asked in vain.
 */
export async function unlock(parts: UnlockParts): Promise<Unlocked> {
  const { descriptor, key, file } = parts;
  // Before anybody is asked for anything.
  const { candidates, faults, inBucket } = await findKeys(parts);
  const unlocking = await key.take();
  let opened: Candidate | undefined;
  let material: SecretMaterial;
  try {
    if (unlocking.kind === "recovery key") material = recover(unlocking, descriptor);
    else {({ material, opened } = openAny(candidates, {
        passphrase: unlocking.bytes,
        faults,
        parts,
      }));}
  } finally {
    unlocking.bytes.fill(0);
  }
  const secrets = new Secrets(material);
  material.master.fill(0);
  requireSeal(descriptor, { secrets, unlocking });
  const wrapped = (opened ?? candidates[0])?.bytes;
  file?.write({ descriptor, wrapped });
  const warning = parts.store === undefined || inBucket ? undefined : [
    `${parts.store.description} holds no usable wrapped key, so the passphrase alone would not bring`,
    "anything back; `zero key passphrase` writes one",
    ...faults,
  ].join(" ");
  return { secrets, wrapped, warning };
}

/** Keys that may open, and what is wrong with others. The bucket's first, then the cache's copy. */
async function findKeys(
  { store, file, descriptor }: UnlockParts,
): Promise<{ candidates: Candidate[]; faults: string[]; inBucket: boolean }> {
  const candidates: Candidate[] = [];
  const faults: string[] = [];
  const consider = (name: string, bytes: Uint8Array<ArrayBuffer>) => {
    try {
      checkWrappedKey(bytes);
      candidates.push({ name, bytes });
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      faults.push(`${name}: ${error.message}`);
    }
  };
  for (const { key, length, bytes } of store === undefined ? [] : await readWrappedKeys(store)) {
    if (bytes === undefined) faults.push(`${key} has ${length} bytes, so it is no wrapped key`);
    else consider(key, bytes);
  }
  const inBucket = candidates.length > 0;
  const copy = candidates.length === 0 ? file?.read() : undefined;
  if (copy?.wrapped !== undefined && copy.descriptor.fileSystem === descriptor.fileSystem) {
    consider("the cache's copy of the key", copy.wrapped);
  }
  return { candidates, faults, inBucket };
}

function openAny(
  candidates: Candidate[],
  options: { passphrase: Uint8Array; faults: string[]; parts: UnlockParts },
): { material: SecretMaterial; opened: Candidate } {
  const { passphrase, faults, parts } = options;
  const fileSystem = fromHex(parts.descriptor.fileSystem);
  let wrong = false;
  for (const opened of candidates) {
    try {
      return { material: unwrapKey(opened.bytes, { passphrase, fileSystem }), opened };
    } catch (error) {
      if (error instanceof WrongPassphraseError) wrong = true;
      else if (error instanceof FormatError) faults.push(`${opened.name}: ${error.message}`);
      else throw error;
    }
  }
  if (wrong) {
    throw new UserError(
      `the passphrase is wrong for file system ${parts.descriptor.fileSystem}`,
      {
        hint: [
          ...faults,
          ...parts.store === undefined
            ? ["the cache has the key as it was when it was last mounted: was it changed since?"]
            : [],
          "--recovery-key-file FILE opens it, too",
        ].join("; "),
        exitCode: ExitCode.wrongKey,
      },
    );
  }
  const where = parts.store?.description ?? "the cache";
  throw new UserError(
    faults.length > 0
      ? `the wrapped key is damaged: ${faults.join("; ")}`
      : `there is no wrapped key in ${where}`,
    {
      hint: parts.store === undefined
        ? "try again when the bucket can be reached"
        : "open it with --recovery-key-file FILE; `zero key passphrase` then writes a new one",
      exitCode: ExitCode.failure,
    },
  );
}

function recover(unlocking: Unlocking, descriptor: Descriptor): SecretMaterial {
  try {
    const text = new TextDecoder().decode(unlocking.bytes);
    return parseRecoveryKey(text, fromHex(descriptor.fileSystem));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new UserError(error.message, {
      hint: "it looks like ZERO1-…, as `zero key export` has printed it",
      exitCode: ExitCode.wrongKey,
    });
  }
}

/** Whether `zero.json` was written with this key, as it is. */
function requireSeal(
  descriptor: Descriptor,
  { secrets, unlocking }: { secrets: Secrets; unlocking: Unlocking },
): void {
  try {
    checkSeal(descriptor, secrets);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    if (unlocking.kind === "recovery key") {
      throw new UserError(
        `the recovery key is not that of file system ${descriptor.fileSystem}`,
        { hint: "is it the right one, and zero.json unchanged?", exitCode: ExitCode.wrongKey },
      );
    }
    throw new UserError(error.message, {
      hint: "somebody has changed zero.json; put back what it was",
      exitCode: ExitCode.refused,
    });
  }
}

/** The secrets of a cache that nobody serves; undefined where it is not encrypted. Rejects as `unlock`. */
export async function unlockCache(
  file: KeyFile,
  parts: { key: KeySource; store?: ObjectStore },
): Promise<Secrets | undefined> {
  const copy = file.read();
  if (copy === undefined) return undefined;
  const { key, store } = parts;
  return (await unlock({ descriptor: copy.descriptor, key, store, file })).secrets;
}

/**
 * Another passphrase, without touching anything else: puts a new wrapped key, reads it back, and only then
 * deletes the old ones. Rejects with UserError, StoreError; then the old passphrase works.
 */
export async function changePassphrase(
  parts: UnlockParts & { store: ObjectStore; next: KeySource; random: Random; cost?: ScryptCost },
): Promise<void> {
  const { store, descriptor, next, random, cost, file } = parts;
  const { secrets } = await unlock(parts);
  const { bytes: passphrase } = await next.take({ fresh: true });
  const material = secrets.material();
  let put: { key: string; bytes: Uint8Array<ArrayBuffer> };
  try {
    put = await putWrappedKey(store, { material, passphrase, random, cost });
  } finally {
    material.master.fill(0);
    passphrase.fill(0);
  }
  file?.write({ descriptor, wrapped: put.bytes });
  try {
    await deleteOtherKeys(store, put.key);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(
      `the new passphrase works, but the old one still does, too: ${error.message}`,
      {
        hint: "the same command again takes the old one away",
        exitCode: ExitCode.store,
        cause: error,
      },
    );
  }
}
