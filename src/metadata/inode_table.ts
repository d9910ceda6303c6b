/**
 * The `inode` table. Owns its SQL and the order of its columns; knows nothing of caching. Callers
 * hold records (`InodeRow`), whose fields are the columns, and write them back by kind: attributes,
 * content, or both.
 */
import type { Timestamp } from "../runtime/clock.ts";
import type { MetadataDatabase, Statement } from "./database.ts";
import { LISTED } from "./logged_statement.ts";

/** One row. Field meanings and units: `inode` in schema.ts. */
export interface InodeRow {
  id: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  size: number;
  atimeS: number;
  atimeNs: number;
  mtimeS: number;
  mtimeNs: number;
  ctimeS: number;
  ctimeNs: number;
  btimeS: number;
  btimeNs: number;
  target: Uint8Array | undefined;
  generation: number;
  incarnation: number;
  allocated: number;
  resident: number;
  local: number;
  dirty: boolean;
  changedMs: number;
  deadFrom: number | undefined;
  pinned: boolean;
}

/** What a new inode starts with; all its times are `time`. */
export interface NewInode {
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev?: number;
  size?: number;
  target?: Uint8Array;
  time: Timestamp;
  /** Of a regular file: when it came to be, as a change of its content. It is dirty then. */
  born?: { generation: number; changedMs: number };
}

/** The columns of an inode `i`, in the order that `decodeInode` reads. */
const INODE_COLUMNS = "i.id, i.mode, i.uid, i.gid, i.nlink, i.rdev, i.size, " +
  "i.atime_s, i.atime_ns, i.mtime_s, i.mtime_ns, i.ctime_s, i.ctime_ns, i.btime_s, i.btime_ns, " +
  "i.target, i.generation, i.incarnation, i.allocated, i.resident, i.local, i.dirty, " +
  "i.changed_ms, i.dead_from, i.pinned";

/** A row of INODE_COLUMNS, as SQLite gives it. */
type InodeTuple = readonly unknown[];

/** What stat(2) says of an inode `i`, in the order of AttributeTuple. Half the columns: each costs to hand over. */
export const ATTRIBUTE_COLUMNS =
  "i.id, i.mode, i.uid, i.gid, i.nlink, i.rdev, i.size, i.allocated, " +
  "i.atime_s, i.atime_ns, i.mtime_s, i.mtime_ns, i.ctime_s, i.ctime_ns";

/** A row that begins with ATTRIBUTE_COLUMNS. */
export type AttributeTuple = readonly [
  id: number,
  mode: number,
  uid: number,
  gid: number,
  nlink: number,
  rdev: number,
  size: number,
  allocated: number,
  atimeS: number,
  atimeNs: number,
  mtimeS: number,
  mtimeNs: number,
  ctimeS: number,
  ctimeNs: number,
  ...more: unknown[],
];

function decodeInode(tuple: InodeTuple): InodeRow {
  return {
    id: tuple[0] as number,
    mode: tuple[1] as number,
    uid: tuple[2] as number,
    gid: tuple[3] as number,
    nlink: tuple[4] as number,
    rdev: tuple[5] as number,
    size: tuple[6] as number,
    atimeS: tuple[7] as number,
    atimeNs: tuple[8] as number,
    mtimeS: tuple[9] as number,
    mtimeNs: tuple[10] as number,
    ctimeS: tuple[11] as number,
    ctimeNs: tuple[12] as number,
    btimeS: tuple[13] as number,
    btimeNs: tuple[14] as number,
    target: (tuple[15] as Uint8Array | null) ?? undefined,
    generation: tuple[16] as number,
    incarnation: tuple[17] as number,
    allocated: tuple[18] as number,
    resident: tuple[19] as number,
    local: tuple[20] as number,
    dirty: tuple[21] === 1,
    changedMs: tuple[22] as number,
    deadFrom: (tuple[23] as number | null) ?? undefined,
    pinned: tuple[24] === 1,
  };
}

export class InodeTable {
  readonly #select: Statement;
  readonly #insert: Statement;
  readonly #updateAttributes: Statement;
  readonly #updatePending: Statement;
  readonly #updateWhole: Statement;
  readonly #updateContent: Statement;
  readonly #deleteAll: Statement;

  constructor(database: MetadataDatabase) {
    this.#select = database.arrayStatement(`SELECT ${INODE_COLUMNS} FROM inode i WHERE i.id = ?`);
    this.#insert = database.statement(
      `INSERT INTO inode (mode, uid, gid, nlink, rdev, size, target,
         atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns,
         generation, changed_ms, dirty)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8, ?9, ?8, ?9, ?8, ?9, ?10, ?11, ?12)`,
    );
    const attributes = `mode = ?2, uid = ?3, gid = ?4, nlink = ?5, size = ?6, atime_s = ?7,
      atime_ns = ?8, mtime_s = ?9, mtime_ns = ?10, ctime_s = ?11, ctime_ns = ?12`;
    this.#updateAttributes = database.statement(`UPDATE inode SET ${attributes} WHERE id = ?1`);
    this.#updatePending = database.statement(
      `UPDATE inode SET ${attributes}, generation = ?13, dirty = ?14, changed_ms = ?15 WHERE id = ?1`,
    );
    this.#updateWhole = database.statement(
      `UPDATE inode SET ${attributes}, generation = ?13, dirty = ?14, changed_ms = ?15,
         incarnation = ?16, allocated = ?17, resident = ?18, local = ?19, dead_from = ?20, pinned = ?21
       WHERE id = ?1`,
    );
    this.#updateContent = database.statement(
      `UPDATE inode SET generation = ?2, incarnation = ?3, size = ?4, allocated = ?5, resident = ?6,
         local = ?7, dirty = ?8, changed_ms = ?9, dead_from = ?10, pinned = ?11 WHERE id = ?1`,
    );
    this.#deleteAll = database.statement(`DELETE FROM inode WHERE id IN ${LISTED}`);
  }

  get(id: number): InodeRow | undefined {
    const tuple = this.#select.get(id) as unknown as InodeTuple | undefined;
    return tuple === undefined ? undefined : decodeInode(tuple);
  }

  /** Adds a row and returns its id, which no inode ever had. */
  insert(inode: NewInode): number {
    const { seconds, nanoseconds } = inode.time;
    return this.#insert.run(
      inode.mode,
      inode.uid,
      inode.gid,
      inode.nlink,
      inode.rdev ?? 0,
      inode.size ?? 0,
      inode.target ?? null,
      seconds,
      nanoseconds,
      inode.born?.generation ?? 0,
      inode.born?.changedMs ?? 0,
      inode.born === undefined ? 0 : 1,
    ).lastInsertRowid as number;
  }

  /** Writes mode, owner, nlink, size and times. */
  updateAttributes(inode: InodeRow): void {
    this.#updateAttributes.run(
      inode.id,
      inode.mode,
      inode.uid,
      inode.gid,
      inode.nlink,
      inode.size,
      inode.atimeS,
      inode.atimeNs,
      inode.mtimeS,
      inode.mtimeNs,
      inode.ctimeS,
      inode.ctimeNs,
    );
  }

  /** The same with generation, dirty and changedMs: all that may be newer in memory than here. */
  updatePending(inode: InodeRow): void {
    this.#updatePending.run(
      inode.id,
      inode.mode,
      inode.uid,
      inode.gid,
      inode.nlink,
      inode.size,
      inode.atimeS,
      inode.atimeNs,
      inode.mtimeS,
      inode.mtimeNs,
      inode.ctimeS,
      inode.ctimeNs,
      inode.generation,
      inode.dirty ? 1 : 0,
      inode.changedMs,
    );
  }

  /** Writes all that can change: what `updatePending` and `updateContent` write, for the price of one. */
  updateWhole(inode: InodeRow): void {
    this.#updateWhole.run(
      inode.id,
      inode.mode,
      inode.uid,
      inode.gid,
      inode.nlink,
      inode.size,
      inode.atimeS,
      inode.atimeNs,
      inode.mtimeS,
      inode.mtimeNs,
      inode.ctimeS,
      inode.ctimeNs,
      inode.generation,
      inode.dirty ? 1 : 0,
      inode.changedMs,
      inode.incarnation,
      inode.allocated,
      inode.resident,
      inode.local,
      inode.deadFrom ?? null,
      inode.pinned ? 1 : 0,
    );
  }

  /** Writes what belongs to the content: generation, incarnation, size, sums, dirty, pin. */
  updateContent(inode: InodeRow): void {
    this.#updateContent.run(
      inode.id,
      inode.generation,
      inode.incarnation,
      inode.size,
      inode.allocated,
      inode.resident,
      inode.local,
      inode.dirty ? 1 : 0,
      inode.changedMs,
      inode.deadFrom ?? null,
      inode.pinned ? 1 : 0,
    );
  }

  deleteAll(ids: readonly number[]): void {
    this.#deleteAll.run(JSON.stringify(ids));
  }
}
