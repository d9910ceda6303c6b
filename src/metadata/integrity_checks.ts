/**
 * What must hold of the rows of `metadata.db`, as questions to SQLite: each answers the rows where it
 * does not hold. Owns that list; reads only. Questions by range look at a bounded piece in one
 * statement, so they can be asked of a database that is in use; the others need it at rest.
 */
import { printName } from "../domain/name_text.ts";
import type { MetadataDatabase } from "./database.ts";
import { VersionKind } from "./schema.ts";

/** A place where something does not hold. */
export interface RowFault {
  /** The inode, chunk, pack or version that it is about; undefined for the database as a whole. */
  id: number | undefined;
  /** For people. */
  what: string;
}

export interface RowCheck {
  name: string;
  /** What holds, for people. */
  title: string;
  /** Table whose ids a range runs over; undefined: one question to the database at rest. */
  table: "inode" | "chunk" | "pack" | "version" | undefined;
  /** Rows `id` and `what`. `?1 < id <= ?2` where there is a table. */
  sql: string;
  /** Can be made right from other rows (integrity_repairs.ts). */
  repairable: boolean;
}

const DIRECTORY = "(i.mode & 61440) = 16384";
const REGULAR = "(i.mode & 61440) = 32768";
const CHARGE = "((m.length + 4095) / 4096 * 4096)";

/** Sums of an inode as its map rows say them. */
const sumOf = (factor: string) =>
  `coalesce((SELECT sum(${CHARGE} * (${factor})) FROM map m WHERE m.inode = i.id), 0)`;

export const ROW_CHECKS: readonly RowCheck[] = [
  {
    name: "links",
    title: "the link count of an inode is the number of its names",
    table: "inode",
    sql: `SELECT i.id, 'nlink is ' || i.nlink || ', its names make it ' || n.n AS what
      FROM inode i JOIN (SELECT i.id, CASE
          WHEN NOT ${DIRECTORY} THEN (SELECT count(*) FROM dentry d WHERE d.inode = i.id)
          WHEN i.id <> 1 AND NOT EXISTS (SELECT 1 FROM dentry d WHERE d.inode = i.id) THEN 0
          ELSE 2 + (SELECT count(*) FROM dentry d JOIN inode c ON c.id = d.inode
                    WHERE d.parent = i.id AND (c.mode & 61440) = 16384) END AS n
        FROM inode i WHERE i.id > ?1 AND i.id <= ?2) n ON n.id = i.id
      WHERE i.nlink <> n.n`,
    repairable: true,
  },
  {
    name: "orphans",
    title: "exactly the inodes without a name wait for their deletion",
    table: "inode",
    sql: `SELECT i.id, CASE WHEN i.nlink = 0 THEN 'has no name and does not wait for deletion'
          ELSE 'has a name and waits for deletion' END AS what
      FROM inode i WHERE i.id > ?1 AND i.id <= ?2
        AND (i.nlink = 0) <> EXISTS (SELECT 1 FROM orphan o WHERE o.inode = i.id)`,
    repairable: true,
  },
  {
    name: "directories",
    title: "a directory has one name, and only directories hold names",
    table: "inode",
    sql: `SELECT i.id, CASE WHEN ${DIRECTORY} THEN 'a directory with several names'
          ELSE 'not a directory, and holds names' END AS what
      FROM inode i WHERE i.id > ?1 AND i.id <= ?2 AND CASE WHEN ${DIRECTORY}
        THEN (SELECT count(*) FROM dentry d WHERE d.inode = i.id) > (i.id <> 1)
        ELSE EXISTS (SELECT 1 FROM dentry d WHERE d.parent = i.id) END`,
    repairable: false,
  },
  {
    name: "sums",
    title: "the sums of an inode are those of its chunks",
    table: "inode",
    sql:
      `SELECT s.id, 'allocated, resident, local are ' || s.allocated || ', ' || s.resident || ', ' ||
          s.local || '; its chunks make ' || a || ', ' || r || ', ' || l AS what
      FROM (SELECT i.id, i.allocated, i.resident, i.local, ${sumOf("1")} AS a,
          ${sumOf("m.resident")} AS r, ${sumOf("m.chunk IS NULL")} AS l
        FROM inode i WHERE i.id > ?1 AND i.id <= ?2 AND ${REGULAR}) s
      WHERE s.allocated <> a OR s.resident <> r OR s.local <> l`,
    repairable: true,
  },
  {
    name: "chunks",
    title: "every chunk of a file lies within the file and within its stored length",
    table: "inode",
    sql: `SELECT i.id, 'chunk ' || m.idx || ' of ' || m.length || ' bytes ' || CASE
          WHEN NOT ${REGULAR} THEN 'in what is no file'
          WHEN m.length > s.value THEN 'is longer than a chunk'
          WHEN c.id IS NULL THEN 'has bytes nowhere'
          WHEN m.length > c.length THEN 'is longer than what is stored'
          ELSE 'lies beyond the end of the file' END AS what
      FROM inode i JOIN map m ON m.inode = i.id JOIN setting s ON s.name = 'chunk_size'
        LEFT JOIN chunk c ON c.id = m.chunk
      WHERE i.id > ?1 AND i.id <= ?2 AND (NOT ${REGULAR} OR m.length > s.value
        OR (m.chunk IS NOT NULL AND c.id IS NULL) OR (m.resident = 0 AND m.length > c.length)
        OR (m.idx * s.value >= i.size AND i.dead_from IS NULL))`,
    repairable: false,
  },
  {
    name: "evicted",
    title: "what is evicted was confirmed in a pack that was looked up",
    table: "inode",
    sql: `SELECT i.id, 'chunk ' || m.idx || CASE
          WHEN p.id IS NULL THEN ' is evicted and in no pack'
          WHEN c.lost = 1 THEN ' is evicted, and the bucket lost it'
          ELSE ' is evicted, and its pack was never looked up' END AS what
      FROM inode i JOIN map m ON m.inode = i.id AND m.resident = 0
        LEFT JOIN chunk c ON c.id = m.chunk LEFT JOIN pack p ON p.id = c.pack
      WHERE i.id > ?1 AND i.id <= ?2 AND (p.id IS NULL OR p.verified = 0 OR c.lost = 1)`,
    repairable: false,
  },
  {
    name: "clean",
    title: "a clean file is what its saved version says",
    table: "inode",
    sql: `SELECT i.id, CASE WHEN i.local > 0 THEN 'clean, and holds bytes that are nowhere else'
          WHEN v.id IS NULL THEN 'clean, and nothing of it is saved'
          WHEN v.size <> i.size THEN 'clean with ' || i.size || ' bytes, saved with ' || v.size
          ELSE 'clean, and its chunks are not the saved ones' END AS what
      FROM inode i LEFT JOIN version v ON v.inode = i.id AND v.kind = ${VersionKind.SAVED}
      WHERE i.id > ?1 AND i.id <= ?2 AND ${REGULAR} AND i.dirty = 0 AND i.nlink > 0
        AND (i.local > 0 OR v.id IS NULL OR v.size <> i.size
          OR EXISTS (SELECT idx, chunk, length FROM map m WHERE m.inode = i.id
            EXCEPT SELECT idx, chunk, length FROM version_chunk c WHERE c.version = v.id)
          OR EXISTS (SELECT idx, chunk, length FROM version_chunk c WHERE c.version = v.id
            EXCEPT SELECT idx, chunk, length FROM map m WHERE m.inode = i.id))`,
    repairable: true,
  },
  {
    name: "versions",
    title: "the chunks of a version exist and are long enough",
    table: "version",
    sql: `SELECT v.id, 'chunk ' || x.idx || CASE WHEN c.id IS NULL THEN ' does not exist'
          WHEN p.id IS NULL THEN ' is in no pack' WHEN c.lost = 1 THEN ' was lost by the bucket'
          ELSE ' is longer than what is stored' END AS what
      FROM version v JOIN version_chunk x ON x.version = v.id LEFT JOIN chunk c ON c.id = x.chunk
        LEFT JOIN pack p ON p.id = c.pack
      WHERE v.id > ?1 AND v.id <= ?2 AND v.kind BETWEEN 1 AND 3
        AND (c.id IS NULL OR p.id IS NULL OR c.lost = 1 OR x.length > c.length)`,
    repairable: false,
  },
  {
    name: "packs",
    title: "what a pack says of its referenced chunks is so",
    table: "pack",
    sql: `SELECT p.id, 'live chunks ' || p.live_chunks || ', bytes ' || p.live_bytes ||
          '; its chunks make ' || n || ', ' || b AS what
      FROM (SELECT p.id, p.live_chunks, p.live_bytes, p.dead_at,
          (SELECT count(*) FROM chunk c WHERE c.pack = p.id AND c.refs > 0) AS n,
          coalesce((SELECT sum(c.stored) FROM chunk c WHERE c.pack = p.id AND c.refs > 0), 0) AS b
        FROM pack p WHERE p.id > ?1 AND p.id <= ?2) p
      WHERE p.live_chunks <> n OR p.live_bytes <> b OR (n > 0 AND p.dead_at IS NOT NULL)`,
    repairable: true,
  },
  {
    name: "references",
    title: "a chunk is referred to as often as it says",
    table: undefined,
    sql:
      `SELECT c.id, 'refs is ' || c.refs || ', ' || coalesce(r.n, 0) || ' rows refer to it' AS what
      FROM chunk c LEFT JOIN (SELECT chunk, count(*) AS n FROM
          (SELECT chunk FROM map WHERE chunk IS NOT NULL UNION ALL SELECT chunk FROM version_chunk)
        GROUP BY chunk) r ON r.chunk = c.id
      WHERE c.refs <> coalesce(r.n, 0)`,
    repairable: true,
  },
  {
    name: "totals",
    title: "the totals are the sums over all inodes",
    table: undefined,
    sql: `SELECT NULL AS id, 'files, allocated, resident, local, dirty are ' || files || ', ' ||
          t.allocated || ', ' || t.resident || ', ' || t.local || ', ' || dirty_files ||
          '; the inodes make ' || f || ', ' || a || ', ' || r || ', ' || l || ', ' || d AS what
      FROM total t JOIN (SELECT count(*) AS f, sum(allocated) AS a, sum(resident) AS r,
        sum(local) AS l, sum(dirty) AS d FROM inode)
      WHERE files <> f OR t.allocated <> a OR t.resident <> r OR t.local <> l OR dirty_files <> d`,
    repairable: true,
  },
  {
    name: "reachable",
    title: "every directory can be reached from the root",
    table: undefined,
    sql: `WITH RECURSIVE reached (id) AS (SELECT 1 UNION
        SELECT d.inode FROM reached r JOIN dentry d ON d.parent = r.id
          JOIN inode i ON i.id = d.inode WHERE ${DIRECTORY})
      SELECT i.id, 'a directory that no path leads to' AS what FROM inode i
      WHERE ${DIRECTORY} AND i.nlink > 0 AND i.id NOT IN reached`,
    repairable: false,
  },
];

/** Problems named by one check, at most; the others are counted by their absence from a repair only. */
const NAMED = 1000;

export class IntegrityChecks {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** The highest id of a table; 0 where it is empty. */
  highest(table: NonNullable<RowCheck["table"]>): number {
    const row = this.#database.statement(`SELECT coalesce(max(id), 0) AS id FROM ${table}`).get();
    return (row as { id: number }).id;
  }

  /** Faults of a check in (from, until] of its table; of one without a table, everywhere. */
  ask(check: RowCheck, range: { from: number; until: number }): RowFault[] {
    const statement = this.#database.statement(`${check.sql} LIMIT ${NAMED}`);
    const rows = check.table === undefined
      ? statement.all()
      : statement.all(range.from, range.until);
    return (rows as { id: number | null; what: string }[])
      .map(({ id, what }) => ({ id: id ?? undefined, what }));
  }

  /** SQLite's own look at both files, and references to rows that do not exist. Long; for a database at rest. */
  askSqlite(): RowFault[] {
    const faults: RowFault[] = [];
    const lines = this.#database.statement(`PRAGMA main.integrity_check(${NAMED})`).all() as {
      integrity_check: string;
    }[];
    for (const { integrity_check: what } of lines) {
      if (what !== "ok") faults.push({ id: undefined, what });
    }
    const foreign = this.#database.statement("PRAGMA main.foreign_key_check").all() as {
      table: string;
      rowid: number | null;
      parent: string;
    }[];
    for (const { table, rowid, parent } of foreign.slice(0, NAMED)) {
      const row = rowid === null ? "a row" : `row ${rowid}`;
      faults.push({
        id: undefined,
        what: `${row} of ${table} refers to a ${parent} that is not there`,
      });
    }
    return faults;
  }

  /** Names that refer to a parent or an inode are checked by `foreign_key_check`; what waits, for people. */
  counts(): { inodes: number; chunks: number; packs: number; orphans: number; lost: number } {
    return this.#database.statement(
      `SELECT (SELECT count(*) FROM inode) AS inodes, (SELECT count(*) FROM chunk) AS chunks,
         (SELECT count(*) FROM pack) AS packs, (SELECT count(*) FROM orphan) AS orphans,
         (SELECT count(*) FROM chunk WHERE lost = 1) AS lost`,
    ).get() as { inodes: number; chunks: number; packs: number; orphans: number; lost: number };
  }

  /** Files with resident rows: which content file, and up to where its bytes are needed. */
  residentFiles(range: { from: number; until: number }): {
    inode: number;
    incarnation: number;
    bytes: number;
    chunkSize: number;
  }[] {
    return this.#database.statement(
      `SELECT i.id AS inode, i.incarnation, max(m.idx * s.value + m.length) AS bytes, s.value AS chunkSize
       FROM inode i JOIN map m ON m.inode = i.id AND m.resident = 1
         JOIN setting s ON s.name = 'chunk_size'
       WHERE i.id > ? AND i.id <= ? AND i.resident > 0 GROUP BY i.id`,
    ).all(range.from, range.until) as {
      inode: number;
      incarnation: number;
      bytes: number;
      chunkSize: number;
    }[];
  }

  /** The incarnation of an inode; undefined where there is no such inode. */
  incarnation(inode: number): number | undefined {
    const row = this.#database.statement("SELECT incarnation FROM inode WHERE id = ?").get(inode);
    return (row as { incarnation: number } | undefined)?.incarnation;
  }

  /** One path of an inode, names from the root; undefined where there is none. */
  pathOf(inode: number): Uint8Array[] | undefined {
    const names: Uint8Array[] = [];
    for (let at = inode; at !== 1;) {
      const place = this.#database.statement(
        "SELECT parent, name FROM dentry WHERE inode = ? LIMIT 1",
      ).get(at) as { parent: number; name: Uint8Array } | undefined;
      // Directories may form a cycle: that is what is being looked for.
      if (place === undefined || names.length > 4096) return undefined;
      names.push(place.name);
      at = place.parent;
    }
    return names.reverse();
  }

  /** The same for people, from the root of the mount. */
  printedPathOf(inode: number): string | undefined {
    const names = this.pathOf(inode);
    return names === undefined ? undefined : `/${names.map(printName).join("/")}`;
  }
}
