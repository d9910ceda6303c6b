/**
 * Looks at a cache that nobody serves, from outside: is the database whole, are its sums exact, and is
 * everything that is not local in the directory that plays the bucket? Works on a copy, because the
 * first to open a database after a crash changes it.
 */
import { DatabaseSync } from "node:sqlite";

export interface Audit {
  /** What is wrong; empty when nothing is. */
  faults: string[];
  evictedChunks: number;
  residentChunks: number;
  files: number;
}

/** Copies the database and its log, as a crash has left them, and looks. */
export async function auditCache(cache: string, storeDirectory: string): Promise<Audit> {
  const directory = await Deno.makeTempDir({ prefix: "zero-audit-" });
  try {
    for (const name of ["metadata.db", "metadata.db-wal"]) {
      try {
        await Deno.copyFile(`${cache}/${name}`, `${directory}/${name}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    const database = new DatabaseSync(`${directory}/metadata.db`);
    try {
      return audit(database, storeDirectory);
    } finally {
      database.close();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Rows of each question are faults. */
const QUESTIONS: { what: string; sql: string }[] = [
  { what: "a dangling reference", sql: "PRAGMA foreign_key_check" },
  {
    what: "sums of an inode that are not those of its map",
    sql: `SELECT i.id, i.allocated, i.resident, i.local, m.* FROM inode i JOIN (
      SELECT inode, sum((length + 4095) / 4096 * 4096) AS a,
        sum(iif(resident, (length + 4095) / 4096 * 4096, 0)) AS r,
        sum(iif(chunk IS NULL, (length + 4095) / 4096 * 4096, 0)) AS l FROM map GROUP BY inode
    ) m ON m.inode = i.id WHERE i.allocated <> m.a OR i.resident <> m.r OR i.local <> m.l`,
  },
  {
    what: "sums of an inode without a map",
    sql: `SELECT id, allocated FROM inode
      WHERE allocated > 0 AND NOT EXISTS (SELECT 1 FROM map WHERE inode = id)`,
  },
  {
    what: "total",
    sql: `SELECT t.*, s.* FROM total t, (SELECT count(*) AS f, sum(allocated) AS a,
      sum(resident) AS r, sum(local) AS l, sum(dirty) AS d FROM inode) s
      WHERE t.files <> s.f OR t.allocated <> s.a OR t.resident <> s.r OR t.local <> s.l
        OR t.dirty_files <> s.d`,
  },
  {
    what: "a chunk's references",
    sql: `SELECT id, refs FROM chunk c WHERE refs <>
      (SELECT count(*) FROM map WHERE chunk = c.id) +
      (SELECT count(*) FROM version_chunk WHERE chunk = c.id)`,
  },
  {
    what: "a clean file with local content",
    sql: "SELECT id FROM inode WHERE dirty = 0 AND local > 0",
  },
  {
    what: "a chunk evicted from a pack that was never verified",
    sql:
      `SELECT m.inode, m.idx FROM map m JOIN chunk c ON c.id = m.chunk JOIN pack p ON p.id = c.pack
      WHERE m.resident = 0 AND p.verified = 0`,
  },
  {
    what: "an inode with the wrong number of names",
    sql: `SELECT i.id, i.nlink FROM inode i WHERE i.mode & 61440 <> 16384
      AND i.nlink <> (SELECT count(*) FROM dentry d WHERE d.inode = i.id)`,
  },
];

function audit(database: DatabaseSync, storeDirectory: string): Audit {
  const faults: string[] = [];
  const integrity = database.prepare("PRAGMA integrity_check").all() as {
    integrity_check: string;
  }[];
  if (integrity.length !== 1 || integrity[0].integrity_check !== "ok") {
    faults.push(`integrity_check: ${JSON.stringify(integrity.slice(0, 3))}`);
  }
  for (const { what, sql } of QUESTIONS) {
    for (
      const row of database.prepare(`${sql} LIMIT 5`.replace(/^(PRAGMA .*) LIMIT 5$/, "$1")).all()
    ) {
      faults.push(`${what}: ${JSON.stringify(row)}`);
    }
  }
  const objects = packObjects(storeDirectory);
  const packs = database.prepare(
    `SELECT DISTINCT p.name, p.bytes FROM map m JOIN chunk c ON c.id = m.chunk
     JOIN pack p ON p.id = c.pack`,
  ).all() as { name: Uint8Array; bytes: number }[];
  for (const { name, bytes } of packs) {
    const hex = [...name].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const length = objects.get(hex);
    if (length !== bytes) {
      faults.push(`pack ${hex} of ${bytes} bytes is ${length ?? "not"} in the bucket`);
    }
  }
  const count = (where: string) =>
    Number(database.prepare(`SELECT count(*) AS n FROM ${where}`).get()!.n);
  return {
    faults,
    evictedChunks: count("map WHERE resident = 0"),
    residentChunks: count("map WHERE resident = 1"),
    files: count("inode WHERE mode & 61440 = 32768"),
  };
}

/** Name of each pack in the bucket → length of its object. */
function packObjects(storeDirectory: string): Map<string, number> {
  const found = new Map<string, number>();
  const visit = (path: string) => {
    for (const entry of Deno.readDirSync(path)) {
      const below = `${path}/${entry.name}`;
      if (entry.isDirectory) visit(below);
      else {
        const name = /^([0-9a-f]{32})@/.exec(entry.name)?.[1];
        if (name !== undefined) found.set(name, Deno.statSync(below).size);
      }
    }
  };
  visit(storeDirectory);
  return found;
}
