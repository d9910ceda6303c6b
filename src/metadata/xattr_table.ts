/**
 * The `xattr` table. Owns its SQL; which names are allowed is decided above. Also remembers which inodes
 * have no attributes at all: nearly all, and the kernel asks for some of every file that it writes or
 * makes. So there is one of these to a database that writes.
 */
import type { MetadataDatabase, Statement } from "./database.ts";
import { LISTED } from "./logged_statement.ts";

/** Inodes without attributes that are remembered. */
const BARE = 16_384;

export class XattrTable {
  readonly #bare = new Set<number>();
  readonly #get: Statement;
  readonly #set: Statement;
  readonly #delete: Statement;
  readonly #names: Statement;
  readonly #deleteAll: Statement;
  readonly #any: Statement;
  readonly #nameBytes: Statement;

  constructor(database: MetadataDatabase) {
    database.onRollback(() => this.forget());
    this.#get = database.arrayStatement("SELECT value FROM xattr WHERE inode = ? AND name = ?");
    this.#set = database.statement(
      `INSERT INTO xattr (inode, name, value) VALUES (?, ?, ?)
       ON CONFLICT (inode, name) DO UPDATE SET value = excluded.value`,
    );
    this.#delete = database.statement("DELETE FROM xattr WHERE inode = ? AND name = ?");
    this.#names = database.arrayStatement("SELECT name FROM xattr WHERE inode = ? ORDER BY id");
    this.#deleteAll = database.statement(`DELETE FROM xattr WHERE inode IN ${LISTED}`);
    this.#any = database.arrayStatement("SELECT 1 FROM xattr WHERE inode = ? LIMIT 1");
    this.#nameBytes = database.arrayStatement(
      "SELECT coalesce(sum(length(name) + 1), 0) FROM xattr WHERE inode = ?",
    );
  }

  get(inode: number, name: Uint8Array): Uint8Array | undefined {
    if (this.#bare.has(inode)) return undefined;
    const row = this.#get.get(inode, name) as unknown as [Uint8Array] | undefined;
    if (row !== undefined) return row[0];
    if (this.#any.get(inode) === undefined) this.isBare(inode);
    return undefined;
  }

  /** The inode has no attributes: it is new. */
  isBare(inode: number): void {
    if (this.#bare.size >= BARE) this.#bare.clear();
    this.#bare.add(inode);
  }

  /** Whether it is known that the inode has no attributes; false may mean either. */
  knowsBare(inode: number): boolean {
    return this.#bare.has(inode);
  }

  /** Attributes were changed behind this. */
  forget(): void {
    this.#bare.clear();
  }

  set(inode: number, name: Uint8Array, value: Uint8Array): void {
    this.#bare.delete(inode);
    this.#set.run(inode, name, value);
  }

  /** True where there was one. */
  delete(inode: number, name: Uint8Array): boolean {
    if (this.#bare.has(inode)) return false;
    return this.#delete.run(inode, name).changes !== 0;
  }

  /** All names of an inode, oldest first. */
  names(inode: number): Uint8Array[] {
    return (this.#names.all(inode) as unknown as [Uint8Array][]).map(([name]) => name);
  }

  /** What all names occupy in a list, each with its terminating NUL. */
  nameBytes(inode: number): number {
    return (this.#nameBytes.get(inode) as unknown as [number])[0];
  }

  /** Deletes all attributes of inodes. */
  deleteAll(inodes: readonly number[]): void {
    const clad = inodes.filter((inode) => !this.#bare.delete(inode));
    if (clad.length > 0) this.#deleteAll.run(JSON.stringify(clad));
  }
}
