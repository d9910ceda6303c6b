/** The one row of `total`: sums that the schema's triggers keep, and the sequence of law 5. */
import type { MetadataDatabase, Statement } from "./database.ts";

/** Sums over all inodes. Bytes are charges (schema.ts). */
export interface Totals {
  /** Inodes of any type. */
  files: number;
  allocated: number;
  resident: number;
  local: number;
  dirtyFiles: number;
  /** Of class local: files that a policy keeps out of the bucket, and their local-only bytes. */
  keptFiles: number;
  keptBytes: number;
  /** Number of content transactions so far. */
  sequence: number;
}

export class TotalTable {
  readonly #read: Statement;
  readonly #advance: Statement;

  constructor(database: MetadataDatabase) {
    this.#read = database.statement(
      `SELECT files, allocated, resident, local, dirty_files AS dirtyFiles, sequence,
         kept_files AS keptFiles, kept_bytes AS keptBytes FROM total`,
    );
    this.#advance = database.arrayStatement(
      "UPDATE total SET sequence = sequence + 1 RETURNING sequence",
    );
  }

  read(): Totals {
    return this.#read.get() as unknown as Totals;
  }

  /** Counts one more content transaction, inside it, and returns its number. */
  advance(): number {
    return (this.#advance.get() as unknown as [number])[0];
  }
}
