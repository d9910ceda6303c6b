/**
 * Names that were looked up lately, present and absent, so that the next request about one of them asks
 * no database: a create asks twice for the name that is not there yet, and a stat of what the kernel has
 * forgotten once for the name and once for the inode. Owns no truth: whoever changes a name says so.
 *
 * A table of fixed size in which each name has one place; the newest one keeps it. It consists of numbers
 * and bytes only, 3 MiB of them: a walk over a million names leaves no garbage.
 */

const PLACES = 32_768;
/** Longer names are not remembered. */
const NAME_BYTES = 63;
/** A byte for the length before each name. */
const STRIDE = 1 + NAME_BYTES;

/** What a name stands for; both 0: there is no such name. */
export interface KnownName {
  /** Id of the dentry. */
  readonly id: number;
  readonly inode: number;
}

export const NO_NAME: KnownName = { id: 0, inode: 0 };

export class NameCache {
  /** 0: the place is free, for no inode has that number. */
  readonly #parents = new Float64Array(PLACES);
  readonly #ids = new Float64Array(PLACES);
  readonly #inodes = new Float64Array(PLACES);
  readonly #names = new Uint8Array(PLACES * STRIDE);

  /** What is known of a name; undefined: nothing. */
  get(parent: number, name: Uint8Array): KnownName | undefined {
    const place = placeOf(parent, name);
    if (this.#parents[place] !== parent || !this.#isAt(place, name)) return undefined;
    const id = this.#ids[place];
    return id === 0 ? NO_NAME : { id, inode: this.#inodes[place] };
  }

  put(parent: number, name: Uint8Array, { id, inode }: KnownName): void {
    if (name.length > NAME_BYTES) return;
    const place = placeOf(parent, name);
    this.#parents[place] = parent;
    this.#ids[place] = id;
    this.#inodes[place] = inode;
    const at = place * STRIDE;
    this.#names[at] = name.length;
    for (let i = 0; i < name.length; i++) this.#names[at + 1 + i] = name[i];
  }

  /** Something has changed that cannot be said name by name. */
  clear(): void {
    this.#parents.fill(0);
  }

  #isAt(place: number, name: Uint8Array): boolean {
    const at = place * STRIDE;
    if (this.#names[at] !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (this.#names[at + 1 + i] !== name[i]) return false;
    return true;
  }
}

/** FNV-1a over the parent's number and the bytes. */
function placeOf(parent: number, name: Uint8Array): number {
  let hash = Math.imul(0x811c9dc5 ^ (parent | 0), 0x01000193);
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name[at], 0x01000193);
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}
