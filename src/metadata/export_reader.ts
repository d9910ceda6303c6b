/**
 * Reads rows for the bucket, from another isolate than the one that writes. Owns a connection that
 * never changes a row; every `read` is one short read transaction.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  type ChunkRun,
  type InodeRecord,
  type MetadataRecord,
  type PackChunk,
  type PackRecord,
  RecordTable,
  type VersionRecord,
} from "../domain/metadata_rows.ts";
import { unreachable } from "../domain/errors.ts";
import type { LoggedKey } from "./change_log.ts";
import { openMetadata } from "./connection.ts";

/** Chunks in one run at most, as the format wants it. */
const RUN_CHUNKS = 65_536;

type Row = Record<string, unknown>;
type Cell = number & string & Uint8Array;

/** Queries that answer the keys of a table, by which it is cut into segments. */
const KEYS: Record<RecordTable, string> = {
  [RecordTable.INODE]: "SELECT id FROM inode WHERE id > ? ORDER BY id LIMIT ?",
  [RecordTable.DENTRY]: "SELECT id FROM dentry WHERE id > ? ORDER BY id LIMIT ?",
  [RecordTable.XATTR]: "SELECT id FROM xattr WHERE id > ? ORDER BY id LIMIT ?",
  [RecordTable.VERSION]:
    "SELECT id FROM version WHERE id > ? AND kind BETWEEN 1 AND 3 ORDER BY id LIMIT ?",
  [RecordTable.VERSION_LIST]:
    "SELECT id FROM version WHERE id > ? AND kind BETWEEN 1 AND 3 ORDER BY id LIMIT ?",
  [RecordTable.PACK]: "SELECT id FROM pack WHERE id > ? ORDER BY id LIMIT ?",
  [RecordTable.PACK_LIST]: "SELECT id FROM pack WHERE id > ? ORDER BY id LIMIT ?",
};

export class ExportReader {
  readonly #connection: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(directory: string) {
    this.#connection = openMetadata(directory, { readOnly: true });
  }

  /** Runs `body` on one state of the database. */
  read<T>(body: () => T): T {
    this.#connection.exec("BEGIN");
    try {
      return body();
    } finally {
      this.#connection.exec("COMMIT");
    }
  }

  #query(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#connection.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** How many keys wait, counted up to `limit`. */
  unshipped(limit: number): number {
    const row = this.#query("SELECT count(*) AS n FROM (SELECT 1 FROM changes LIMIT ?)").get(limit);
    return Number(row!.n);
  }

  /** Keys that wait, after a place, in order. */
  changes(after: LoggedKey | undefined, limit: number): LoggedKey[] {
    const { table, key } = after ?? { table: 0, key: 0 };
    const rows = this.#query(
      `SELECT tbl, key FROM changes WHERE (tbl, key) > (?, ?) ORDER BY tbl, key LIMIT ?`,
    ).all(table, key, limit) as { tbl: RecordTable; key: number }[];
    return rows.map((row) => ({ table: row.tbl, key: row.key }));
  }

  /** Keys of a table after one, in order. */
  keys(table: RecordTable, after: number, limit: number): number[] {
    return this.#query(KEYS[table]).all(after, limit).map(({ id }) => id as number);
  }

  /** A row as it is now; its absence where there is none. */
  record({ table, key }: LoggedKey): MetadataRecord {
    switch (table) {
      case RecordTable.INODE:
        return { table, key, row: this.#inode(key) };
      case RecordTable.DENTRY: {
        const row = this.#get("SELECT parent, inode, name FROM dentry WHERE id = ?", key);
        return { table, key, row: row && { parent: row.parent, inode: row.inode, name: row.name } };
      }
      case RecordTable.XATTR: {
        const row = this.#get("SELECT inode, name, value FROM xattr WHERE id = ?", key);
        return { table, key, row: row && { inode: row.inode, name: row.name, value: row.value } };
      }
      case RecordTable.VERSION:
        return { table, key, row: this.#version(key) };
      case RecordTable.VERSION_LIST:
        return { table, key, row: this.#versionList(key) };
      case RecordTable.PACK:
        return { table, key, row: this.#pack(key) };
      case RecordTable.PACK_LIST:
        return { table, key, row: this.#packList(key) };
      default:
        return unreachable(table);
    }
  }

  #get(sql: string, key: number): Record<string, Cell> | undefined {
    return this.#query(sql).get(key) as Record<string, Cell> | undefined;
  }

  #inode(id: number): InodeRecord | undefined {
    const row = this.#get("SELECT * FROM inode WHERE id = ?", id);
    if (row === undefined) return undefined;
    return {
      mode: row.mode,
      uid: row.uid,
      gid: row.gid,
      nlink: row.nlink,
      rdev: row.rdev,
      dirty: row.dirty as number === 1,
      pinned: row.pinned as number === 1,
      size: row.size,
      generation: row.generation,
      changedMs: row.changed_ms,
      atime: [row.atime_s, row.atime_ns],
      mtime: [row.mtime_s, row.mtime_ns],
      ctime: [row.ctime_s, row.ctime_ns],
      btime: [row.btime_s, row.btime_ns],
      target: row.target ?? undefined,
    };
  }

  #version(id: number): VersionRecord | undefined {
    const row = this.#get("SELECT * FROM version WHERE id = ? AND kind BETWEEN 1 AND 3", id);
    if (row === undefined) return undefined;
    return {
      inode: row.inode,
      kind: row.kind,
      generation: row.generation,
      size: row.size,
      mode: row.mode,
      uid: row.uid,
      gid: row.gid,
      mtime: [row.mtime_s, row.mtime_ns],
      savedMs: row.saved_ms,
      trashedMs: row.trashed_ms ?? undefined,
      path: row.path ?? undefined,
    };
  }

  #versionList(id: number): ChunkRun[] | undefined {
    if (!this.#get("SELECT 1 FROM version WHERE id = ? AND kind BETWEEN 1 AND 3", id)) {
      return undefined;
    }
    const runs: ChunkRun[] = [];
    let run: ChunkRun | undefined;
    const rows = this.#query(
      "SELECT idx, chunk, length FROM version_chunk WHERE version = ? ORDER BY idx",
    ).iterate(id) as Iterable<Row>;
    for (const row of rows) {
      const [index, chunk, length] = [row.idx, row.chunk, row.length] as number[];
      const follows = run !== undefined && run.length === length && run.count < RUN_CHUNKS &&
        run.index + run.count === index && run.chunk + run.count === chunk;
      if (follows) run!.count++;
      else runs.push(run = { index, chunk, count: 1, length });
    }
    return runs;
  }

  #pack(id: number): PackRecord | undefined {
    const row = this.#get("SELECT * FROM pack WHERE id = ?", id);
    if (row === undefined) return undefined;
    return {
      name: row.name,
      versionId: row.version_id,
      bytes: row.bytes,
      verified: row.verified as number === 1,
      condemned: row.condemned as number === 1,
      createdMs: row.created_ms,
    };
  }

  #packList(id: number): PackChunk[] | undefined {
    if (!this.#get("SELECT 1 FROM pack WHERE id = ?", id)) return undefined;
    const rows = this.#query("SELECT * FROM chunk WHERE pack = ? ORDER BY ordinal").all(id);
    return (rows as Record<string, Cell>[]).map((row) => ({
      id: row.id,
      hash: row.hash,
      ordinal: row.ordinal,
      offset: row.offset,
      stored: row.stored,
      length: row.length,
      codec: row.codec,
      lost: row.lost as number === 1,
    }));
  }

  close(): void {
    this.#connection.close();
  }
}
