/**
 * The `orphan` table: inodes without a name whose row still exists, because somebody has them open
 * or their deletion is not finished. After a crash it is the list of what must be deleted.
 */
import type { MetadataDatabase, Statement } from "./database.ts";
import { LISTED } from "./logged_statement.ts";

export class OrphanTable {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #deleteAll: Statement;
  readonly #list: Statement;
  readonly #dirty: Statement;

  constructor(database: MetadataDatabase) {
    this.#insert = database.statement("INSERT OR IGNORE INTO orphan (inode) VALUES (?)");
    this.#delete = database.statement("DELETE FROM orphan WHERE inode = ?");
    this.#deleteAll = database.statement(`DELETE FROM orphan WHERE inode IN ${LISTED}`);
    this.#list = database.arrayStatement(
      "SELECT inode FROM orphan WHERE inode > ? ORDER BY inode LIMIT ?",
    );
    this.#dirty = database.statement(
      `SELECT count(*) AS files, coalesce(sum(i.local), 0) AS localBytes
       FROM orphan o CROSS JOIN inode i ON i.id = o.inode WHERE i.dirty = 1`,
    );
  }

  insert(inode: number): void {
    this.#insert.run(inode);
  }

  delete(inode: number): void {
    this.#delete.run(inode);
  }

  deleteAll(inodes: readonly number[]): void {
    this.#deleteAll.run(JSON.stringify(inodes));
  }

  /** Orphans that are not in the bucket, where they need not be; the sums of `total` count them. */
  dirty(): { files: number; localBytes: number } {
    return this.#dirty.get() as { files: number; localBytes: number };
  }

  /** Up to `limit` orphans with a greater number than `after`, ascending. */
  list({ after, limit }: { after: number; limit: number }): number[] {
    return (this.#list.all(after, limit) as unknown as [number][]).map(([inode]) => inode);
  }
}
