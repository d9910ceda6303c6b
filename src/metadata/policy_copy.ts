/**
 * The copy of the policy that goes to the bucket with the metadata: an attribute of the root directory,
 * hidden from programs like all of `user.zero.`. An attribute and not a record of its own, so that it
 * goes wherever attributes go: shipped, encrypted, recovered and followed, by every reader of the format.
 */
import type { MetadataDatabase } from "./database.ts";
import type { XattrTable } from "./xattr_table.ts";

const NAME: Uint8Array = new TextEncoder().encode("user.zero.policy");
const ROOT = 1;
/** What an attribute may have. */
const LONGEST = 65_536;

/** The text of the policy file that was in force last; undefined: there was none, or it was too long. */
export function readPolicyCopy(xattrs: XattrTable): string | undefined {
  const bytes = xattrs.get(ROOT, NAME);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** Keeps a policy's text. False where it is too long: then there is no copy any more. */
export function keepPolicyCopy(
  { database, xattrs }: { database: MetadataDatabase; xattrs: XattrTable },
  text: string,
): boolean {
  const bytes = new TextEncoder().encode(text);
  const fits = bytes.length <= LONGEST;
  // What is there already is not shipped again.
  if (fits && readPolicyCopy(xattrs) === text) return true;
  database.transaction(() => {
    if (fits) xattrs.set(ROOT, NAME, bytes);
    else xattrs.delete(ROOT, NAME);
  });
  return fits;
}
