/**
 * Do this cache and this bucket prefix belong together? Creates a file system where both are empty, and
 * otherwise changes nothing: a foreign, missing or full one is refused by name.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import {
  decodeDescriptor,
  type Descriptor,
  encodeDescriptor,
  isEncrypted,
} from "../format/descriptor.ts";
import { FormatError } from "../format/format_error.ts";
import { DESCRIPTOR_KEY } from "../format/keys.ts";
import type { Secrets } from "../format/secrets.ts";
import type { ScryptCost } from "../format/wrapped_key.ts";
import { ChangeLog, type ShippingState } from "../metadata/change_log.ts";
import { isFollowing } from "../metadata/follow.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import type { CacheDirectory } from "./cache_directory.ts";
import { type KeyCopy, KeyFile } from "./key_file.ts";
import type { KeySource } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import { type NewFilesystem, newFilesystem } from "./new_filesystem.ts";
import { unlock, unlockCache, type Unlocked } from "./unlock.ts";
import { putBytes } from "./wrapped_keys.ts";

/** What the bucket said when asked for zero.json. */
export type Probe =
  | { kind: "found"; descriptor: Descriptor }
  | { kind: "absent" }
  | { kind: "failed"; error: StoreError };

/** A file system whose cache and bucket agree, or whose bucket cannot be asked now. */
export interface Identity {
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  chunkSize: number;
  created: boolean;
  /** How far this cache's metadata in the bucket is. */
  shipping: ShippingState;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  /** What its user should know of its key. */
  keyWarning?: string;
  /** Why the bucket could not be asked; then nothing may be sent before `checkAgain` has agreed. */
  offline: string | undefined;
}

export interface IdentityParts {
  cache: CacheDirectory;
  store: ObjectStore;
  /** URL without credentials. */
  storeUrl: string;
  /** Opens an encrypted file system. */
  key: KeySource;
  /** What is created here is encrypted. */
  encrypt?: boolean;
  /** Of the passphrase's key; the default unless a test is in a hurry. */
  cost?: ScryptCost;
  clock: Clock;
  random: Random;
}

function refused(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.refused });
}

/** Asks for zero.json, for at most STORE_PROBE_MS. */
export async function probe(store: ObjectStore): Promise<Probe> {
  const signal = AbortSignal.timeout(LIMITS.STORE_PROBE_MS);
  try {
    const bytes = await store.get(DESCRIPTOR_KEY, { signal });
    return { kind: "found", descriptor: decodeDescriptor(bytes) };
  } catch (error) {
    if (error instanceof StoreError) {
      return error.kind === "missing" ? { kind: "absent" } : { kind: "failed", error };
    }
    if (signal.aborted) {
      const seconds = LIMITS.STORE_PROBE_MS / 1000;
      const message = `${store.description} did not answer within ${seconds} s`;
      return { kind: "failed", error: new StoreError("unavailable", message) };
    }
    if (error instanceof FormatError) {
      throw refused(
        `zero.json in ${store.description} cannot be read: ${error.message}`,
        "a newer zero may have made it; nothing was changed",
      );
    }
    throw error;
  }
}

/** The id in a cache, which must hold a file system. */
function readCache(cache: CacheDirectory): {
  fileSystem: string;
  chunkSize: number;
  published: boolean;
  shipping: ShippingState;
  /** Of an encrypted file system. */
  copy: KeyCopy | undefined;
  encrypted: boolean;
} {
  const copy = new KeyFile(cache.layout.key).read();
  const database = MetadataDatabase.open({ directory: cache.path, readOnly: true });
  try {
    if (isFollowing(database)) {
      throw refused(
        `${cache.path} is the cache of a mount that only followed another one`,
        "mount it with --read-only, or choose another --cache",
      );
    }
    return {
      fileSystem: String(database.setting("file_system_id")),
      chunkSize: Number(database.setting("chunk_size")),
      published: database.setting(PUBLISHED) === 1,
      shipping: new ChangeLog(database).state(),
      copy,
      encrypted: copy !== undefined,
    };
  } finally {
    database.close({ clean: false });
  }
}

/** Setting: the bucket has confirmed zero.json. Until then `zero init` may be finished later. */
const PUBLISHED = "descriptor_published";

/** Finds or makes the file system of this cache and bucket. Throws UserError where they do not agree. */
export async function establish(parts: IdentityParts): Promise<Identity> {
  const { cache, store } = parts;
  const found = await probe(store);
  if (!cache.holdsFilesystem) return await createWhereEmpty(parts, found);
  const known = readCache(cache);
  const file = new KeyFile(cache.layout.key);
  const identity = {
    fileSystem: known.fileSystem,
    chunkSize: known.chunkSize,
    created: false,
    shipping: known.shipping,
    secrets: undefined,
    offline: undefined,
  };
  switch (found.kind) {
    case "found": {
      // A key file that was lost comes back from the bucket.
      requireSame(found.descriptor, { ...known, encrypted: known.encrypted || undefined }, parts);
      const opened = await openFound(found.descriptor, { ...parts, file });
      return { ...identity, secrets: opened?.secrets, keyWarning: opened?.warning };
    }
    case "failed": {
      const { copy } = known;
      const secrets = await unlockCache(file, { key: parts.key });
      if (copy === undefined) refuseKey(parts);
      return { ...identity, secrets, offline: found.error.message };
    }
    case "absent":
      if (known.published) throw gone(parts, known.fileSystem);
      // An init that was interrupted before its last step.
      return { ...identity, created: true, secrets: await finishCreation(parts, known) };
  }
}

/** Asks again, for a mount that began offline. False while the bucket cannot be asked. Throws UserError. */
export async function checkAgain(
  parts: Pick<IdentityParts, "cache" | "store">,
  known: { fileSystem: string; chunkSize: number; encrypted: boolean },
): Promise<boolean> {
  const found = await probe(parts.store);
  switch (found.kind) {
    case "found":
      requireSame(found.descriptor, known, parts);
      return true;
    case "failed":
      return false;
    case "absent":
      throw gone(parts, known.fileSystem);
  }
}

function gone(parts: Pick<IdentityParts, "cache" | "store">, fileSystem: string): UserError {
  return refused(
    `${parts.store.description} holds no zero.json any more, and ${parts.cache.path} is the cache of file system ${fileSystem}`,
    "is it the right bucket and prefix, and is its disk mounted? nothing was changed, there or here",
  );
}

function requireSame(
  descriptor: Descriptor,
  known: { fileSystem: string; chunkSize: number; encrypted: boolean | undefined },
  parts: Pick<IdentityParts, "cache" | "store">,
): void {
  if (descriptor.fileSystem !== known.fileSystem) {
    throw refused(
      `${parts.store.description} holds file system ${descriptor.fileSystem}, and ${parts.cache.path} is the cache of ${known.fileSystem}`,
      "give the --store and --cache that belong together; nothing was changed",
    );
  }
  if (descriptor.chunkSize !== known.chunkSize) {
    throw refused(
      `the chunk size is ${descriptor.chunkSize} in ${parts.store.description} and ${known.chunkSize} in ${parts.cache.path}`,
      "one of them is damaged; nothing was changed",
    );
  }
  const { encrypted } = known;
  if (encrypted !== undefined && isEncrypted(descriptor) !== encrypted) {
    const [bucket, cache] = encrypted
      ? ["says that it is not encrypted", "of an encrypted file system"]
      : ["is encrypted", "was opened as that of a file system that is not"];
    throw refused(
      `${parts.store.description} ${bucket}, and the cache ${parts.cache.path} is ${cache}`,
      encrypted
        ? "somebody has changed zero.json; nothing was sent there"
        : "mount it once while the bucket can be reached, with its passphrase",
    );
  }
}

/** Opens an encrypted file system; undefined for others. Throws UserError. */
async function openFound(
  descriptor: Descriptor,
  parts: Pick<IdentityParts, "store" | "key"> & { file: KeyFile },
): Promise<Unlocked | undefined> {
  if (!isEncrypted(descriptor)) return refuseKey(parts);
  try {
    return await unlock({ ...parts, descriptor });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`the wrapped key cannot be read: ${error.message}`, {
      hint: storeHint(error),
      exitCode: ExitCode.store,
      cause: error,
    });
  }
}

/** Whoever gives a passphrase must not believe that what is not encrypted is. */
export function refuseKey({ store, key }: Pick<IdentityParts, "store" | "key">): undefined {
  if (!key.given) return undefined;
  throw refused(
    `${store.description} holds a file system that is not encrypted, and a passphrase was given`,
    "leave it out if you know that it never was; otherwise somebody has changed zero.json",
  );
}

async function createWhereEmpty(parts: IdentityParts, found: Probe): Promise<Identity> {
  const { cache, store } = parts;
  switch (found.kind) {
    case "failed":
      throw new UserError(`a file system cannot be created: ${found.error.message}`, {
        hint: storeHint(found.error),
        exitCode: ExitCode.store,
        cause: found.error,
      });
    case "found":
      throw refused(
        `${store.description} holds file system ${found.descriptor.fileSystem}, ${await lastWritten(
          store,
        )}; the cache ${cache.path} is empty`,
        "use its own cache; where that is lost, `zero recover` brings it back from the bucket alone",
      );
    case "absent":
      break;
  }
  for await (const object of store.list("")) {
    throw refused(
      `${store.description} is not empty (it holds ${object.key}) and holds no file system of Zero`,
      "choose an empty prefix",
    );
  }
  if (!parts.encrypt && parts.key.given) {
    throw new UserError("a passphrase was given, and what would be created is not encrypted", {
      hint: "zero init --encrypt creates an encrypted file system",
      exitCode: ExitCode.usage,
    });
  }
  const made = await newFilesystem(parts);
  const { descriptor, secrets } = made;
  const { fileSystem, chunkSize } = descriptor;
  const [uid, gid] = [Deno.uid() ?? 0, Deno.gid() ?? 0];
  MetadataDatabase.create({
    directory: cache.path,
    fileSystemId: fileSystem,
    chunkSize,
    store: parts.storeUrl,
    clock: parts.clock,
    root: { uid, gid, mode: 0o755 },
  }).close({ clean: true });
  await publish(parts, made);
  const { shipping } = readCache(cache);
  return { fileSystem, chunkSize, created: true, shipping, secrets, offline: undefined };
}

/** Goes on where a creation was interrupted before its last step. */
async function finishCreation(
  parts: IdentityParts,
  known: { fileSystem: string; chunkSize: number; copy: KeyCopy | undefined },
): Promise<Secrets | undefined> {
  const { fileSystem, chunkSize, copy } = known;
  if (copy === undefined) {
    refuseKey(parts);
    const created = new Date(parts.clock.wallMs()).toISOString();
    const descriptor = { fileSystem, chunkSize, features: [], created };
    await publish(parts, { descriptor, secrets: undefined, wrapped: undefined });
    return undefined;
  }
  const secrets = await unlockCache(new KeyFile(parts.cache.layout.key), { key: parts.key });
  await publish(parts, { ...copy, secrets });
  return secrets;
}

/** Writes zero.json, reads it back (somebody else may have been faster), and remembers that it is there. */
async function publish(
  parts: IdentityParts,
  { descriptor, wrapped }: NewFilesystem,
): Promise<void> {
  const { store, cache, random } = parts;
  const encrypted = isEncrypted(descriptor);
  try {
    // Twice after an interruption, under two names: both open.
    if (wrapped !== undefined) await putBytes(store, { bytes: wrapped, random });
    await store.put(DESCRIPTOR_KEY, encodeDescriptor(descriptor));
    const found = decodeDescriptor(await store.get(DESCRIPTOR_KEY));
    requireSame(found, { ...descriptor, encrypted }, parts);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`zero.json cannot be written: ${error.message}`, {
      hint: `${storeHint(error)}; the same command goes on from here`,
      exitCode: ExitCode.store,
      cause: error,
    });
  }
  const database = MetadataDatabase.open({ directory: cache.path });
  database.transaction(() => database.setSetting(PUBLISHED, 1));
  database.close({ clean: database.wasClean });
}

/** What to do about a store that failed. */
export function storeHint(error: StoreError): string {
  switch (error.kind) {
    case "denied":
      return "check the key id, the key and what the key may do";
    case "no-bucket":
      return "check the bucket's name and region, or that the store's disk is mounted";
    case "unavailable":
      return "check the network and the endpoint, then try again";
    default:
      return "check the store's URL";
  }
}

const LAST_WRITTEN_OBJECTS = 10_000;

/** When something was last written below the prefix, as far as a bounded look tells. */
async function lastWritten(store: ObjectStore): Promise<string> {
  let newest = 0;
  let seen = 0;
  try {
    for await (const object of store.list("")) {
      newest = Math.max(newest, object.modifiedMs);
      if (++seen >= LAST_WRITTEN_OBJECTS) break;
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
  return newest === 0
    ? "last written at a time that is not known"
    : `last written ${new Date(newest).toISOString()}`;
}
