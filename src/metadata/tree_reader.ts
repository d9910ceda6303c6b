/**
 * Looks at a whole tree in a database that nobody changes: names in order, attributes, and where the
 * chunks of saved versions lie. Owns no state; for recovery and its drill.
 */
import { invariant } from "../domain/errors.ts";
import type { ChunkRecord } from "./chunk_table.ts";
import type { MetadataDatabase } from "./database.ts";

/** A name in the tree, with what can be seen of its inode. */
export interface TreeEntry {
  /** From the root down; empty for the root itself. */
  names: Uint8Array[];
  inode: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  size: number;
  mtimeS: number;
  mtimeNs: number;
  target: Uint8Array | undefined;
}

/** A chunk of a saved version: its place in the file, its valid bytes, and where they lie. */
export interface VersionPiece extends ChunkRecord {
  index: number;
  valid: number;
}

/** A chunk of a file as a cache shows it. */
export interface WorkingPiece {
  index: number;
  valid: number;
  /** Its bytes are in the content file. */
  resident: boolean;
  /** Undefined: only there. */
  bucket: VersionPiece | undefined;
}

export interface FileDetails {
  atimeS: number;
  atimeNs: number;
  /** Never the same for two contents of a file. */
  generation: number;
  /** Names the content file of a cache; 0: there is none. */
  incarnation: number;
}

export interface WalkOptions {
  leaving?: boolean;
  enter?: (directory: TreeEntry) => boolean;
}

/** Rows of a directory that are read at once. */
const PAGE_NAMES = 1000;
const ATTRIBUTES = "i.id AS inode, i.mode, i.uid, i.gid, i.nlink, i.rdev, i.size, " +
  "i.mtime_s AS mtimeS, i.mtime_ns AS mtimeNs, i.target";
const DIRECTORY = 0o040000;
const TYPE_MASK = 0o170000;

type Row = Omit<TreeEntry, "names" | "target"> & { target: Uint8Array | null };

export class TreeReader {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** The root, or what lies at a path below it; undefined where there is nothing. */
  at(names: Uint8Array[]): TreeEntry | undefined {
    let inode = 1;
    for (const name of names) {
      const row = this.#database.statement(
        "SELECT inode FROM dentry WHERE parent = ? AND name = ?",
      ).get(inode, name) as { inode: number } | undefined;
      if (row === undefined) return undefined;
      inode = row.inode;
    }
    const row = this.#database.statement(`SELECT ${ATTRIBUTES} FROM inode i WHERE i.id = ?`)
      .get(inode) as unknown as Row | undefined;
    invariant(row !== undefined, () => `inode ${inode} has a name and no row`);
    return { ...row, names, target: row.target ?? undefined };
  }

  /**
   * Everything at and below an entry, names in order of bytes: directories before what is in them, or
   * (`leaving`) directories alone, after those in them. `enter` says whether to go into a directory, and
   * is asked after it was given out. Holds a page of names per level, however large a directory is.
   */
  *walk(from: TreeEntry, options: WalkOptions = {}): Iterable<TreeEntry> {
    const leaving = options.leaving === true;
    if (!leaving) yield from;
    if ((from.mode & TYPE_MASK) !== DIRECTORY || options.enter?.(from) === false) return;
    const page = this.#database.statement(
      `SELECT d.name, ${ATTRIBUTES} FROM dentry d JOIN inode i ON i.id = d.inode
       WHERE d.parent = ? AND d.name > ? ${
        leaving ? `AND i.mode & ${TYPE_MASK} = ${DIRECTORY}` : ""
      } ORDER BY d.name LIMIT ${PAGE_NAMES}`,
    );
    // Every name is after the empty one.
    for (let after: Uint8Array = new Uint8Array();;) {
      const rows = page.all(from.inode, after) as unknown as (Row & { name: Uint8Array })[];
      for (const { name, ...row } of rows) {
        const target = row.target ?? undefined;
        yield* this.walk({ ...row, names: [...from.names, name], target }, options);
      }
      if (rows.length < PAGE_NAMES) break;
      after = rows[rows.length - 1].name;
    }
    if (leaving) yield from;
  }

  /** All names of an inode, each from the root down, in the order of the walk. */
  namesOf(inode: number): Uint8Array[][] {
    const rows = this.#database.statement("SELECT parent, name FROM dentry WHERE inode = ?")
      .all(inode) as unknown as { parent: number; name: Uint8Array }[];
    return rows.map(({ parent, name }) => [...this.#above(parent), name]).sort(compareNames);
  }

  /** The names that lead to a directory. */
  #above(directory: number): Uint8Array[] {
    const names: Uint8Array[] = [];
    const place = this.#database.statement("SELECT parent, name FROM dentry WHERE inode = ?");
    for (let at = directory; at !== 1;) {
      const row = place.get(at) as { parent: number; name: Uint8Array } | undefined;
      invariant(row !== undefined, () => `directory ${at} has no name`);
      names.unshift(row.name);
      at = row.parent;
    }
    return names;
  }

  /** What else there is to know of a regular file's content, and its access time. */
  details(inode: number): FileDetails {
    return this.#database.statement(
      `SELECT atime_s AS atimeS, atime_ns AS atimeNs, generation, incarnation
       FROM inode WHERE id = ?`,
    ).get(inode) as unknown as FileDetails;
  }

  /** Extended attributes of an inode, in order of names. */
  xattrs(inode: number): { name: Uint8Array; value: Uint8Array }[] {
    return this.#database.statement("SELECT name, value FROM xattr WHERE inode = ? ORDER BY name")
      .all(inode) as unknown as { name: Uint8Array; value: Uint8Array }[];
  }

  /** Chunks of a file's saved version, in order, after a place; at most `limit`. */
  pieces(inode: number, range: { after: number; limit: number }): VersionPiece[] {
    return this.#database.statement(
      `SELECT vc.idx AS "index", vc.length AS valid, c.id AS chunk, c.hash, p.name AS pack,
         p.version_id AS packVersion, c.ordinal, c.offset, c.stored, c.length, c.codec
       FROM version v JOIN version_chunk vc ON vc.version = v.id
         JOIN chunk c ON c.id = vc.chunk JOIN pack p ON p.id = c.pack
       WHERE v.inode = ? AND v.kind = 1 AND vc.idx > ? ORDER BY vc.idx LIMIT ?`,
    ).all(inode, range.after, range.limit) as unknown as VersionPiece[];
  }

  /** The same of what a cache shows: chunks that were never uploaded and those that are here, too. */
  working(inode: number, range: { after: number; limit: number }): WorkingPiece[] {
    const rows = this.#database.statement(
      `SELECT m.idx AS "index", m.length AS valid, m.resident, c.id AS chunk, c.hash,
         p.name AS pack, p.version_id AS packVersion, c.ordinal, c.offset, c.stored, c.length, c.codec
       FROM map m JOIN inode i ON i.id = m.inode
         LEFT JOIN chunk c ON c.id = m.chunk LEFT JOIN pack p ON p.id = c.pack
       WHERE m.inode = ? AND m.idx > ? AND (i.dead_from IS NULL OR m.idx < i.dead_from)
       ORDER BY m.idx LIMIT ?`,
    ).all(
      inode,
      range.after,
      range.limit,
    ) as unknown as (VersionPiece & { resident: number; chunk: number | null })[];
    return rows.map(({ resident, index, valid, ...rest }) => ({
      index,
      valid,
      resident: resident === 1,
      bucket: rest.chunk === null ? undefined : { index, valid, ...rest },
    }));
  }

  /** Up to `count` regular files that are not empty, chosen by `fraction` (0 to 1, once per file). */
  sample(count: number, fraction: () => number): number[] {
    const { last } = this.#database.statement("SELECT coalesce(max(id), 0) AS last FROM inode")
      .get() as { last: number };
    const chosen = new Set<number>();
    const next = this.#database.statement(
      `SELECT id FROM inode WHERE id >= ? AND mode & ${TYPE_MASK} = 32768 AND allocated > 0
       ORDER BY id LIMIT 1`,
    );
    for (let tries = 0; tries < 4 * count && chosen.size < count; tries++) {
      const row = next.get(1 + Math.floor(fraction() * last)) as { id: number } | undefined;
      if (row !== undefined) chosen.add(row.id);
    }
    return [...chosen];
  }
}

/** In the order of a walk: name by name, each as bytes; what is shorter comes first. */
export function compareNames(a: Uint8Array[], b: Uint8Array[]): number {
  for (let level = 0; level < Math.min(a.length, b.length); level++) {
    const order = compareBytes(a[level], b[level]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}
