/**
 * What has happened to files (`history.journal`), for people who ask why. Owns a batch in memory and
 * the bounds: so many entries per file and in all, the oldest go. Lost entries are no harm.
 */
import type { MetadataDatabase, Statement } from "./database.ts";

export interface JournalEntry {
  inode: number;
  /** Wall clock, milliseconds. */
  atMs: number;
  what: "saved" | "evicted" | "recalled" | "pinned" | "unpinned";
  /** The rule with its place, or the name of a program; may be empty. */
  who: string;
  bytes: number;
}

/** Entries kept of one file, and of all. */
const KEPT_PER_FILE = 20;
const KEPT = 500_000;
/** Entries in memory above which the oldest are dropped: the disk must be full or failing. */
const BATCH = 20_000;
/** Rows that one flush deletes beyond what it must. */
const PRUNED_AT_ONCE = 2_000;

export class JournalTable {
  readonly #database: MetadataDatabase;
  readonly #insert: Statement;
  readonly #trim: Statement;
  readonly #prune: Statement;
  #batch: JournalEntry[] = [];

  constructor(database: MetadataDatabase) {
    this.#database = database;
    this.#insert = database.statement(
      "INSERT INTO history.journal (inode, at_ms, what, who, bytes) VALUES (?, ?, ?, ?, ?)",
    );
    this.#trim = database.statement(
      `DELETE FROM history.journal WHERE inode = ?1 AND id <=
         (SELECT id FROM history.journal WHERE inode = ?1 ORDER BY id DESC LIMIT 1 OFFSET ${KEPT_PER_FILE})`,
    );
    this.#prune = database.statement(
      `DELETE FROM history.journal WHERE id IN (SELECT id FROM history.journal
         WHERE id <= (SELECT max(id) FROM history.journal) - ${KEPT} ORDER BY id LIMIT ${PRUNED_AT_ONCE})`,
    );
  }

  note(entry: JournalEntry): void {
    if (this.#batch.length >= BATCH) this.#batch.shift();
    this.#batch.push(entry);
  }

  /** Entries that are only in memory. */
  get unflushed(): number {
    return this.#batch.length;
  }

  /** Writes the oldest `limit` entries in one transaction; returns how many. On an error they stay in memory. */
  flush(limit = Infinity): number {
    const batch = this.#batch.slice(0, limit);
    if (batch.length === 0) return 0;
    this.#database.transaction(() => {
      for (const { inode, atMs, what, who, bytes } of batch) {
        this.#insert.run(inode, Math.floor(atMs), what, who, bytes);
      }
      for (const inode of new Set(batch.map((entry) => entry.inode))) this.#trim.run(inode);
      this.#prune.run();
    });
    this.#batch.splice(0, batch.length);
    return batch.length;
  }
}

/** The entries of one file, oldest first. Reads only. */
export function readJournal(database: MetadataDatabase, inode: number): JournalEntry[] {
  return database.statement(
    `SELECT inode, at_ms AS atMs, what, who, bytes FROM history.journal WHERE inode = ? ORDER BY id`,
  ).all(inode) as unknown as JournalEntry[];
}
