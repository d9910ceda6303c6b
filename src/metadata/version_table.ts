/**
 * Saved versions of files: what the bucket can restore. Owns the SQL of `version` and
 * `version_chunk`. Work that grows with a file is cut into slices by the callers.
 */
import type { MetadataDatabase } from "./database.ts";
import { SWEPT_KINDS, VersionKind } from "./schema.ts";

/** What a version takes from the inode, all at one moment. */
export interface VersionHead {
  inode: number;
  generation: number;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtimeS: number;
  mtimeNs: number;
  savedMs: number;
}

export class VersionTable {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** Begins a version; it is nothing until `publish`. Returns its id. */
  begin(head: VersionHead): number {
    return this.#insert(head, VersionKind.BUILDING);
  }

  /**
   * The whole working map of `mapOf`, which has few rows, as the saved version of `head.inode`; what it
   * supersedes goes to the trash.
   */
  save(head: VersionHead, mapOf: number): void {
    this.#supersede({ inode: head.inode, nowMs: head.savedMs });
    const version = this.#insert(head, VersionKind.SAVED);
    this.#database.statement(
      `INSERT INTO version_chunk (version, idx, chunk, length)
       SELECT ?, idx, chunk, length FROM map WHERE inode = ?`,
    ).run(version, mapOf);
  }

  #insert(head: VersionHead, kind: number): number {
    const result = this.#database.statement(
      `INSERT INTO version (inode, kind, generation, size, mode, uid, gid, mtime_s, mtime_ns, saved_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      head.inode,
      kind,
      head.generation,
      head.size,
      head.mode,
      head.uid,
      head.gid,
      head.mtimeS,
      head.mtimeNs,
      head.savedMs,
    );
    return Number(result.lastInsertRowid);
  }

  /** Copies up to `limit` rows of the working map from `from` on. Returns where to go on; undefined at the end. */
  copySlice(
    version: number,
    slice: { inode: number; from: number; limit: number },
  ): number | undefined {
    this.#database.statement(
      `INSERT INTO version_chunk (version, idx, chunk, length)
       SELECT ?, idx, chunk, length FROM map WHERE inode = ? AND idx >= ? ORDER BY idx LIMIT ?`,
    ).run(version, slice.inode, slice.from, slice.limit);
    const row = this.#database.statement(
      `SELECT idx FROM version_chunk WHERE version = ? ORDER BY idx DESC LIMIT 1`,
    ).get(version) as { idx: number } | undefined;
    if (row === undefined) return undefined;
    const more = this.#database.statement(
      `SELECT 1 FROM map WHERE inode = ? AND idx > ? LIMIT 1`,
    ).get(slice.inode, row.idx);
    return more === undefined ? undefined : row.idx + 1;
  }

  /** Makes a finished version the saved one; what it supersedes goes to the trash. */
  publish(version: number, options: { inode: number; nowMs: number }): void {
    this.#supersede(options);
    this.#database.statement(`UPDATE version SET kind = ${VersionKind.SAVED} WHERE id = ?`)
      .run(version);
  }

  #supersede({ inode, nowMs }: { inode: number; nowMs: number }): void {
    this.#database.statement(
      `UPDATE version SET kind = ${VersionKind.TRASH}, trashed_ms = ?,
         trashed_at = (SELECT sequence FROM total)
       WHERE inode = ? AND kind IN (${VersionKind.SAVED}, ${VersionKind.PREDECESSOR})`,
    ).run(nowMs, inode);
  }

  discard(version: number): void {
    this.#database.statement(`UPDATE version SET kind = ${VersionKind.GARBAGE} WHERE id = ?`)
      .run(version);
  }

  /** Whether anything of this inode could be restored: saved, predecessor or trash. */
  hasAny(inode: number): boolean {
    return this.#database.statement(
      `SELECT 1 FROM version WHERE inode = ?
         AND kind BETWEEN ${VersionKind.SAVED} AND ${VersionKind.TRASH} LIMIT 1`,
    ).get(inode) !== undefined;
  }

  /** Law 6: the saved version (or predecessors) of `victim` now wait on `heir`, which took its name. */
  inherit(victim: number, options: { heir: number; path: Uint8Array }): void {
    this.#database.statement(
      `UPDATE version SET kind = ${VersionKind.PREDECESSOR}, inode = ?, path = ?
       WHERE inode = ? AND kind IN (${VersionKind.SAVED}, ${VersionKind.PREDECESSOR})`,
    ).run(options.heir, options.path, victim);
    this.#nameTrash(victim, options.path);
  }

  /** The file is gone: its versions go to the trash under its last path, which is asked for where there are any. */
  trash(inode: number, options: { path: () => Uint8Array; nowMs: number }): void {
    const rows = this.#database.arrayStatement(
      `SELECT id, kind FROM version WHERE inode = ?
         AND kind BETWEEN ${VersionKind.SAVED} AND ${VersionKind.TRASH}
         AND (kind <> ${VersionKind.TRASH} OR path IS NULL)`,
    ).all(inode) as unknown as [number, number][];
    if (rows.length === 0) return;
    const path = options.path();
    // By number: half the price of a condition, and nearly every file has one.
    for (const [id, kind] of rows) {
      if (kind !== VersionKind.TRASH) this.#toTrash(id, { path, nowMs: options.nowMs });
    }
    if (rows.some(([, kind]) => kind === VersionKind.TRASH)) this.#nameTrash(inode, path);
  }

  #toTrash(id: number, options: { path: Uint8Array; nowMs: number }): void {
    this.#database.statement(
      `UPDATE version SET kind = ${VersionKind.TRASH}, trashed_ms = ?, path = coalesce(path, ?),
         trashed_at = (SELECT sequence FROM total) WHERE id = ?`,
    ).run(options.nowMs, options.path, id);
  }

  /** Older versions of an inode that loses its name keep it. */
  #nameTrash(inode: number, path: Uint8Array): void {
    this.#database.statement(
      `UPDATE version SET path = ? WHERE inode = ? AND kind = ${VersionKind.TRASH} AND path IS NULL`,
    ).run(path, inode);
  }

  /** Predecessors of a file that already has a saved version of its own are not needed. */
  hasSaved(inode: number): boolean {
    return this.#database.statement(
      `SELECT 1 FROM version WHERE inode = ? AND kind = ${VersionKind.SAVED}`,
    ).get(inode) !== undefined;
  }

  /** Generation of the saved version; undefined: there is none. */
  savedAt(inode: number): number | undefined {
    const row = this.#database.statement(
      `SELECT generation FROM version WHERE inode = ? AND kind = ${VersionKind.SAVED}`,
    ).get(inode) as { generation: number } | undefined;
    return row?.generation;
  }

  /** After an unclean stop: versions that were being built are garbage. */
  abandonBuilding(): void {
    this.#database.statement(
      `UPDATE version SET kind = ${VersionKind.GARBAGE} WHERE kind = ${VersionKind.BUILDING} AND ${SWEPT_KINDS}`,
    ).run();
  }

  /** Trash from before that sequence becomes garbage, at most `limit` versions. Returns how many. */
  expireTrash(before: number, limit: number): number {
    const result = this.#database.statement(
      `UPDATE version SET kind = ${VersionKind.GARBAGE} WHERE id IN
         (SELECT id FROM version WHERE kind = ${VersionKind.TRASH} AND ${SWEPT_KINDS}
           AND trashed_at < ? LIMIT ?)`,
    ).run(before, limit);
    return Number(result.changes);
  }

  /** Deletes up to `limit` rows of garbage versions. False when there was nothing left to do. */
  sweepSlice(limit: number): boolean {
    const garbage = this.#database.statement(
      `SELECT id FROM version WHERE kind = ${VersionKind.GARBAGE} AND ${SWEPT_KINDS} LIMIT 1`,
    ).get() as { id: number } | undefined;
    if (garbage === undefined) return false;
    const result = this.#database.statement(
      `DELETE FROM version_chunk WHERE version = ? AND idx IN
         (SELECT idx FROM version_chunk WHERE version = ? LIMIT ?)`,
    ).run(garbage.id, garbage.id, limit);
    if (Number(result.changes) < limit) {
      this.#database.statement(`DELETE FROM version WHERE id = ?`).run(garbage.id);
    }
    return true;
  }
}
