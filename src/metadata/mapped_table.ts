/**
 * The `mapped` table: files into whose content a program may be storing through a mapping, of which no
 * request tells. What their rows say of confirmed chunks counts for nothing while they stand here.
 */
import type { MetadataDatabase, Statement } from "./database.ts";

export class MappedTable {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #all: Statement;

  constructor(database: MetadataDatabase) {
    this.#insert = database.statement("INSERT OR IGNORE INTO mapped (inode) VALUES (?)");
    this.#delete = database.statement("DELETE FROM mapped WHERE inode = ?");
    this.#all = database.arrayStatement("SELECT inode FROM mapped ORDER BY inode");
  }

  insert(inode: number): void {
    this.#insert.run(inode);
  }

  delete(inode: number): void {
    this.#delete.run(inode);
  }

  /** All of them; few, because each takes two programs that have one file open at a time. */
  list(): number[] {
    return (this.#all.all() as unknown as [number][]).map(([inode]) => inode);
  }
}
