/** What a verification of the bucket reads back: packs and their referenced chunks. Owns the SQL. */
import type { MetadataDatabase } from "./database.ts";

export interface PackToVerify {
  pack: number;
  name: Uint8Array;
  versionId: string;
}

export interface ChunkToVerify {
  chunk: number;
  hash: Uint8Array;
  ordinal: number;
  offset: number;
  stored: number;
  length: number;
  codec: number;
}

export class VerifyTable {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** Packs that something refers to, in the order of their ids. */
  packs(range: { after: number; limit: number }): PackToVerify[] {
    return this.#database.statement(
      `SELECT id AS pack, name, version_id AS versionId FROM pack
       WHERE id > ? AND live_chunks > 0 ORDER BY id LIMIT ?`,
    ).all(range.after, range.limit) as unknown as PackToVerify[];
  }

  chunks(pack: number): ChunkToVerify[] {
    return this.#database.statement(
      `SELECT id AS chunk, hash, ordinal, offset, stored, length, codec FROM chunk
       WHERE pack = ? AND refs > 0 ORDER BY ordinal`,
    ).all(pack) as unknown as ChunkToVerify[];
  }
}
