/**
 * The facts of every file that is here, for answers about a whole tree: quick, and in short reads, so
 * that whoever writes to the database never waits. Reads as few columns as the question allows. Files of
 * which nothing is here are only counted; who asks about those, asks absent_search.ts. Reads only.
 */
import type { MetadataDatabase, Statement } from "./database.ts";
import {
  columnsOf,
  FILE,
  GONE,
  HERE,
  PAGE,
  type Row,
  USAGE,
  type Visit,
  visitRows,
  type WalkNeeds,
} from "./facts_columns.ts";
import type { FactsTable } from "./facts_table.ts";
import { IdPages } from "./id_pages.ts";

/** Of what is only in the bucket. */
export interface Absent {
  /** Files of which nothing is here. */
  files: number;
  /** Charges, those of files that are here in part as well. */
  bytes: number;
}

export class FactsWalk {
  readonly #database: MetadataDatabase;
  readonly #table: FactsTable;
  readonly #inodes: IdPages;
  readonly #gone: Statement;
  readonly #bytes: Statement;
  readonly absent: Absent = { files: 0, bytes: 0 };

  constructor(database: MetadataDatabase, table: FactsTable) {
    this.#database = database;
    this.#table = table;
    this.#inodes = new IdPages(database, "main.inode");
    this.#gone = database.arrayStatement(
      `SELECT count(*) FROM main.inode i WHERE i.id > ? AND i.id <= ? AND ${FILE} AND ${GONE}`,
    );
    this.#bytes = database.arrayStatement("SELECT allocated - resident FROM main.total");
  }

  /** How many files are here, about. */
  expected(): number {
    const row = this.#database.arrayStatement("SELECT sum(files) FROM history.tally").get();
    return (row as unknown as [number | null])[0] ?? 0;
  }

  /**
   * Tells of every regular file that has a name, and something of it here or dirty, in the order of
   * numbers; `allocated` is as `resident`, since what is not here is summed up in `absent` on the way.
   */
  here(needs: WalkNeeds, visit: Visit): void {
    this.absent.files = 0;
    [this.absent.bytes] = this.#bytes.get() as unknown as [number];
    // The index of names by inode is walked from one end to the other; to look each inode up in it took
    // a quarter more. A file with several names comes once for each, one after the other.
    const statement = this.#database.arrayStatement(
      `SELECT ${columnsOf(needs, { here: true })}
       FROM main.dentry d INDEXED BY dentry_inode CROSS JOIN main.inode i ON i.id = d.inode ${USAGE}
       WHERE d.inode > ? AND d.inode <= ? AND ${FILE} AND ${HERE} ORDER BY d.inode`,
    );
    for (const [after, upTo] of this.#inodes.pages()) {
      const all = statement.all(after, upTo) as unknown as Row[];
      const rows = all.filter((row, at) => at === 0 || row[0] !== all[at - 1][0]);
      // Else every one of the inodes between is here.
      if (rows.length < PAGE) {
        this.absent.files += (this.#gone.get(after, upTo) as unknown as [number])[0];
      }
      visitRows(rows, { table: this.#table, needs, here: true }, visit);
    }
  }
}
