/**
 * Makes a database of rows from the bucket: all content is evicted, and every file is as its saved
 * version says. Owns the rules of what a file becomes whose newest content the bucket does not have.
 * Everything happens in one transaction of the caller.
 */
import {
  type ChunkRun,
  type DentryRecord,
  type InodeRecord,
  type MetadataRecord,
  type PackChunk,
  type PackRecord,
  RecordTable,
} from "../domain/metadata_rows.ts";
import { unreachable } from "../domain/errors.ts";
import type { MetadataDatabase } from "./database.ts";
import { VersionKind } from "./schema.ts";
import { ShippedRowTables } from "./shipped_rows.ts";

/** A file that did not come back as it last was. */
export interface NotNewest {
  /** Names from the root, with slashes between. */
  path: Uint8Array;
  /**
   * `older`: as its last saved version. `predecessor`: as the file that it had replaced. `missing`: the
   * bucket never had any content of it, so it is left out.
   */
  became: "older" | "predecessor" | "missing";
  /** When the version that came back was saved, wall clock, ms. */
  savedMs: number | undefined;
  /** Bytes that it had when its name was last told, and that it has now. */
  newestSize: number;
  size: number | undefined;
}

/** Chunks before those that refer to them, whose triggers count. */
export const REBUILD_ORDER: readonly RecordTable[] = [
  RecordTable.INODE,
  RecordTable.DENTRY,
  RecordTable.XATTR,
  RecordTable.PACK,
  RecordTable.PACK_LIST,
  RecordTable.VERSION,
  RecordTable.VERSION_LIST,
];

/** Ids that were given out after the last object must not be given out again. */
const ID_MARGIN = 1_000_000;
const REGULAR = 0o100000;
const TYPE_MASK = 0o170000;
const CHARGE = "((length + 4095) / 4096 * 4096)";
const RESTORABLE = `kind IN (${VersionKind.SAVED}, ${VersionKind.PREDECESSOR})`;

export class Rebuild {
  readonly #database: MetadataDatabase;
  readonly #tables: ShippedRowTables;

  /** `database` has just been created: it holds nothing but a root directory. */
  constructor(database: MetadataDatabase) {
    this.#database = database;
    this.#tables = new ShippedRowTables(database);
    this.#run(`CREATE TEMP TABLE was_dirty (inode INTEGER PRIMARY KEY)`);
    this.#run(`CREATE TEMP TABLE reached (inode INTEGER PRIMARY KEY)`);
    this.#run(`CREATE TEMP TABLE condemned (pack INTEGER PRIMARY KEY)`);
    this.#run(`CREATE TEMP TABLE outcome (inode INTEGER PRIMARY KEY, became TEXT NOT NULL,
      version INTEGER, newest INTEGER NOT NULL)`);
  }

  #run(sql: string, ...values: (number | string | Uint8Array | null)[]): number {
    return Number(this.#database.statement(sql).run(...values).changes);
  }

  /** Adds a row. Rows come table by table, in the order of REBUILD_ORDER. */
  add(record: MetadataRecord): void {
    const { key } = record;
    if (record.row === undefined) return;
    switch (record.table) {
      case RecordTable.INODE:
        return this.#inode(key, record.row);
      case RecordTable.DENTRY:
        return this.#dentry(key, record.row);
      case RecordTable.XATTR:
        return this.#tables.xattr(key, record.row);
      case RecordTable.VERSION:
        return this.#tables.version(key, record.row);
      case RecordTable.VERSION_LIST:
        return this.#versionList(key, record.row);
      case RecordTable.PACK:
        return this.#pack(key, record.row);
      case RecordTable.PACK_LIST:
        return this.#packList(key, record.row);
      default:
        unreachable(record);
    }
  }

  #inode(id: number, row: InodeRecord): void {
    // A root is there from the start.
    if (id === 1) this.#run("DELETE FROM inode WHERE id = 1");
    this.#run(
      `INSERT INTO inode (id, mode, uid, gid, nlink, rdev, size, target, generation,
         changed_ms, pinned, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      row.mode,
      row.uid,
      row.gid,
      row.nlink,
      row.rdev,
      row.size,
      row.target ?? null,
      row.generation,
      row.changedMs,
      row.pinned ? 1 : 0,
      ...row.atime,
      ...row.mtime,
      ...row.ctime,
      ...row.btime,
    );
    if (row.dirty) this.#run("INSERT INTO was_dirty VALUES (?)", id);
  }

  #dentry(id: number, { parent, name, inode }: DentryRecord): void {
    this.#run("INSERT INTO dentry VALUES (?, ?, ?, ?)", id, parent, name, inode);
  }

  /** The bucket is told that a version or a pack is gone, and not that its list is: it is gone with it. */
  #has(table: "version" | "pack", id: number): boolean {
    return this.#database.statement(`SELECT 1 FROM ${table} WHERE id = ?`).get(id) !== undefined;
  }

  #versionList(version: number, runs: ChunkRun[]): void {
    if (!this.#has("version", version)) return;
    this.#tables.versionChunks(version, runs);
  }

  #pack(id: number, row: PackRecord): void {
    this.#tables.pack(id, row);
    if (row.condemned) this.#run("INSERT INTO condemned VALUES (?)", id);
  }

  #packList(pack: number, chunks: PackChunk[]): void {
    if (!this.#has("pack", pack)) return;
    // A chunk that was moved may stand in two lists where one was told before the move and the other
    // after it. It only ever moves to a newer pack, whose list comes later here.
    for (const chunk of chunks) this.#tables.chunk(pack, chunk);
  }

  /**
   * All rows are there: makes a file system of them. Answers what is not in its newest state. `newest`: the
   * bucket was told of nothing later, so that whatever was referred to is still there.
   */
  finish({ nowMs, newest }: { nowMs: number; newest: boolean }): NotNewest[] {
    this.#decide();
    this.#reach();
    const notNewest = this.#list();
    this.#dropUnreached(nowMs);
    this.#settleVersions(nowMs);
    this.#fillMaps();
    this.#countLinks();
    this.#settleRest({ newest });
    return notNewest;
  }

  /** What becomes of each regular file that is not simply its saved version. */
  #decide(): void {
    this.#run(
      `INSERT INTO outcome SELECT i.id, 'older', v.id, i.size FROM inode i
         JOIN version v ON v.inode = i.id AND v.kind = ${VersionKind.SAVED}
       WHERE i.mode & ${TYPE_MASK} = ${REGULAR} AND i.id IN (SELECT inode FROM was_dirty)`,
    );
    // Several may wait on one file, where names were taken over and over: the newest counts.
    this.#run(
      `INSERT INTO outcome SELECT i.id, 'predecessor', max(v.id), i.size FROM inode i
         JOIN version v ON v.inode = i.id AND v.kind = ${VersionKind.PREDECESSOR}
       WHERE i.mode & ${TYPE_MASK} = ${REGULAR} AND NOT EXISTS
         (SELECT 1 FROM version s WHERE s.inode = i.id AND s.kind = ${VersionKind.SAVED})
       GROUP BY i.id`,
    );
    // Nothing of it was ever saved; that an empty file is empty is known all the same.
    this.#run(
      `INSERT INTO outcome SELECT i.id, 'missing', NULL, i.size FROM inode i
       WHERE i.mode & ${TYPE_MASK} = ${REGULAR} AND i.size > 0 AND NOT EXISTS
         (SELECT 1 FROM version v WHERE v.inode = i.id AND v.${RESTORABLE})`,
    );
  }

  #reach(): void {
    this.#run(
      `INSERT INTO reached WITH RECURSIVE below (inode) AS (
         SELECT 1 UNION SELECT d.inode FROM below b JOIN dentry d ON d.parent = b.inode
       ) SELECT b.inode FROM below b JOIN inode i ON i.id = b.inode`,
    );
  }

  #list(): NotNewest[] {
    const rows = this.#database.statement(
      `SELECT o.inode, o.became, o.newest, v.saved_ms AS savedMs, v.size FROM outcome o
         LEFT JOIN version v ON v.id = o.version
       WHERE o.inode IN (SELECT inode FROM reached) ORDER BY o.inode`,
    ).all() as unknown as {
      inode: number;
      became: NotNewest["became"];
      newest: number;
      savedMs: number | null;
      size: number | null;
    }[];
    return rows.map((row) => ({
      path: this.#pathOf(row.inode),
      became: row.became,
      savedMs: row.savedMs ?? undefined,
      newestSize: row.newest,
      size: row.size ?? undefined,
    }));
  }

  #pathOf(inode: number): Uint8Array {
    const names: Uint8Array[] = [];
    const place = this.#database.statement(
      "SELECT parent, name FROM dentry WHERE inode = ? AND parent IN (SELECT inode FROM reached) LIMIT 1",
    );
    for (let at = inode; at !== 1;) {
      const row = place.get(at) as { parent: number; name: Uint8Array } | undefined;
      if (row === undefined) break;
      names.unshift(row.name);
      at = row.parent;
    }
    const bytes: number[] = [];
    for (const name of names) bytes.push(...(bytes.length > 0 ? [0x2f] : []), ...name);
    return new Uint8Array(bytes);
  }

  /** What has no name, or no content to give it, goes; its versions stay in the trash. */
  #dropUnreached(nowMs: number): void {
    this.#run(
      `DELETE FROM reached WHERE inode IN (SELECT inode FROM outcome WHERE became = 'missing')`,
    );
    this.#run(`DELETE FROM dentry WHERE inode NOT IN (SELECT inode FROM reached)
      OR parent NOT IN (SELECT inode FROM reached)`);
    this.#run(`DELETE FROM xattr WHERE inode NOT IN (SELECT inode FROM reached)`);
    this.#run(`DELETE FROM inode WHERE id NOT IN (SELECT inode FROM reached)`);
    this.#run(
      `UPDATE version SET kind = ${VersionKind.TRASH}, trashed_ms = ?
       WHERE ${RESTORABLE} AND inode NOT IN (SELECT inode FROM reached)`,
      nowMs,
    );
  }

  /** Each file is its saved version now. */
  #settleVersions(nowMs: number): void {
    this.#run(
      `UPDATE version SET kind = ${VersionKind.TRASH}, trashed_ms = ?
       WHERE kind = ${VersionKind.PREDECESSOR} AND id NOT IN
         (SELECT version FROM outcome WHERE version IS NOT NULL)`,
      nowMs,
    );
    this.#run(
      `UPDATE version SET kind = ${VersionKind.SAVED}, path = NULL
       WHERE kind = ${VersionKind.PREDECESSOR}`,
    );
    this.#run(
      `UPDATE inode SET size = v.size, mtime_s = v.mtime_s, mtime_ns = v.mtime_ns,
         generation = v.generation FROM version v, outcome o
       WHERE o.inode = inode.id AND v.id = o.version`,
    );
    this.#run(
      `UPDATE inode SET mode = v.mode, uid = v.uid, gid = v.gid FROM version v, outcome o
       WHERE o.inode = inode.id AND v.id = o.version AND o.became = 'predecessor'`,
    );
    // Content and size always come from the same version.
    this.#run(
      `UPDATE inode SET size = v.size FROM version v
       WHERE v.inode = inode.id AND v.kind = ${VersionKind.SAVED} AND v.size <> inode.size`,
    );
    // An empty file may come back of which there is no version: it is saved like a new one.
    this.#run(
      `UPDATE inode SET dirty = 1 WHERE mode & ${TYPE_MASK} = ${REGULAR} AND NOT EXISTS
         (SELECT 1 FROM version v WHERE v.inode = inode.id AND v.kind = ${VersionKind.SAVED})`,
    );
  }

  #fillMaps(): void {
    this.#run(
      `INSERT INTO map SELECT v.inode, c.idx, c.chunk, c.length, 0, v.generation
       FROM version v JOIN version_chunk c ON c.version = v.id WHERE v.kind = ${VersionKind.SAVED}`,
    );
    // Recalls name the incarnation that they are for: with 0 the first one would make the others late.
    this.#run(
      `UPDATE inode SET allocated = m.charge, incarnation = 1 FROM
         (SELECT inode, sum${CHARGE} AS charge FROM map GROUP BY inode) m WHERE m.inode = inode.id`,
    );
  }

  #countLinks(): void {
    this.#run(
      `UPDATE inode SET nlink = (SELECT count(*) FROM dentry d WHERE d.inode = inode.id)
       WHERE mode & ${TYPE_MASK} <> 16384`,
    );
    this.#run(
      `UPDATE inode SET nlink = 2 + (SELECT count(*) FROM dentry d JOIN inode c ON c.id = d.inode
         WHERE d.parent = inode.id AND c.mode & ${TYPE_MASK} = 16384)
       WHERE mode & ${TYPE_MASK} = 16384`,
    );
  }

  #settleRest({ newest }: { newest: boolean }): void {
    const database = this.#database;
    this.#run(`UPDATE total SET sequence = sequence + 1`);
    this.#run(`UPDATE pack SET dead_at = (SELECT sequence FROM total) WHERE live_chunks = 0`);
    // What nothing referred to then, or later, may have been deleted: nothing new may rely on it unseen.
    this.#run("UPDATE pack SET verified = 0 WHERE live_chunks = 0 OR ?", newest ? 0 : 1);
    this.#run(
      `UPDATE pack SET condemned = 1 WHERE live_chunks = 0 AND id IN (SELECT pack FROM condemned)`,
    );
    this.#run(
      `UPDATE version SET trashed_at = (SELECT sequence FROM total)
       WHERE kind = ${VersionKind.TRASH}`,
    );
    for (const table of ["inode", "dentry", "pack", "chunk", "version"]) {
      this.#run(`DELETE FROM sqlite_sequence WHERE name = ?`, table);
      this.#run(
        `INSERT INTO sqlite_sequence (name, seq)
         SELECT ?, coalesce(max(id), 2) + ${ID_MARGIN} FROM ${table}`,
        table,
      );
    }
    const { last } = database.statement(
      `SELECT max((SELECT coalesce(max(generation), 0) FROM inode),
         (SELECT coalesce(max(generation), 0) FROM version)) AS last`,
    ).get() as { last: number };
    database.setSetting("generation_reserved", last + ID_MARGIN);
    for (const table of ["was_dirty", "reached", "condemned", "outcome"]) {
      this.#run(`DROP TABLE temp.${table}`);
    }
  }
}
