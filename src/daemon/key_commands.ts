/** `zero key`: the recovery key of an encrypted file system, and another passphrase for it. */
import { ExitCode, UserError } from "../domain/errors.ts";
import { type Descriptor, isEncrypted } from "../format/descriptor.ts";
import { printRecoveryKey } from "../format/recovery_key.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { RetryingObjectStore } from "../object_store/retrying_object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { holdsFilesystem } from "./cache_directory.ts";
import { cacheLayout } from "./cache_layout.ts";
import type { Credentials } from "./credentials.ts";
import { probe, storeHint } from "./identity.ts";
import { KeyFile } from "./key_file.ts";
import type { KeySource } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import { openStore } from "./open_store.ts";
import { changePassphrase, unlock } from "./unlock.ts";

export interface KeyRequest {
  store: string;
  /** Its copy of the key is kept up to date, where it is the cache of this file system. */
  cache: string;
  credentials: Credentials | undefined;
  key: KeySource;
}

export interface KeyReport {
  fileSystem: string;
  store: string;
}

/** The recovery key, in one line. Throws UserError. */
export async function exportKey(
  request: KeyRequest,
): Promise<KeyReport & { recoveryKey: string }> {
  return await withDescriptor(request, async ({ store, descriptor, file }) => {
    const { secrets } = await unlock({ store, descriptor, key: request.key, file });
    const material = secrets.material();
    try {
      return {
        fileSystem: descriptor.fileSystem,
        store: store.description,
        recoveryKey: printRecoveryKey(material),
      };
    } finally {
      material.master.fill(0);
    }
  });
}

/** Replaces the passphrase; nothing is encrypted anew. Throws UserError. */
export async function replacePassphrase(
  request: KeyRequest & { next: KeySource },
): Promise<KeyReport> {
  return await withDescriptor(request, async ({ store, descriptor, file }) => {
    const { key, next } = request;
    await changePassphrase({ store, descriptor, key, next, file, random: systemRandom });
    return { fileSystem: descriptor.fileSystem, store: store.description };
  });
}

async function withDescriptor<T>(
  request: KeyRequest,
  action: (
    parts: { store: ObjectStore; descriptor: Descriptor; file: KeyFile | undefined },
  ) => Promise<T>,
): Promise<T> {
  const { credentials, cache } = request;
  const bare = openStore({ url: request.store, credentials, create: false });
  const store = new RetryingObjectStore(bare, {
    clock: systemClock,
    random: systemRandom,
    budget: { deadlineMs: LIMITS.STORE_CALL_MS },
  });
  try {
    const found = await probe(store);
    if (found.kind === "failed") throw found.error;
    if (found.kind === "absent" || !isEncrypted(found.descriptor)) {
      const what = found.kind === "absent"
        ? "holds no file system of Zero"
        : `holds file system ${found.descriptor.fileSystem}, which is not encrypted`;
      throw new UserError(`${store.description} ${what}`, {
        hint: "is it the right bucket and prefix?",
        exitCode: ExitCode.refused,
      });
    }
    const { descriptor } = found;
    return await action({ store, descriptor, file: fileOf(cache, descriptor) });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`the store fails: ${error.message}`, {
      hint: storeHint(error),
      exitCode: ExitCode.store,
      cause: error,
    });
  } finally {
    store.close();
  }
}

/** The key file of a cache of this very file system; it may be mounted meanwhile. */
function fileOf(cache: string, { fileSystem }: Descriptor): KeyFile | undefined {
  if (!holdsFilesystem(cache)) return undefined;
  const file = new KeyFile(cacheLayout(cache).key);
  return file.read()?.descriptor.fileSystem === fileSystem ? file : undefined;
}
