/** Chunks that the bucket has confirmed and that are here too, for who compares their bytes. Owns the SQL. */
import type { MetadataDatabase } from "./database.ts";

export interface ResidentFile {
  inode: number;
  incarnation: number;
}

/** A chunk of which the local disk must hold what the bucket does. */
export interface LocalChunk {
  idx: number;
  chunk: number;
  hash: Uint8Array;
  /** Plain bytes. */
  length: number;
  /** Counter value of the last write into it. */
  generation: number;
}

export class LocalChunks {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  get chunkSize(): number {
    return Number(this.#database.setting("chunk_size"));
  }

  /**
   * Files with content here, among inodes above `from` and up to `until`. Not those into which a program
   * may be storing through a mapping: nothing of them counts as confirmed.
   */
  files(range: { from: number; until: number }): ResidentFile[] {
    return this.#database.statement(
      `SELECT id AS inode, incarnation FROM inode
       WHERE id > ? AND id <= ? AND resident > 0 AND id NOT IN (SELECT inode FROM mapped)`,
    ).all(range.from, range.until) as unknown as ResidentFile[];
  }

  /**
   * Confirmed chunks of a file that are here, above index `after`, in order. One of which the file uses only
   * the beginning cannot be compared, and is left out.
   */
  chunks(inode: number, page: { after: number; limit: number }): LocalChunk[] {
    return this.#database.statement(
      `SELECT m.idx, m.chunk, c.hash, m.length, m.generation
       FROM map m JOIN chunk c ON c.id = m.chunk
       WHERE m.inode = ? AND m.idx > ? AND m.resident = 1 AND c.length = m.length
       ORDER BY m.idx LIMIT ?`,
    ).all(inode, page.after, page.limit) as unknown as LocalChunk[];
  }

  /** Whether rows still say of a chunk what they said. */
  isSo({ inode, incarnation }: ResidentFile, { idx, chunk, generation }: LocalChunk): boolean {
    return this.#database.statement(
      `SELECT 1 FROM map m JOIN inode i ON i.id = m.inode
       WHERE m.inode = ? AND m.idx = ? AND m.chunk = ? AND m.resident = 1 AND m.generation = ?
         AND i.incarnation = ? AND m.inode NOT IN (SELECT inode FROM mapped)`,
    ).get(inode, idx, chunk, generation, incarnation) !== undefined;
  }
}
