/**
 * Confirmed chunks and the packs that hold them. Owns the SQL of `chunk` and `pack`; reference counts
 * are the schema's triggers' business.
 */
import type { MetadataDatabase } from "./database.ts";

/** Where a chunk's stored bytes lie. Fields: tables `chunk` and `pack` in schema.ts. */
export interface ChunkRecord {
  chunk: number;
  hash: Uint8Array;
  pack: Uint8Array;
  packVersion: string;
  ordinal: number;
  offset: number;
  stored: number;
  length: number;
  codec: number;
}

export interface NewPack {
  name: Uint8Array;
  versionId: string;
  bytes: number;
  verified: boolean;
  chunks: { hash: Uint8Array; offset: number; stored: number; length: number; codec: number }[];
}

export class ChunkTable {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  get(id: number): ChunkRecord | undefined {
    return this.#database.statement(
      `SELECT c.id AS chunk, c.hash, p.name AS pack, p.version_id AS packVersion, c.ordinal, c.offset,
         c.stored, c.length, c.codec
       FROM chunk c JOIN pack p ON p.id = c.pack WHERE c.id = ?`,
    ).get(id) as unknown as ChunkRecord | undefined;
  }

  /** A confirmed chunk with this hash that dedupe may use: not lost, its pack looked up and not condemned. */
  match(hash: Uint8Array): number | undefined {
    const row = this.#database.statement(
      `SELECT c.id FROM chunk c JOIN pack p ON p.id = c.pack
       WHERE c.hash = ? AND c.lost = 0 AND p.condemned = 0 AND p.verified = 1 LIMIT 1`,
    ).get(hash) as { id: number } | undefined;
    return row?.id;
  }

  /** Length of a chunk that a placement names, if it may still be referred to. */
  usable(id: number): number | undefined {
    const row = this.#database.statement(
      `SELECT c.length FROM chunk c JOIN pack p ON p.id = c.pack
       WHERE c.id = ? AND c.lost = 0 AND p.condemned = 0`,
    ).get(id) as { length: number } | undefined;
    return row?.length;
  }

  /** Whether a file may rely on the bucket alone for it: its pack was looked up, and nothing is missing. */
  isVerified(id: number): boolean {
    return this.#database.statement(
      `SELECT 1 FROM chunk c JOIN pack p ON p.id = c.pack
       WHERE c.id = ? AND c.lost = 0 AND p.verified = 1`,
    ).get(id) !== undefined;
  }

  /** Records a confirmed pack. Returns the row ids of its chunks, by ordinal. */
  addPack(pack: NewPack, createdMs: number): number[] {
    const inserted = this.#database.statement(
      `INSERT INTO pack (name, version_id, bytes, verified, created_ms) VALUES (?, ?, ?, ?, ?)`,
    ).run(pack.name, pack.versionId, pack.bytes, pack.verified ? 1 : 0, createdMs);
    const id = Number(inserted.lastInsertRowid);
    const insert = this.#database.statement(
      `INSERT INTO chunk (hash, pack, ordinal, offset, stored, length, codec) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    );
    return pack.chunks.map((chunk, ordinal) =>
      Number(
        insert.run(chunk.hash, id, ordinal, chunk.offset, chunk.stored, chunk.length, chunk.codec)
          .lastInsertRowid,
      )
    );
  }

  /** A pack that nothing refers to from the start is dead from now on (law 5). */
  stampUnreferenced(name: Uint8Array): void {
    this.#database.statement(
      `UPDATE pack SET dead_at = (SELECT sequence FROM total) WHERE name = ? AND live_chunks = 0`,
    ).run(name);
  }

  markLost(id: number): void {
    this.#database.statement(`UPDATE chunk SET lost = 1 WHERE id = ?`).run(id);
  }

  /** The same only while the chunk lies in that pack: it may have been copied into another one since. */
  markLostIn(pack: number, id: number): void {
    this.#database.statement(`UPDATE chunk SET lost = 1 WHERE id = ? AND pack = ?`).run(id, pack);
  }

  lostCount(): number {
    const row = this.#database.statement(
      `SELECT count(*) AS n FROM chunk WHERE lost = 1 AND refs > 0`,
    ).get() as { n: number };
    return row.n;
  }

  /** Packs that a file's working map relies on and that were never verified, at most `limit`. */
  unverifiedPacks(
    inode: number,
    limit: number,
  ): { pack: number; name: Uint8Array; versionId: string; bytes: number }[] {
    return this.#database.statement(
      `SELECT DISTINCT p.id AS pack, p.name, p.version_id AS versionId, p.bytes
       FROM map m JOIN chunk c ON c.id = m.chunk JOIN pack p ON p.id = c.pack
       WHERE m.inode = ? AND p.verified = 0 LIMIT ?`,
    ).all(inode, limit) as unknown as {
      pack: number;
      name: Uint8Array;
      versionId: string;
      bytes: number;
    }[];
  }

  setVerified(pack: number): void {
    this.#database.statement(`UPDATE pack SET verified = 1 WHERE id = ?`).run(pack);
  }
}
