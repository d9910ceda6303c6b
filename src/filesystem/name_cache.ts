/**
 * Names that were looked up lately, present and absent, so that the next request about one of them asks
 * no database: a create asks twice for the name that is not there yet, and a stat of what the kernel has
 * forgotten once for the name and once for the inode. Owns no truth: whoever changes a name says so.
 *
 * A table of fixed size in which each name has one place; the newest one keeps it.
 */

const PLACES = 32_768;

/** What a name stands for; both 0: there is no such name. */
export interface KnownName {
  /** Id of the dentry. */
  readonly id: number;
  readonly inode: number;
}

interface Entry extends KnownName {
  readonly parent: number;
  readonly name: Uint8Array;
}

export const NO_NAME: KnownName = { id: 0, inode: 0 };

export class NameCache {
  #entries = new Array<Entry | undefined>(PLACES).fill(undefined);

  /** What is known of a name; undefined: nothing. */
  get(parent: number, name: Uint8Array): KnownName | undefined {
    const entry = this.#entries[placeOf(parent, name)];
    return entry !== undefined && entry.parent === parent && equal(entry.name, name)
      ? entry
      : undefined;
  }

  /** `name` is kept: nobody may change its bytes. */
  put(parent: number, name: Uint8Array, { id, inode }: KnownName): void {
    this.#entries[placeOf(parent, name)] = { parent, name, id, inode };
  }

  /** Something has changed that cannot be said name by name. */
  clear(): void {
    this.#entries.fill(undefined);
  }
}

/** FNV-1a over the parent's number and the bytes. */
function placeOf(parent: number, name: Uint8Array): number {
  let hash = Math.imul(0x811c9dc5 ^ (parent | 0), 0x01000193);
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name[at], 0x01000193);
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
