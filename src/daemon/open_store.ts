/** From URL and credentials to the bare store, without retries or limits around it. */
import { openObjectStore } from "../object_store/open_store.ts";
import { describeStore, parseStoreUrl } from "../object_store/store_url.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import type { Credentials } from "./credentials.ts";
import { LateStore } from "./verified_store.ts";

/**
 * The store at `url`, opened at its first use. `create`: an empty or absent directory may become one.
 * Throws UserError where the URL is wrong; opening rejects with UserError or StoreError.
 */
export function openStore(options: {
  url: string;
  credentials: Credentials | undefined;
  create: boolean;
  maxSockets?: number;
}): LateStore {
  const { credentials } = options;
  const location = parseStoreUrl(options.url);
  return new LateStore(describeStore(location), () =>
    openObjectStore(options.url, {
      clock: systemClock,
      random: systemRandom,
      credentials: credentials === undefined
        ? undefined
        : { keyId: credentials.keyId, applicationKey: credentials.key },
      create: options.create,
      maxSockets: options.maxSockets,
    }));
}

/** The directory behind a `file:` URL; undefined for others. Throws UserError where the URL is wrong. */
export function storeDirectory(url: string): string | undefined {
  const location = parseStoreUrl(url);
  return location.scheme === "file" ? location.path : undefined;
}
