/**
 * Puts rows that another mount has shipped into a database that follows it. Rows of names and of regular
 * files go to tables of their own, `told_dentry` and `told_file`: what is shown of them depends on which
 * content the bucket has, and is the business of follow.ts. The caller holds the transaction.
 */
import {
  type ChunkRun,
  type DentryRecord,
  type InodeRecord,
  type MetadataRecord,
  type PackChunk,
  RecordTable,
  type VersionRecord,
} from "../domain/metadata_rows.ts";
import type { MetadataDatabase } from "./database.ts";
import { ShippedRowTables } from "./shipped_rows.ts";

const REGULAR = 0o100000;
const TYPE_MASK = 0o170000;
/** A kind that never meets another one's uniqueness: rows pass through it. */
const PASSING = 4;

/** What shipped objects say, a table at a time, each key once. May be asked for several times. */
export interface ShippedRows {
  records(table: RecordTable): Iterable<MetadataRecord>;
}

type Rows<T extends RecordTable> = Extract<MetadataRecord, { table: T }>;

export class FollowRows {
  readonly #database: MetadataDatabase;
  readonly #tables: ShippedRowTables;
  /** Inodes of which something has been told: to be shown anew. */
  readonly touched = new Set<number>();

  /** Makes the tables where they are not there yet. */
  constructor(database: MetadataDatabase) {
    this.#database = database;
    this.#tables = new ShippedRowTables(database);
    this.#run(`CREATE TABLE IF NOT EXISTS told_dentry (id INTEGER PRIMARY KEY,
      parent INTEGER NOT NULL, name BLOB NOT NULL, inode INTEGER NOT NULL) STRICT`);
    this.#run("CREATE INDEX IF NOT EXISTS told_dentry_inode ON told_dentry (inode)");
    this.#run(`CREATE TABLE IF NOT EXISTS told_file (id INTEGER PRIMARY KEY, mode INTEGER NOT NULL,
      uid INTEGER NOT NULL, gid INTEGER NOT NULL, size INTEGER NOT NULL, mtime_s INTEGER NOT NULL,
      mtime_ns INTEGER NOT NULL, nlink INTEGER NOT NULL, generation INTEGER NOT NULL,
      dirty INTEGER NOT NULL) STRICT`);
  }

  #run(sql: string, ...values: (number | string | Uint8Array | null)[]): number {
    return Number(this.#database.statement(sql).run(...values).changes);
  }

  #numbers(sql: string, ...values: number[]): number[] {
    const rows = this.#database.arrayStatement(sql).all(...values) as unknown as [number][];
    return rows.map(([value]) => value);
  }

  *#of<T extends RecordTable>(rows: ShippedRows, table: T): Iterable<Rows<T>> {
    yield* rows.records(table) as Iterable<Rows<T>>;
  }

  /** What is gone goes first, and is what makes room: names, places in packs and saved versions are unique. */
  apply(rows: ShippedRows): void {
    for (const { key, row } of this.#of(rows, RecordTable.DENTRY)) this.#dentry(key, row);
    for (const { key, row } of this.#of(rows, RecordTable.INODE)) this.#inode(key, row);
    for (const { key } of this.#of(rows, RecordTable.XATTR)) {
      this.#run("DELETE FROM xattr WHERE id = ?", key);
    }
    for (const { key, row } of this.#of(rows, RecordTable.PACK)) {
      if (row !== undefined) this.#tables.pack(key, row);
    }
    for (const { key, row } of this.#of(rows, RecordTable.PACK_LIST)) {
      for (const chunk of row ?? []) this.#tables.chunk(key, chunk);
    }
    for (const { key, row } of this.#of(rows, RecordTable.VERSION)) this.#leaveVersion(key, row);
    for (const { key, row } of this.#of(rows, RecordTable.VERSION)) {
      if (row !== undefined) this.#version(key, row);
    }
    for (const { key, row } of this.#of(rows, RecordTable.VERSION_LIST)) {
      this.#versionList(key, row);
    }
  }

  /** After everything is shown anew: attributes of what is there now, and what nothing refers to any more. */
  finish(rows: ShippedRows): void {
    for (const { key, row } of this.#of(rows, RecordTable.XATTR)) {
      if (row !== undefined) this.#tables.xattr(key, row);
    }
    for (const { key, row } of this.#of(rows, RecordTable.PACK_LIST)) {
      this.#leaveChunks(key, row ?? []);
    }
    for (const { key, row } of this.#of(rows, RecordTable.PACK)) {
      if (row !== undefined) continue;
      this.#run("DELETE FROM chunk WHERE pack = ?", key);
      this.#run("DELETE FROM pack WHERE id = ?", key);
    }
    // Nothing of it is ever shipped from here.
    this.#run("DELETE FROM changes");
  }

  #dentry(id: number, row: DentryRecord | undefined): void {
    for (const inode of this.#numbers("SELECT inode FROM told_dentry WHERE id = ?", id)) {
      this.touched.add(inode);
    }
    this.#run("DELETE FROM dentry WHERE id = ?", id);
    if (row === undefined) return void this.#run("DELETE FROM told_dentry WHERE id = ?", id);
    this.#run(
      "INSERT OR REPLACE INTO told_dentry VALUES (?, ?, ?, ?)",
      id,
      row.parent,
      row.name,
      row.inode,
    );
    this.touched.add(row.inode);
  }

  #inode(id: number, row: InodeRecord | undefined): void {
    this.touched.add(id);
    if (row === undefined) return void this.#run("DELETE FROM told_file WHERE id = ?", id);
    const times = [row.atime, row.mtime, row.ctime, row.btime].flat();
    // Another mount's pins are not ours, and content is set by the version that is shown.
    this.#run(
      `INSERT INTO inode (id, mode, uid, gid, nlink, rdev, size, target, changed_ms,
         atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET mode = excluded.mode, uid = excluded.uid, gid = excluded.gid,
         nlink = excluded.nlink, rdev = excluded.rdev, target = excluded.target,
         size = CASE WHEN excluded.mode & ${TYPE_MASK} = ${REGULAR} THEN size ELSE excluded.size END,
         changed_ms = excluded.changed_ms, atime_s = excluded.atime_s, atime_ns = excluded.atime_ns,
         mtime_s = excluded.mtime_s, mtime_ns = excluded.mtime_ns, ctime_s = excluded.ctime_s,
         ctime_ns = excluded.ctime_ns, btime_s = excluded.btime_s, btime_ns = excluded.btime_ns`,
      id,
      row.mode,
      row.uid,
      row.gid,
      row.nlink,
      row.rdev,
      row.size,
      row.target ?? null,
      row.changedMs,
      ...times,
    );
    if ((row.mode & TYPE_MASK) !== REGULAR) return;
    this.#run(
      "INSERT OR REPLACE INTO told_file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      id,
      row.mode,
      row.uid,
      row.gid,
      row.size,
      ...row.mtime,
      row.nlink,
      row.generation,
      row.dirty ? 1 : 0,
    );
  }

  #leaveChunks(pack: number, listed: PackChunk[]): void {
    const kept = new Set(listed.map(({ id }) => id));
    for (const id of this.#numbers("SELECT id FROM chunk WHERE pack = ?", pack)) {
      if (!kept.has(id)) this.#run("DELETE FROM chunk WHERE id = ?", id);
    }
  }

  #leaveVersion(id: number, row: VersionRecord | undefined): void {
    for (const inode of this.#numbers("SELECT inode FROM version WHERE id = ?", id)) {
      this.touched.add(inode);
    }
    if (row !== undefined) {
      this.#run(`UPDATE version SET kind = ${PASSING} WHERE id = ?`, id);
    } else {
      this.#run("DELETE FROM version_chunk WHERE version = ?", id);
      this.#run("DELETE FROM version WHERE id = ?", id);
    }
  }

  #version(id: number, row: VersionRecord): void {
    this.touched.add(row.inode);
    this.#tables.version(id, row);
  }

  /** The list of a version that has gone since is of no use. */
  #versionList(version: number, runs: ChunkRun[] | undefined): void {
    const [inode] = this.#numbers("SELECT inode FROM version WHERE id = ?", version);
    this.#run("DELETE FROM version_chunk WHERE version = ?", version);
    if (inode === undefined) return;
    this.touched.add(inode);
    this.#tables.versionChunks(version, runs ?? []);
  }
}
