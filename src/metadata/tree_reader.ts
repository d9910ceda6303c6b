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

  /** Everything at and below an entry, directories before what is in them, names in order of bytes. */
  *walk(from: TreeEntry): Iterable<TreeEntry> {
    yield from;
    if ((from.mode & TYPE_MASK) !== DIRECTORY) return;
    const rows = this.#database.statement(
      `SELECT d.name, ${ATTRIBUTES} FROM dentry d JOIN inode i ON i.id = d.inode
       WHERE d.parent = ? ORDER BY d.name`,
    ).all(from.inode) as unknown as (Row & { name: Uint8Array })[];
    for (const { name, ...row } of rows) {
      yield* this.walk({ ...row, names: [...from.names, name], target: row.target ?? undefined });
    }
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
