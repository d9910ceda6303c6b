/**
 * What was used when (`history.usage`), and where the policy has put each file that has resident
 * bytes: the queues from which content leaves. Owns a batch in memory, because a use must not cost a
 * transaction; at a crash the batch is lost, which costs nothing but exactness. Whoever knows the
 * policy says class and rank (`sort`); every change of a file makes it unsorted again. Nothing here is
 * ever shipped or needed to read a file.
 */
import { DEFAULT_HALF_LIFE_MS, heatAfterUse } from "../domain/heat.ts";
import type { MetadataDatabase, Statement } from "./database.ts";
import { LISTED } from "./logged_statement.ts";
import { UsageClass } from "./schema.ts";

/** A place in a queue. */
export interface QueuePlace {
  rank: number;
  inode: number;
}

/**
 * How far a walk over what is to be sorted has come. It grows with every page, and what it walks over
 * was settled when it began: so it comes to an end whatever changes meanwhile, which the next one finds.
 */
export interface SortPlace {
  /** News that were in memory when it began and are not written yet. */
  news: number;
  /** Up to when, wall clock, milliseconds, a file's time counts as having come. */
  dueMs: number;
  /** The last changed file that was looked at; undefined once all were. */
  changed: number | undefined;
  /** The last of those whose time has come. */
  woken: { wakeMs: number; inode: number };
}

/** Where a file goes, by what was known of it at `stamp`. */
export interface SortedFile {
  inode: number;
  stamp: number;
  class: UsageClass;
  rank: number;
  /** Wall clock, milliseconds; undefined: only a change can move it. */
  wakeMs: number | undefined;
  /**
   * That it leaves whole until then follows from its class: by the rule of this number, from 1; 0: by
   * none. Undefined: whoever chooses it has to ask its facts.
   */
  settled?: number;
}

/** A file of a queue, as it was sorted. */
export interface QueueRow extends QueuePlace {
  bytes: number;
  stamp: number;
  /** As `SortedFile`, where it still holds; null: ask its facts. */
  settled: number | null;
}

/** Sums of one class. Bytes are charges, as of when each file was sorted. */
export interface ClassTally {
  class: UsageClass;
  files: number;
  bytes: number;
}

/** The batch's news of one inode. Undefined news: forget it. */
interface News {
  uses: number[];
  /** Undefined: as the inode row says. */
  resident: boolean | undefined;
  recalled: { atMs: number; by: string } | undefined;
}

interface UsageRow {
  last_used_ms: number;
  heat: number;
  heat_at_ms: number;
  uses: Uint8Array;
  since_ms: number;
  recalled_by: string | null;
}

/** Times of uses that are kept per file. */
const USES_KEPT = 32;
/** Rows that are deleted together at the price of one that is written. */
const GONE_FOR_ONE = 8;

export class UsageTable {
  readonly #database: MetadataDatabase;
  readonly #batch = new Map<number, News | undefined>();
  readonly #file: Statement;
  readonly #get: Statement;
  readonly #put: Statement;
  readonly #deleteAll: Statement;
  readonly #changed: Statement;
  readonly #woken: Statement;
  readonly #sort: Statement;
  readonly #queue: Statement;
  #refillAfter: number | undefined;
  /** In which heat halves, milliseconds. */
  halfLifeMs = DEFAULT_HALF_LIFE_MS;
  /** Something became unsorted that was written down. */
  onUnsorted: () => void = () => {};

  constructor(database: MetadataDatabase) {
    this.#database = database;
    this.#refillAfter = database.historyComplete ? undefined : 0;
    this.#file = database.statement(
      `SELECT btime_s * 1000 + btime_ns / 1000000 AS created, resident > 0 AS resident
       FROM main.inode WHERE id = ? AND mode & 61440 = 32768`,
    );
    this.#get = database.statement("SELECT * FROM history.usage WHERE inode = ?");
    this.#put = database.statement(
      `INSERT INTO history.usage (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, recalled_by, resident)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
       ON CONFLICT (inode) DO UPDATE SET last_used_ms = ?2, heat = ?3, heat_at_ms = ?4, uses = ?5, since_ms = ?6,
         recalled_by = ?7, resident = ?8, class = 0, rank = 0, wake_ms = NULL, stamp = stamp + 1`,
    );
    this.#deleteAll = database.statement(`DELETE FROM history.usage WHERE inode IN ${LISTED}`);
    // All of this class have the rank 0, which lets the index of the queues serve here.
    this.#changed = database.statement(
      `SELECT inode FROM history.usage WHERE resident = 1 AND class = ${UsageClass.UNSORTED}
         AND rank = 0 AND inode > ? ORDER BY inode LIMIT ?`,
    );
    this.#woken = database.statement(
      `SELECT inode, wake_ms FROM history.usage
       WHERE resident = 1 AND wake_ms IS NOT NULL AND (wake_ms, inode) > (?, ?) AND wake_ms <= ?
       ORDER BY wake_ms, inode LIMIT ?`,
    );
    this.#queue = database.arrayStatement(
      `SELECT inode, rank, bytes, stamp, iif(wake_ms <= ?, NULL, settled) FROM history.usage
       WHERE resident = 1 AND class = ? AND (rank, inode) > (?, ?) ORDER BY rank, inode LIMIT ?`,
    );
    this.#sort = database.statement(
      `UPDATE history.usage SET class = ?3, rank = ?4, wake_ms = ?5, settled = ?6,
         bytes = coalesce((SELECT resident FROM main.inode WHERE id = ?1), 0)
       WHERE inode = ?1 AND stamp = ?2`,
    );
  }

  /** Files of a class in the order of their ranks, after a place, at `now`. Reads the index alone. */
  queue(
    kind: UsageClass,
    { after, limit, now }: { after: QueuePlace | undefined; limit: number; now: number },
  ): QueueRow[] {
    const { rank, inode } = after ?? { rank: -Number.MAX_VALUE, inode: 0 };
    const rows = this.#queue.all(now, kind, rank, inode, limit) as unknown as [
      number,
      number,
      number,
      number,
      number | null,
    ][];
    return rows.map(([inode, rank, bytes, stamp, settled]) => {
      const place: QueueRow = { inode, rank, bytes, stamp, settled };
      return place;
    });
  }

  #news(inode: number): News | undefined {
    const news = this.#batch.get(inode);
    if (news !== undefined || this.#batch.has(inode)) return news;
    const fresh: News = { uses: [], resident: undefined, recalled: undefined };
    this.#batch.set(inode, fresh);
    return fresh;
  }

  /** Somebody who counts used the file. */
  record(inode: number, atMs: number): void {
    this.#news(inode)?.uses.push(Math.floor(atMs));
  }

  /** The file has resident bytes from now on, or has none any more. */
  setResident(inode: number, resident: boolean): void {
    const news = this.#news(inode);
    if (news !== undefined) news.resident = resident;
  }

  /** Content was brought back for the program `by`. No use of its own. */
  recalled(inode: number, { atMs, by }: { atMs: number; by: string }): void {
    const news = this.#news(inode);
    if (news === undefined) return;
    news.resident = true;
    news.recalled = { atMs: Math.floor(atMs), by };
  }

  /** Something that a policy looks at has changed: name, owner, size, saved or not. */
  touch(inode: number): void {
    this.#news(inode);
  }

  /** The inode is gone: whatever is said of it later does not count. */
  remove(inode: number): void {
    this.#batch.set(inode, undefined);
  }

  /** Inodes whose news are only in memory. */
  get unflushed(): number {
    return this.#batch.size;
  }

  /**
   * Writes up to `limit` inodes' news in one transaction, or eight times as many that are gone, for the
   * same price; returns how many. On an error they stay in memory.
   */
  flush(limit = Infinity): number {
    if (this.#batch.size === 0) return 0;
    const written: number[] = [];
    const gone: number[] = [];
    this.#database.transaction(() => {
      for (const [inode, news] of this.#batch) {
        if (written.length >= limit || gone.length >= limit * GONE_FOR_ONE) break;
        if (news !== undefined && this.#write(inode, news)) written.push(inode);
        else gone.push(inode);
      }
      if (gone.length > 0) this.#deleteAll.run(JSON.stringify(gone));
    });
    for (const inode of [...written, ...gone]) this.#batch.delete(inode);
    this.onUnsorted();
    return written.length + gone.length;
  }

  /** False: the file is gone. */
  #write(inode: number, news: News): boolean {
    const file = this.#file.get(inode) as { created: number; resident: number } | undefined;
    // Its end was only in memory when the last mount crashed. A row that stays would be unsorted for
    // ever, and whoever sorts would never come to an end.
    if (file === undefined) return false;
    const created = Math.floor(file.created);
    const row = this.#get.get(inode) as unknown as UsageRow | undefined;
    let heat = row?.heat ?? 1;
    let heatAtMs = row?.heat_at_ms ?? created;
    let lastUsedMs = row?.last_used_ms ?? created;
    for (const now of news.uses) {
      heat = heatAfterUse({ heat, heatAtMs }, { now, halfLifeMs: this.halfLifeMs });
      heatAtMs = Math.max(heatAtMs, now);
      lastUsedMs = Math.max(lastUsedMs, now);
    }
    this.#put.run(
      inode,
      lastUsedMs,
      heat,
      heatAtMs,
      packTimes([...(row === undefined ? [] : unpackTimes(row.uses)), ...news.uses]),
      news.recalled?.atMs ?? row?.since_ms ?? created,
      news.recalled?.by ?? row?.recalled_by ?? null,
      Number(news.resident ?? file.resident === 1),
    );
    return true;
  }

  /** Wall clock, milliseconds, of the last use; undefined where nothing is known. */
  lastUsed(inode: number): number | undefined {
    const news = this.#batch.get(inode);
    if (news === undefined && this.#batch.has(inode)) return undefined;
    const stored = (this.#get.get(inode) as unknown as UsageRow | undefined)?.last_used_ms;
    const newest = Math.max(stored ?? -Infinity, ...news?.uses ?? []);
    return newest === -Infinity ? undefined : newest;
  }

  /** The same as it is written down, a few seconds late, in a fraction of the time. */
  lastUsedBefore(inode: number): number | undefined {
    const row = this.#database.arrayStatement(
      "SELECT last_used_ms FROM history.usage WHERE inode = ?",
    ).get(inode) as unknown as [number] | undefined;
    return row?.[0];
  }

  /** Whether something of a file is only in memory. */
  hasNews(inode: number): boolean {
    return this.#batch.has(inode);
  }

  /** The beginning of a walk over what is to be sorted at `now`. */
  beginSorting(now: number): SortPlace {
    const woken = { wakeMs: -Number.MAX_VALUE, inode: 0 };
    return { news: this.#batch.size, dueMs: Math.floor(now), changed: 0, woken };
  }

  /**
   * Files that are to be sorted: news are written down first, `flush` at a time; then come changed
   * files, then those whose time has come. Where `next` is undefined, these were the last.
   */
  unsorted(
    after: SortPlace,
    { limit, flush }: { limit: number; flush: number },
  ): { inodes: number[]; next: SortPlace | undefined } {
    if (after.news > 0) {
      // The oldest come first, so that what comes in meanwhile is not waited for.
      const written = this.flush(Math.min(flush, after.news));
      return { inodes: [], next: { ...after, news: written === 0 ? 0 : after.news - written } };
    }
    if (after.changed !== undefined) return this.#changedFiles(after, limit);
    const { wakeMs, inode } = after.woken;
    const rows = this.#woken.all(wakeMs, inode, after.dueMs, limit) as {
      inode: number;
      wake_ms: number;
    }[];
    const inodes = rows.map((row) => row.inode);
    const last = rows.at(-1);
    if (last === undefined || rows.length < limit) return { inodes, next: undefined };
    return { inodes, next: { ...after, woken: { wakeMs: last.wake_ms, inode: last.inode } } };
  }

  #changedFiles(
    after: SortPlace,
    limit: number,
  ): { inodes: number[]; next: SortPlace | undefined } {
    const rows = this.#changed.all(after.changed!, limit) as { inode: number }[];
    const inodes = rows.map((row) => row.inode);
    return {
      inodes,
      next: { ...after, changed: inodes.length < limit ? undefined : inodes.at(-1) },
    };
  }

  /** Puts files in their classes, unless they have changed since. */
  sort(files: readonly SortedFile[]): void {
    this.#database.transaction(() => {
      for (const { inode, stamp, class: kind, rank, wakeMs, settled } of files) {
        const wake = wakeMs === undefined ? null : Math.floor(wakeMs);
        this.#sort.run(inode, stamp, kind, rank, wake, settled ?? null);
      }
    });
  }

  /** Whether nothing has happened to a file since its facts were taken at `stamp`. */
  isCurrent(inode: number, stamp: number): boolean {
    if (this.#batch.has(inode)) return false;
    const row = this.#get.get(inode) as { stamp: number } | undefined;
    return (row?.stamp ?? 0) === stamp;
  }

  /** Makes files unsorted, in the order of their numbers, after `after`; undefined: all have been seen. */
  unsortSome({ after, limit }: { after: number; limit: number }): number | undefined {
    return this.#database.transaction(() => {
      const rows = this.#database.statement(
        "SELECT inode FROM history.usage WHERE inode > ? ORDER BY inode LIMIT ?",
      ).all(after, limit) as { inode: number }[];
      const last = rows.at(-1)?.inode;
      if (last === undefined) return undefined;
      this.#database.statement(
        `UPDATE history.usage SET class = 0, rank = 0, wake_ms = NULL, stamp = stamp + 1
         WHERE inode > ? AND inode <= ?`,
      ).run(after, last);
      return rows.length < limit ? undefined : last;
    });
  }

  /** Sums of each class. */
  tally(): ClassTally[] {
    return this.#database.statement("SELECT class, files, bytes FROM history.tally")
      .all() as unknown as ClassTally[];
  }

  /** True while rows may be missing, because history was lost or the last end was not clean. */
  get needsRefill(): boolean {
    return this.#refillAfter !== undefined;
  }

  /**
   * Adds what is missing for the next `limit` inodes that have resident bytes or not; returns true
   * when all have been seen. Call it slice by slice. A refilled file counts as last used when its
   * content last changed. (That a file has no resident bytes any more is for whoever meets it in a
   * queue to say, with `touch`.)
   */
  refill({ limit }: { limit: number }): boolean {
    const after = this.#refillAfter;
    if (after === undefined) return true;
    const last = this.#database.transaction(() => {
      this.#database.statement(
        `INSERT INTO history.usage (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, resident)
         SELECT id, max(changed_ms, btime_s * 1000), 1, max(changed_ms, btime_s * 1000), x'', btime_s * 1000, 1
         FROM (SELECT * FROM main.inode WHERE id > ?1 ORDER BY id LIMIT ?2) WHERE resident > 0
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
    this.onUnsorted();
    return last === undefined;
  }
}

/** Times as a BLOB: the last USES_KEPT of them. */
function packTimes(times: readonly number[]): Uint8Array {
  const kept = times.slice(-USES_KEPT);
  const view = new DataView(new ArrayBuffer(kept.length * 8));
  kept.forEach((time, index) => view.setFloat64(index * 8, time, true));
  return new Uint8Array(view.buffer);
}

/** Times from a BLOB, oldest first. */
export function unpackTimes(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length >> 3 }, (_, index) => view.getFloat64(index * 8, true));
}
