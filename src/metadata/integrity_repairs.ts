/**
 * Makes rows right that follow from other rows: sums, counts, what waits for deletion. Never removes a
 * name, a version, a chunk or a pack. Runs on a database that nobody serves.
 */
import type { MetadataDatabase } from "./database.ts";

const CHARGE = "((m.length + 4095) / 4096 * 4096)";
const REGULAR = "(mode & 61440) = 32768";

/** By check (integrity_checks.ts): what makes it right, in this order. */
const REPAIRS: Record<string, string[]> = {
  links: [
    `UPDATE inode SET nlink = (SELECT count(*) FROM dentry d WHERE d.inode = inode.id)
     WHERE (mode & 61440) <> 16384
       AND nlink <> (SELECT count(*) FROM dentry d WHERE d.inode = inode.id)`,
    `UPDATE inode SET nlink = n.n FROM (SELECT i.id, CASE
         WHEN i.id <> 1 AND NOT EXISTS (SELECT 1 FROM dentry d WHERE d.inode = i.id) THEN 0
         ELSE 2 + (SELECT count(*) FROM dentry d JOIN inode c ON c.id = d.inode
                   WHERE d.parent = i.id AND (c.mode & 61440) = 16384) END AS n
       FROM inode i WHERE (i.mode & 61440) = 16384) n WHERE n.id = inode.id AND nlink <> n.n`,
  ],
  orphans: [
    "DELETE FROM orphan WHERE inode IN (SELECT id FROM inode WHERE nlink > 0)",
    `INSERT INTO orphan SELECT id FROM inode
     WHERE nlink = 0 AND id NOT IN (SELECT inode FROM orphan)`,
  ],
  sums: [
    `UPDATE inode SET allocated = s.a, resident = s.r, local = s.l FROM (SELECT i.id,
         coalesce(sum(${CHARGE}), 0) AS a, coalesce(sum(${CHARGE} * m.resident), 0) AS r,
         coalesce(sum(${CHARGE} * (m.inode IS NOT NULL AND m.chunk IS NULL)), 0) AS l
       FROM inode i LEFT JOIN map m ON m.inode = i.id WHERE (i.mode & 61440) = 32768
       GROUP BY i.id) s
     WHERE s.id = inode.id AND (allocated <> s.a OR resident <> s.r OR local <> s.l)`,
  ],
  references: [
    `UPDATE pack SET condemned = 0 WHERE condemned = 1 AND id IN (SELECT pack FROM chunk WHERE id IN
       (SELECT chunk FROM map UNION SELECT chunk FROM version_chunk))`,
    `UPDATE chunk SET refs = r.n FROM (SELECT c.id, coalesce(n, 0) AS n FROM chunk c LEFT JOIN
         (SELECT chunk, count(*) AS n FROM (SELECT chunk FROM map WHERE chunk IS NOT NULL
            UNION ALL SELECT chunk FROM version_chunk) GROUP BY chunk) x ON x.chunk = c.id) r
     WHERE r.id = chunk.id AND refs <> r.n`,
  ],
  packs: [
    `UPDATE pack SET live_chunks = s.n, live_bytes = s.b,
       dead_at = CASE WHEN s.n > 0 THEN NULL ELSE (SELECT sequence FROM total) END,
       condemned = CASE WHEN s.n > 0 THEN 0 ELSE condemned END
     FROM (SELECT p.id, count(c.id) AS n, coalesce(sum(c.stored), 0) AS b FROM pack p
       LEFT JOIN chunk c ON c.pack = p.id AND c.refs > 0 GROUP BY p.id) s
     WHERE s.id = pack.id AND (live_chunks <> s.n OR live_bytes <> s.b
       OR (s.n > 0 AND dead_at IS NOT NULL))`,
  ],
  totals: [
    `UPDATE total SET files = s.f, allocated = s.a, resident = s.r, local = s.l, dirty_files = s.d
     FROM (SELECT count(*) AS f, sum(allocated) AS a, sum(resident) AS r, sum(local) AS l,
       sum(dirty) AS d FROM inode) s`,
  ],
};

/** A clean file that is not what was saved is dirty: it will be saved as it is. */
const MARK_DIRTY = `UPDATE inode SET dirty = 1 WHERE id = ? AND ${REGULAR}`;

export class IntegrityRepairs {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /**
   * Makes right what the named checks found, in one transaction. `unsaved`: files that are marked clean,
   * and are not what was saved. Answers what was done, for people.
   */
  repair(checks: ReadonlySet<string>, unsaved: readonly number[]): string[] {
    const done: string[] = [];
    this.#database.transaction(() => {
      // Triggers carry on from what is there: totals and packs first, so that they start from the truth.
      this.#apply("totals");
      this.#apply("packs");
      for (const name of Object.keys(REPAIRS)) {
        const rows = this.#apply(name);
        if (checks.has(name)) done.push(`${name}: made right (${rows} rows)`);
      }
      for (const inode of unsaved) this.#database.statement(MARK_DIRTY).run(inode);
      if (unsaved.length > 0) done.push(`clean: ${unsaved.length} files will be saved again`);
    });
    return done;
  }

  #apply(name: string): number {
    let rows = 0;
    for (const sql of REPAIRS[name]) rows += Number(this.#database.statement(sql).run().changes);
    return rows;
  }

  /** Resident chunks from `length` on whose bytes are gone, and that the bucket holds, are evicted. Answers how many. */
  evictMissing(inode: number, length: number): number {
    return this.#database.transaction(() => {
      const { value: size } = this.#database.statement(
        "SELECT value FROM setting WHERE name = 'chunk_size'",
      ).get() as { value: number };
      const result = this.#database.statement(
        `UPDATE map SET resident = 0 WHERE inode = ? AND resident = 1 AND idx * ? + length > ?
           AND chunk IN (SELECT c.id FROM chunk c JOIN pack p ON p.id = c.pack
             WHERE p.verified = 1 AND c.lost = 0 AND c.length >= map.length)`,
      ).run(inode, size, length);
      this.#database.statement(
        `UPDATE inode SET resident = coalesce((SELECT sum${CHARGE} FROM map m
           WHERE m.inode = inode.id AND m.resident = 1), 0),
           incarnation = max(1, incarnation) WHERE id = ?`,
      ).run(inode);
      return Number(result.changes);
    });
  }
}
