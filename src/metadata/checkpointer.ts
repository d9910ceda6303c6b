/**
 * Moves what the write-ahead logs hold into the database files, from another isolate than the one that
 * writes, since it syncs. Owns a connection that never changes a row.
 */
import { historyPath, openMetadata } from "./connection.ts";
import { translateSqliteError } from "./sqlite_errors.ts";

export class Checkpointer {
  readonly #connection: ReturnType<typeof openMetadata>;

  constructor(directory: string) {
    this.#connection = openMetadata(directory);
    this.#connection.prepare("ATTACH ? AS history").run(historyPath(directory));
  }

  /** Copies as much as no reader holds back; waits for nobody. Throws FsError where the disk fails. */
  run(): void {
    try {
      this.#connection.prepare("PRAGMA history.wal_checkpoint(passive)").get();
      this.#connection.prepare("PRAGMA main.wal_checkpoint(passive)").get();
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  close(): void {
    this.#connection.close();
  }
}
