/**
 * Whether a bucket holds an encrypted file system, asked before a cache is made for it: only then can
 * somebody be asked for the passphrase while there still is a terminal. Reads `zero.json`, changes nothing.
 */
import { isEncrypted } from "../format/descriptor.ts";
import type { Credentials } from "./credentials.ts";
import { probe } from "./identity.ts";
import { openStore } from "./open_store.ts";

/**
 * False also where it cannot be known: whoever goes on finds that out, and says why. Throws UserError where
 * the URL is wrong, or `zero.json` cannot be read.
 */
export async function isBucketEncrypted(
  options: { store: string; credentials: Credentials | undefined },
): Promise<boolean> {
  const { store: url, credentials } = options;
  const store = openStore({ url, credentials, create: false });
  try {
    const found = await probe(store);
    return found.kind === "found" && isEncrypted(found.descriptor);
  } finally {
    store.close();
  }
}
