/**
 * The working map: which chunk of which file is a hole, local only, resident or evicted. Owns the SQL
 * of table `map`; keeps no state. Callers hold the transaction and keep the sums in `inode` exact.
 */
import type { MetadataDatabase } from "./database.ts";
import { LISTED } from "./logged_statement.ts";

/** One row of the working map. */
export interface MapRow {
  index: number;
  /** Row id of the confirmed chunk; 0: local only. */
  chunk: number;
  /** Valid bytes from the chunk's start; what follows reads as zeros. */
  length: number;
  resident: boolean;
  generation: number;
}

interface StoredRow {
  idx: number;
  chunk: number | null;
  length: number;
  resident: number;
  generation: number;
}

const fromStored = (row: StoredRow): MapRow => ({
  index: row.idx,
  chunk: row.chunk ?? 0,
  length: row.length,
  resident: row.resident === 1,
  generation: row.generation,
});

const columns = "idx, chunk, length, resident, generation";

export class MapTable {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  #all(sql: string, ...values: (number | null)[]): MapRow[] {
    const rows = this.#database.statement(sql).all(...values) as unknown as StoredRow[];
    return rows.map(fromStored);
  }

  get(inode: number, index: number): MapRow | undefined {
    const row = this.#database
      .statement(`SELECT ${columns} FROM map WHERE inode = ? AND idx = ?`)
      .get(inode, index) as unknown as StoredRow | undefined;
    return row === undefined ? undefined : fromStored(row);
  }

  /** Rows in [from, until), in order, at most `limit`. */
  range(inode: number, range: { from: number; until: number; limit: number }): MapRow[] {
    return this.#all(
      `SELECT ${columns} FROM map WHERE inode = ? AND idx >= ? AND idx < ? ORDER BY idx LIMIT ?`,
      inode,
      range.from,
      range.until,
      range.limit,
    );
  }

  /** Local-only rows from `from` on, in order, at most `limit`. */
  local(inode: number, range: { from: number; limit: number }): MapRow[] {
    return this.#all(
      `SELECT ${columns} FROM map WHERE inode = ? AND idx >= ? AND chunk IS NULL ORDER BY idx LIMIT ?`,
      inode,
      range.from,
      range.limit,
    );
  }

  /** Evicted rows from `from` on, in order, at most `limit`. */
  absent(inode: number, range: { from: number; limit: number }): MapRow[] {
    return this.#all(
      `SELECT ${columns} FROM map WHERE inode = ? AND idx >= ? AND resident = 0 ORDER BY idx LIMIT ?`,
      inode,
      range.from,
      range.limit,
    );
  }

  /** Resident rows that are confirmed in a verified pack, from `from` on, in order, at most `limit`. */
  droppable(inode: number, range: { from: number; limit: number }): MapRow[] {
    return this.#all(
      `SELECT m.idx, m.chunk, m.length, m.resident, m.generation FROM map m
         JOIN chunk c ON c.id = m.chunk JOIN pack p ON p.id = c.pack
       WHERE m.inode = ? AND m.idx >= ? AND m.resident = 1 AND p.verified = 1 AND c.lost = 0
       ORDER BY m.idx LIMIT ?`,
      inode,
      range.from,
      range.limit,
    );
  }

  /** Whether some resident confirmed row of the file relies on a pack that was never verified, or is lost. */
  hasUnverified(inode: number): boolean {
    return this.#database.statement(
      `SELECT 1 FROM map m JOIN chunk c ON c.id = m.chunk JOIN pack p ON p.id = c.pack
       WHERE m.inode = ? AND (p.verified = 0 OR c.lost = 1) LIMIT 1`,
    ).get(inode) !== undefined;
  }

  /** The last row, or undefined for a file that is one hole. */
  last(inode: number): MapRow | undefined {
    return this.#all(
      `SELECT ${columns} FROM map WHERE inode = ? ORDER BY idx DESC LIMIT 1`,
      inode,
    )[0];
  }

  put(inode: number, row: MapRow): void {
    this.#database.statement(
      `INSERT INTO map (inode, idx, chunk, length, resident, generation) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (inode, idx) DO UPDATE SET chunk = excluded.chunk, length = excluded.length,
         resident = excluded.resident, generation = excluded.generation`,
    ).run(
      inode,
      row.index,
      row.chunk === 0 ? null : row.chunk,
      row.length,
      row.resident ? 1 : 0,
      row.generation,
    );
  }

  setResident(inode: number, index: number, resident: boolean): void {
    this.#database.statement(`UPDATE map SET resident = ? WHERE inode = ? AND idx = ?`)
      .run(resident ? 1 : 0, inode, index);
  }

  remove(inode: number, index: number): void {
    this.#database.statement(`DELETE FROM map WHERE inode = ? AND idx = ?`).run(inode, index);
  }

  /** Lengths of all rows of inodes, and which are resident, in no order, at most `limit`. */
  ofAll(inodes: readonly number[], limit: number): { length: number; resident: boolean }[] {
    const rows = this.#database.arrayStatement(
      `SELECT length, resident FROM map WHERE inode IN ${LISTED} LIMIT ?`,
    ).all(JSON.stringify(inodes), limit) as unknown as [number, number][];
    return rows.map(([length, resident]) => ({ length, resident: resident === 1 }));
  }

  /** Removes all rows of inodes. */
  removeAll(inodes: readonly number[]): void {
    this.#database.statement(`DELETE FROM map WHERE inode IN ${LISTED}`).run(
      JSON.stringify(inodes),
    );
  }

  /** Marks rows in [from, until) as not resident. */
  evictRange(inode: number, from: number, until: number): void {
    this.#database.statement(
      `UPDATE map SET resident = 0 WHERE inode = ? AND idx >= ? AND idx < ? AND resident = 1`,
    ).run(inode, from, until);
  }
}
