/**
 * From the URL of a store to the store. The SDK is loaded only where a URL needs it: it takes longer
 * to load than many commands run.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { DirectoryObjectStore } from "./directory_object_store.ts";
import { MemoryObjectStore } from "./memory_object_store.ts";
import { type ObjectStore, StoreError } from "./object_store.ts";
import type { StoreCredentials } from "./redaction.ts";
import type { StoreTimeouts } from "./s3_client.ts";
import { describeStore, parseStoreUrl } from "./store_url.ts";

export type { StoreCredentials, StoreTimeouts };

export interface OpenStoreOptions {
  clock: Clock;
  random: Random;
  /** Needed for s3 and b2 only. */
  credentials?: StoreCredentials;
  timeouts?: Partial<StoreTimeouts>;
  /** Connections at most; s3 and b2 only. */
  maxSockets?: number;
  /**
   * Makes an empty or absent directory a store; for `file:` only. Leave it out wherever the cache
   * already holds a file system: a directory that is no store then means that its disk is not
   * mounted (`no-bucket`), not that everything is gone. A bucket is never created.
   */
  create?: boolean;
}

/**
 * Opens the store at `url`, without retries or limits around it. Makes no network call. Throws
 * UserError where the URL, the credentials or the directory are wrong.
 */
export async function openObjectStore(
  url: string,
  options: OpenStoreOptions,
): Promise<ObjectStore> {
  const location = parseStoreUrl(url);
  const { clock, random, credentials } = options;
  switch (location.scheme) {
    case "memory":
      return new MemoryObjectStore({ clock });
    case "file":
      return await openDirectory(location.path, { clock, random, create: options.create });
    case "s3":
    case "b2": {
      const description = describeStore(location);
      if (credentials === undefined || !credentials.keyId || !credentials.applicationKey) {
        throw new UserError(`There are no credentials for ${description}`, {
          hint: "give a key id and an application key in the environment or a credentials file",
          exitCode: ExitCode.usage,
        });
      }
      const { S3ObjectStore } = await import("./s3_object_store.ts");
      const { timeouts, maxSockets } = options;
      return new S3ObjectStore({
        ...location,
        credentials,
        clock,
        description,
        timeouts,
        maxSockets,
      });
    }
  }
}

async function openDirectory(
  path: string,
  options: { clock: Clock; random: Random; create?: boolean },
): Promise<ObjectStore> {
  try {
    return await DirectoryObjectStore.open(path, options);
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== "invalid") throw error;
    throw new UserError(error.message, {
      hint: "name an empty directory for the store",
      exitCode: ExitCode.refused,
      cause: error,
    });
  }
}
