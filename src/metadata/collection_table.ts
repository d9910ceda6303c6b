/**
 * What garbage collection asks of the rows of packs and chunks, and the marks that tell how old a
 * sequence is (law 5). Owns their SQL; callers hold the transaction.
 */
import type { MetadataDatabase } from "./database.ts";
import { VersionKind } from "./schema.ts";

/** A pack, as table `pack` in schema.ts says. */
export interface PackState {
  pack: number;
  name: Uint8Array;
  versionId: string;
  bytes: number;
  liveChunks: number;
  liveBytes: number;
  deadAt: number | undefined;
  condemned: boolean;
}

type StoredPack = Omit<PackState, "deadAt" | "condemned"> & {
  deadAt: number | null;
  condemned: number;
};

const PACK_COLUMNS =
  "id AS pack, name, version_id AS versionId, bytes, live_chunks AS liveChunks, " +
  "live_bytes AS liveBytes, dead_at AS deadAt, condemned";

/** Where a chunk goes that was copied into another pack. */
export interface NewPlace {
  pack: number;
  ordinal: number;
  offset: number;
  stored: number;
  codec: number;
}

export class CollectionTable {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /**
   * Notes that the store's clock shows `storeMs`, and stamps what died without a stamp. What is stamped
   * later gets a greater sequence than the one noted.
   */
  mark(storeMs: number): void {
    const database = this.#database;
    database.statement(
      `UPDATE pack SET dead_at = (SELECT sequence FROM total)
       WHERE live_chunks = 0 AND dead_at IS NULL`,
    ).run();
    database.statement(
      `UPDATE version SET trashed_at = (SELECT sequence FROM total)
       WHERE kind = ${VersionKind.TRASH} AND trashed_at IS NULL`,
    ).run();
    database.statement(
      `INSERT INTO store_mark (sequence, store_ms)
       SELECT sequence, max(?, coalesce((SELECT max(store_ms) FROM store_mark), 0)) FROM total
       WHERE true ON CONFLICT (sequence) DO NOTHING`,
    ).run(Math.floor(storeMs));
    database.statement("UPDATE total SET sequence = sequence + 1").run();
  }

  /** What is stamped with a smaller sequence was so before the store's clock showed `storeMs`; 0: nothing. */
  stampedBefore(storeMs: number): number {
    const row = this.#database.statement(
      "SELECT max(sequence) AS sequence FROM store_mark WHERE store_ms <= ?",
    ).get(Math.floor(storeMs)) as { sequence: number | null };
    return row.sequence === null ? 0 : row.sequence + 1;
  }

  /** Forgets marks that are older than the newest from before `storeMs`. */
  forgetMarks(storeMs: number): void {
    this.#database.statement(
      `DELETE FROM store_mark WHERE sequence <
         (SELECT max(sequence) FROM store_mark WHERE store_ms <= ?)`,
    ).run(Math.floor(storeMs));
  }

  /** In the order of their names, after a name. */
  packs(range: { after: Uint8Array; limit: number }): PackState[] {
    const rows = this.#database.statement(
      `SELECT ${PACK_COLUMNS} FROM pack WHERE name > ? ORDER BY name LIMIT ?`,
    ).all(range.after, range.limit) as unknown as StoredPack[];
    return rows.map((row) => ({
      ...row,
      deadAt: row.deadAt ?? undefined,
      condemned: row.condemned === 1,
    }));
  }

  /** True where the pack is condemned now: it died before that sequence, or had been condemned. */
  condemn(pack: number, before: number): boolean {
    const result = this.#database.statement(
      `UPDATE pack SET condemned = 1
       WHERE id = ? AND live_chunks = 0 AND (dead_at < ? OR condemned = 1)`,
    ).run(pack, before);
    return Number(result.changes) === 1;
  }

  /** Deletes a condemned pack and its chunks; others stay. */
  forget(pack: number): void {
    this.#database.statement(
      `DELETE FROM chunk WHERE pack = (SELECT id FROM pack WHERE id = ? AND condemned = 1)`,
    ).run(pack);
    this.#database.statement(`DELETE FROM pack WHERE id = ? AND condemned = 1`).run(pack);
  }

  /** Row ids of the referenced chunks of a pack that are not lost, by ordinal. */
  liveChunks(pack: number): number[] {
    const rows = this.#database.statement(
      `SELECT id FROM chunk WHERE pack = ? AND refs > 0 AND lost = 0 ORDER BY ordinal`,
    ).all(pack) as { id: number }[];
    return rows.map(({ id }) => id);
  }

  /** Moves a chunk to another pack, if it is still in `from`, referenced and the same bytes. */
  move(chunk: number, options: { from: number; hash: Uint8Array; to: NewPlace }): boolean {
    const { from, hash, to } = options;
    const result = this.#database.statement(
      `UPDATE chunk SET pack = ?, ordinal = ?, offset = ?, stored = ?, codec = ?
       WHERE id = ? AND pack = ? AND hash = ? AND refs > 0 AND lost = 0`,
    ).run(to.pack, to.ordinal, to.offset, to.stored, to.codec, chunk, from, hash);
    return Number(result.changes) === 1;
  }

  /** The pack of that name. */
  pack(name: Uint8Array): { pack: number; versionId: string } | undefined {
    return this.#database.statement(
      "SELECT id AS pack, version_id AS versionId FROM pack WHERE name = ?",
    ).get(name) as { pack: number; versionId: string } | undefined;
  }
}
