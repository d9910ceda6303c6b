/**
 * Puts rows that the bucket tells of into their tables as they are: extended attributes, packs, chunks,
 * versions and what they consist of. A row that is there already is made like the one that is told.
 * What a recovery or a mount that follows makes of names and files is theirs.
 */
import type {
  ChunkRun,
  PackChunk,
  PackRecord,
  VersionRecord,
  XattrRecord,
} from "../domain/metadata_rows.ts";
import type { MetadataDatabase } from "./database.ts";

export class ShippedRowTables {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  #run(sql: string, ...values: (number | string | Uint8Array | null)[]): void {
    this.#database.statement(sql).run(...values);
  }

  xattr(id: number, { inode, name, value }: XattrRecord): void {
    this.#run("INSERT INTO xattr VALUES (?, ?, ?, ?)", id, inode, name, value);
  }

  pack(id: number, row: PackRecord): void {
    this.#run(
      `INSERT INTO pack (id, name, version_id, bytes, verified, created_ms) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET version_id = excluded.version_id, bytes = excluded.bytes,
         verified = excluded.verified`,
      id,
      row.name,
      row.versionId,
      row.bytes,
      row.verified ? 1 : 0,
      row.createdMs,
    );
  }

  /** A chunk that was moved into another pack keeps its id, and who refers to it. */
  chunk(pack: number, chunk: PackChunk): void {
    this.#run(
      `INSERT INTO chunk (id, hash, pack, ordinal, offset, stored, length, codec, lost)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET pack = excluded.pack, ordinal = excluded.ordinal,
         offset = excluded.offset, stored = excluded.stored, codec = excluded.codec,
         lost = excluded.lost`,
      chunk.id,
      chunk.hash,
      pack,
      chunk.ordinal,
      chunk.offset,
      chunk.stored,
      chunk.length,
      chunk.codec,
      chunk.lost ? 1 : 0,
    );
  }

  version(id: number, row: VersionRecord): void {
    this.#run(
      `INSERT INTO version (id, inode, kind, generation, size, mode, uid, gid, mtime_s, mtime_ns,
         saved_ms, trashed_ms, path) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET inode = excluded.inode, kind = excluded.kind,
         generation = excluded.generation, size = excluded.size, mode = excluded.mode,
         uid = excluded.uid, gid = excluded.gid, mtime_s = excluded.mtime_s,
         mtime_ns = excluded.mtime_ns, saved_ms = excluded.saved_ms,
         trashed_ms = excluded.trashed_ms, path = excluded.path`,
      id,
      row.inode,
      row.kind,
      row.generation,
      row.size,
      row.mode,
      row.uid,
      row.gid,
      ...row.mtime,
      row.savedMs,
      row.trashedMs ?? null,
      row.path ?? null,
    );
  }

  versionChunks(version: number, runs: readonly ChunkRun[]): void {
    const insert = this.#database.statement("INSERT INTO version_chunk VALUES (?, ?, ?, ?)");
    for (const { index, chunk, count, length } of runs) {
      for (let i = 0; i < count; i++) insert.run(version, index + i, chunk + i, length);
    }
  }
}
