/**
 * Versions in the trash: what can be brought back. Owns their SQL; which versions there are is the
 * business of version_table.ts.
 */
import type { MetadataDatabase } from "./database.ts";
import { SWEPT_KINDS, VersionKind } from "./schema.ts";

/** Fields: table `version` in schema.ts. */
export interface TrashRow {
  version: number;
  inode: number;
  path: Uint8Array | undefined;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtimeS: number;
  mtimeNs: number;
  savedMs: number;
  trashedMs: number;
}

const COLUMNS = "id AS version, inode, path, size, mode, uid, gid, mtime_s AS mtimeS, " +
  "mtime_ns AS mtimeNs, saved_ms AS savedMs, coalesce(trashed_ms, saved_ms) AS trashedMs";

type Stored = Omit<TrashRow, "path"> & { path: Uint8Array | null };
const fromStored = (row: Stored): TrashRow => ({ ...row, path: row.path ?? undefined });

export class TrashTable {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  list(range: { after: number; limit: number }): TrashRow[] {
    const rows = this.#database.statement(
      `SELECT ${COLUMNS} FROM version INDEXED BY version_swept
       WHERE kind = ${VersionKind.TRASH} AND ${SWEPT_KINDS} AND id > ?
       ORDER BY id LIMIT ?`,
    ).all(range.after, range.limit) as unknown as Stored[];
    return rows.map(fromStored);
  }

  get(version: number): TrashRow | undefined {
    const row = this.#database.statement(
      `SELECT ${COLUMNS} FROM version WHERE kind = ${VersionKind.TRASH} AND id = ?`,
    ).get(version) as unknown as Stored | undefined;
    return row === undefined ? undefined : fromStored(row);
  }

  /**
   * Copies up to `limit` chunks of a version from index `from` on into the working map of a file, as
   * evicted rows. Returns those rows' lengths, and where to go on; undefined at the end.
   */
  copySlice(
    version: number,
    slice: { inode: number; from: number; limit: number; generation: number },
  ): { lengths: number[]; next: number | undefined } {
    const rows = this.#database.statement(
      `SELECT idx, length FROM version_chunk WHERE version = ? AND idx >= ? ORDER BY idx LIMIT ?`,
    ).all(version, slice.from, slice.limit + 1) as { idx: number; length: number }[];
    const next = rows.length > slice.limit ? rows.pop()!.idx : undefined;
    this.#database.statement(
      `INSERT INTO map (inode, idx, chunk, length, resident, generation)
       SELECT ?, idx, chunk, length, 0, ? FROM version_chunk
       WHERE version = ? AND idx >= ? ORDER BY idx LIMIT ?`,
    ).run(slice.inode, slice.generation, version, slice.from, rows.length);
    return { lengths: rows.map(({ length }) => length), next };
  }

  /** The version belongs to another inode from now on; `publish` makes it the saved one. */
  adopt(version: number, options: { inode: number; generation: number }): void {
    this.#database.statement(
      `UPDATE version SET inode = ?, generation = ?, path = NULL, trashed_ms = NULL,
         trashed_at = NULL WHERE id = ?`,
    ).run(options.inode, options.generation, version);
  }

  /** Stored bytes of chunks that only the trash refers to. Grows with the trash. */
  bytesOnlyThere(): number {
    const row = this.#database.statement(
      `SELECT coalesce(sum(c.stored), 0) AS bytes FROM
         (SELECT x.chunk, count(*) AS n FROM version CROSS JOIN version_chunk x ON x.version = version.id
          WHERE kind = ${VersionKind.TRASH} AND ${SWEPT_KINDS} GROUP BY x.chunk) t
       JOIN chunk c ON c.id = t.chunk WHERE c.refs = t.n`,
    ).get() as { bytes: number };
    return row.bytes;
  }

  /** True where it was in the trash, and is garbage now. */
  purge(version: number): boolean {
    const result = this.#database.statement(
      `UPDATE version SET kind = ${VersionKind.GARBAGE}
       WHERE id = ? AND kind = ${VersionKind.TRASH}`,
    ).run(version);
    return Number(result.changes) === 1;
  }
}
