/** `zero init`: locks the cache, opens the store, creates the file system, lets go of both. */
import { ExitCode, UserError } from "../domain/errors.ts";
import { systemClock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { systemRandom } from "../runtime/random.ts";
import { CacheDirectory, refuseNesting } from "./cache_directory.ts";
import type { Credentials } from "./credentials.ts";
import { establish } from "./identity.ts";
import type { KeySource } from "./key_source.ts";
import { openStore, storeDirectory } from "./open_store.ts";

export interface InitResult {
  fileSystem: string;
  store: string;
  cache: string;
  encrypted: boolean;
}

/** Creates a file system. Throws UserError where there is one already, or the store fails. */
export async function initFilesystem(
  options: {
    store: string;
    cache: string;
    credentials: Credentials | undefined;
    encrypt: boolean;
    /** Answers the passphrase of an encrypted file system. */
    key: KeySource;
  },
): Promise<InitResult> {
  // What is made here is private, as what the daemon makes.
  libc.umask(0o077);
  refuseNesting({ cache: options.cache, store: storeDirectory(options.store) });
  const store = openStore({ ...options, url: options.store, create: true });
  const cache = CacheDirectory.open(options.cache);
  let made = false;
  try {
    if (cache.holdsFilesystem) {
      throw new UserError(`the cache ${cache.path} already holds a file system`, {
        hint: "mount it, or choose an empty --cache",
        exitCode: ExitCode.refused,
      });
    }
    const identity = await establish({
      cache,
      store,
      storeUrl: options.store,
      key: options.key,
      encrypt: options.encrypt,
      clock: systemClock,
      random: systemRandom,
    });
    made = true;
    return {
      fileSystem: identity.fileSystem,
      store: store.description,
      cache: cache.path,
      encrypted: identity.secrets !== undefined,
    };
  } finally {
    store.close();
    if (made) cache.close();
    else cache.closeAfterFailure();
  }
}
