/** A table cut at its ids into pieces of so many rows, whatever has been deleted between: for short reads. */
import type { MetadataDatabase, Statement } from "./database.ts";
import { PAGE } from "./facts_columns.ts";

export type IdPage = [after: number, upTo: number];

/** Pieces of a table whose key is `id`, or of the rows of it that have a `key`; each is read when it is asked for. */
export class IdPages {
  readonly #bound: Statement;

  constructor(database: MetadataDatabase, table: "main.inode" | "main.dentry", where = "1") {
    this.#bound = database.arrayStatement(
      `SELECT id FROM ${table} WHERE ${where} AND id > ? ORDER BY id LIMIT 1 OFFSET ${PAGE - 1}`,
    );
  }

  /** `keys`: values for the question marks of `where`. */
  *pages(...keys: number[]): Generator<IdPage> {
    for (let after = 0;;) {
      const row = this.#bound.get(...keys, after) as unknown as [number] | undefined;
      yield [after, row?.[0] ?? Number.MAX_SAFE_INTEGER];
      if (row === undefined) return;
      [after] = row;
    }
  }
}
