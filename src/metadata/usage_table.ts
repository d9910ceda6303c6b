/**
 * What was used when (`history.usage`), and so the order in which content may go. Owns a batch in
 * memory, because a use must not cost a transaction; at a crash the batch is lost, which costs
 * nothing but exactness. Nothing here is ever shipped or needed to read a file.
 */
import type { MetadataDatabase, Statement } from "./database.ts";

/** A file with resident bytes. */
export interface UsageCandidate {
  inode: number;
  /** Wall clock, milliseconds. */
  lastUsedMs: number;
}

/** The batch's news of one inode; `resident` undefined: as the inode row says. Undefined news: forget it. */
interface News {
  lastUsedMs: number;
  resident: boolean | undefined;
}

export class UsageTable {
  readonly #database: MetadataDatabase;
  readonly #batch = new Map<number, News | undefined>();
  readonly #use: Statement;
  readonly #set: Statement;
  readonly #delete: Statement;
  readonly #get: Statement;
  readonly #candidates: Statement;
  #refillAfter: number | undefined;

  constructor(database: MetadataDatabase) {
    this.#database = database;
    this.#refillAfter = database.historyComplete ? undefined : 0;
    this.#use = database.statement(
      `INSERT INTO history.usage (inode, last_used_ms, resident)
       SELECT ?1, ?2, resident > 0 FROM main.inode WHERE id = ?1
       ON CONFLICT (inode) DO UPDATE SET last_used_ms = max(last_used_ms, excluded.last_used_ms)`,
    );
    this.#set = database.statement(
      `INSERT INTO history.usage (inode, last_used_ms, resident) VALUES (?1, ?2, ?3)
       ON CONFLICT (inode) DO UPDATE SET
         last_used_ms = max(last_used_ms, excluded.last_used_ms), resident = excluded.resident`,
    );
    this.#delete = database.statement("DELETE FROM history.usage WHERE inode = ?");
    this.#get = database.arrayStatement("SELECT last_used_ms FROM history.usage WHERE inode = ?");
    this.#candidates = database.statement(
      `SELECT inode, last_used_ms AS lastUsedMs FROM history.usage
       WHERE resident = 1 AND (last_used_ms, inode) > (?, ?) ORDER BY last_used_ms, inode LIMIT ?`,
    );
  }

  /** Somebody used the file. */
  record(inode: number, lastUsedMs: number): void {
    const news = this.#batch.get(inode);
    if (news === undefined && this.#batch.has(inode)) return;
    if (news === undefined) this.#batch.set(inode, { lastUsedMs, resident: undefined });
    else if (lastUsedMs > news.lastUsedMs) news.lastUsedMs = lastUsedMs;
  }

  /** The file has resident bytes from now on, or has none any more. */
  setResident(inode: number, resident: boolean, lastUsedMs: number): void {
    const news = this.#batch.get(inode);
    if (news === undefined && this.#batch.has(inode)) return;
    const latestMs = Math.max(news?.lastUsedMs ?? lastUsedMs, lastUsedMs);
    this.#batch.set(inode, { lastUsedMs: latestMs, resident });
  }

  /** The inode is gone: whatever is said of it later does not count. */
  remove(inode: number): void {
    this.#batch.set(inode, undefined);
  }

  /** Inodes whose news are only in memory. */
  get unflushed(): number {
    return this.#batch.size;
  }

  /** Writes up to `limit` inodes' news in one transaction; returns how many. On an error they stay in memory. */
  flush(limit = Infinity): number {
    if (this.#batch.size === 0) return 0;
    const written: number[] = [];
    this.#database.transaction(() => {
      for (const [inode, news] of this.#batch) {
        if (written.length >= limit) break;
        if (news === undefined) this.#delete.run(inode);
        else if (news.resident === undefined) this.#use.run(inode, Math.floor(news.lastUsedMs));
        else this.#set.run(inode, Math.floor(news.lastUsedMs), news.resident ? 1 : 0);
        written.push(inode);
      }
    });
    for (const inode of written) this.#batch.delete(inode);
    return written.length;
  }

  /** Wall clock, milliseconds, of the last use; undefined where nothing is known. */
  lastUsed(inode: number): number | undefined {
    if (this.#batch.has(inode)) return this.#batch.get(inode)?.lastUsedMs;
    return (this.#get.get(inode) as unknown as [number] | undefined)?.[0];
  }

  /**
   * Files with resident bytes, least recently used first, after the given place. Flushes the batch
   * first, so that the order is true. A file may have changed since: look at its inode.
   */
  candidates(
    { limit, after }: { limit: number; after?: UsageCandidate },
  ): UsageCandidate[] {
    this.flush();
    const { lastUsedMs, inode } = after ?? { lastUsedMs: Number.MIN_SAFE_INTEGER, inode: 0 };
    return this.#candidates.all(lastUsedMs, inode, limit) as unknown as UsageCandidate[];
  }

  /** True while rows may be missing, because history was lost or the last end was not clean. */
  get needsRefill(): boolean {
    return this.#refillAfter !== undefined;
  }

  /**
   * Adds what is missing for the next `limit` inodes that have resident bytes or not; returns true
   * when all have been seen. Call it slice by slice. A refilled file counts as last used when its
   * content last changed. (That a file has no resident bytes any more is for whoever meets it among
   * the candidates to say, with `setResident`.)
   */
  refill({ limit }: { limit: number }): boolean {
    const after = this.#refillAfter;
    if (after === undefined) return true;
    const last = this.#database.transaction(() => {
      this.#database.statement(
        `INSERT INTO history.usage (inode, last_used_ms, resident)
         SELECT id, max(changed_ms, btime_s * 1000), 1 FROM
           (SELECT * FROM main.inode WHERE id > ?1 ORDER BY id LIMIT ?2) WHERE resident > 0
         ON CONFLICT (inode) DO UPDATE SET resident = 1`,
      ).run(after, limit);
      const row = this.#database.arrayStatement(
        "SELECT max(id), count(*) FROM (SELECT id FROM main.inode WHERE id > ?1 ORDER BY id LIMIT ?2)",
      ).get(after, limit);
      const [id, count] = row as unknown as [number | null, number];
      return count < limit ? undefined : id as number;
    });
    if (last === undefined) this.#database.historyRefilled();
    this.#refillAfter = last;
    return last === undefined;
  }
}
