/**
 * Names in directories, as the operations on them ask for and change them: the dentry table behind a cache
 * of what was asked lately. Owns that both always say the same.
 */
import type { MetadataDatabase } from "../metadata/database.ts";
import { type DentryRow, DentryTable } from "../metadata/dentry_table.ts";
import type { AttributeTuple } from "../metadata/inode_table.ts";
import { NameCache, NO_NAME } from "./name_cache.ts";

export class Names extends DentryTable {
  readonly #cache = new NameCache();

  constructor(database: MetadataDatabase) {
    super(database);
    database.onRollback(() => this.forget());
  }

  override find(parent: number, name: Uint8Array): DentryRow | undefined {
    const known = this.#cache.get(parent, name);
    if (known !== undefined) return known.id === 0 ? undefined : known;
    const row = super.find(parent, name);
    this.#cache.put(parent, name, row ?? NO_NAME);
    return row;
  }

  /**
   * What a name stands for: the number of its inode where that is known, its attributes where they had to
   * be read, undefined where there is no such name.
   */
  seek(parent: number, name: Uint8Array): number | AttributeTuple | undefined {
    const known = this.#cache.get(parent, name);
    if (known !== undefined) return known.id === 0 ? undefined : known.inode;
    const found = this.lookup(parent, name);
    this.#cache.put(
      parent,
      name,
      found === undefined ? NO_NAME : { id: found.id, inode: found.attributes[0] },
    );
    return found?.attributes;
  }

  override insert(parent: number, name: Uint8Array, inode: number): number {
    const id = super.insert(parent, name, inode);
    this.#cache.put(parent, name, { id, inode });
    return id;
  }

  /** Takes the name away that `find` has found as `id`. */
  remove(parent: number, name: Uint8Array, id: number): void {
    this.delete(id);
    this.#cache.put(parent, name, NO_NAME);
  }

  override move(id: number, parent: number, name: Uint8Array): void {
    super.move(id, parent, name);
    this.forget();
  }

  override point(id: number, inode: number): void {
    super.point(id, inode);
    this.forget();
  }

  /** Names were changed behind this. */
  forget(): void {
    this.#cache.clear();
  }
}
