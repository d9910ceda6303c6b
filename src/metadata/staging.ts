/**
 * Where records of the bucket meet before a database is made of them: the last one of each key counts.
 * Owns one SQLite file, which is scratch. Knows nothing of what is in a record.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { RecordTable } from "../domain/metadata_rows.ts";

/** Rows that `records` reads at a time. */
const PAGE_ROWS = 1_000;

export class Staging {
  readonly #connection: DatabaseSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #page: StatementSync;
  readonly #get: StatementSync;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.#connection = new DatabaseSync(path);
    // Nothing in it has to survive anything.
    this.#connection.exec("PRAGMA journal_mode = OFF");
    this.#connection.exec("PRAGMA synchronous = OFF");
    this.#connection.exec("PRAGMA temp_store = MEMORY");
    this.#connection.exec(
      `CREATE TABLE record (tbl INTEGER NOT NULL, key INTEGER NOT NULL, body BLOB NOT NULL,
         PRIMARY KEY (tbl, key)) STRICT, WITHOUT ROWID`,
    );
    this.#put = this.#connection.prepare("INSERT OR REPLACE INTO record VALUES (?, ?, ?)");
    this.#delete = this.#connection.prepare("DELETE FROM record WHERE tbl = ? AND key = ?");
    this.#get = this.#connection.prepare("SELECT body FROM record WHERE tbl = ? AND key = ?");
    this.#page = this.#connection.prepare(
      "SELECT key, body FROM record WHERE tbl = ? AND key > ? ORDER BY key LIMIT ?",
    );
  }

  /** Takes records in; those without a body say that there is no such row. */
  apply(records: Iterable<{ table: RecordTable; key: number; body: Uint8Array | undefined }>) {
    this.#connection.exec("BEGIN");
    for (const { table, key, body } of records) {
      if (body === undefined) this.#delete.run(table, key);
      else this.#put.run(table, key, body);
    }
    this.#connection.exec("COMMIT");
  }

  /** All records of a table, in the order of their keys. */
  *records(table: RecordTable): Iterable<{ table: RecordTable; key: number; body: Uint8Array }> {
    for (let after = 0;;) {
      const rows = this.#page.all(table, after, PAGE_ROWS) as { key: number; body: Uint8Array }[];
      for (const row of rows) yield { table, ...row };
      if (rows.length < PAGE_ROWS) return;
      after = rows[rows.length - 1].key;
    }
  }

  /** Forgets all records. */
  clear(): void {
    this.#connection.exec("DELETE FROM record");
  }

  get(table: RecordTable, key: number): Uint8Array | undefined {
    return this.#get.get(table, key)?.body as Uint8Array | undefined;
  }

  /** Closes it, and takes it away. */
  close(): void {
    this.#connection.close();
    Deno.removeSync(this.#path);
  }
}
