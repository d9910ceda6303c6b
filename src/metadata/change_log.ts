/**
 * What the bucket has been told and what not: the log of changed keys, and how far the metadata in
 * the bucket is. Owns the table `changes` and the settings `metadata_*`; the log itself is kept by the
 * schema's triggers. Callers hold the transaction.
 */
import { RecordTable } from "../domain/metadata_rows.ts";
import type { MetadataDatabase } from "./database.ts";

/** The last object of changes that the bucket has confirmed. */
export interface MetadataHead {
  /** Key in the bucket; empty before the first object, and where it was lost there. */
  key: string;
  /** Hash of the object, 64 hexadecimal digits; zeros before the first object. */
  hash: string;
  epoch: number;
  /** What was committed before this sequence is in it, or in objects before it (law 5). */
  sequence: number;
}

export const NO_HEAD: MetadataHead = { key: "", hash: "0".repeat(64), epoch: 0, sequence: 0 };

/** How far the metadata in the bucket is. */
export interface ShippingState {
  head: MetadataHead;
  /** Hashes of objects that are being sent or were when a crash came. */
  intents: string[];
  /** The log does not reach back to the head: the next object says so. */
  restart: boolean;
  /** What is in the bucket can be rebuilt only with a new snapshot. */
  snapshotDue: boolean;
  /** How often the log was begun anew: a snapshot that this happens to while it is taken is not whole. */
  restarts: number;
  /** Key of the last snapshot's manifest; undefined where there is none. */
  snapshot: string | undefined;
  /** Bytes of all segments of the last snapshot, and of the changes sent since. */
  snapshotBytes: number;
  changesBytes: number;
}

/** A place in the log. */
export interface LoggedKey {
  table: RecordTable;
  key: number;
}

/** One object of changes has been confirmed. */
export interface ShippedChanges {
  head: MetadataHead;
  /** First and last key that it holds, in the log's order; undefined: it held none. */
  range: { from: LoggedKey; to: LoggedKey } | undefined;
  /** What `beginReading` answered before the rows were read. */
  readingSequence: number;
  bytes: number;
}

const SETTING = "metadata_state";

export class ChangeLog {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  state(): ShippingState {
    const text = this.#database.setting(SETTING);
    if (text === undefined) {
      return {
        head: NO_HEAD,
        intents: [],
        restart: false,
        snapshotDue: false,
        restarts: 0,
        snapshot: undefined,
        snapshotBytes: 0,
        changesBytes: 0,
      };
    }
    return JSON.parse(String(text)) as ShippingState;
  }

  /** Replaces what is said here of the state. */
  update(change: Partial<ShippingState>): void {
    this.#database.setSetting(SETTING, JSON.stringify({ ...this.state(), ...change }));
  }

  /**
   * Separates what has changed so far from what changes later: answers the sequence that later changes
   * are logged with, at least.
   */
  beginReading(): number {
    const row = this.#database.arrayStatement(
      "UPDATE total SET sequence = sequence + 1 RETURNING sequence",
    ).get();
    return (row as unknown as [number])[0];
  }

  /** Forgets the keys of a confirmed object, unless they have changed since it was read. */
  shipped(object: ShippedChanges): void {
    const { range, head, readingSequence, bytes } = object;
    if (range !== undefined) {
      const { from, to } = range;
      this.#database.statement(
        `DELETE FROM changes
         WHERE (tbl, key) >= (?, ?) AND (tbl, key) <= (?, ?) AND sequence < ?`,
      ).run(from.table, from.key, to.table, to.key, readingSequence);
    }
    const { intents, changesBytes } = this.state();
    this.update({
      head,
      intents: intents.filter((hash) => hash !== head.hash),
      changesBytes: changesBytes + bytes,
    });
  }

  /** The log has become longer than what it describes: begins it anew, and asks for a snapshot. */
  restart(): void {
    this.#database.statement("DELETE FROM changes").run();
    this.update({ restart: true, snapshotDue: true, restarts: this.state().restarts + 1 });
  }

  /**
   * What the bucket holds cannot be used: the next snapshot takes nothing over from the one before. `lost`:
   * the head is gone from there; that nothing else came later is known.
   */
  sendAnew({ lost }: { lost: boolean }): void {
    this.restart();
    // One row at least, so that it is sent although nothing changes.
    this.#database.statement("INSERT INTO changes VALUES (?, 1, (SELECT sequence FROM total))")
      .run(RecordTable.INODE);
    const { head } = this.state();
    this.update({
      snapshot: undefined,
      snapshotBytes: 0,
      head: lost ? { ...head, key: "" } : head,
    });
  }

  /** A snapshot has been confirmed. It replaces what was given up, but not what was given up since. */
  snapshotTaken(snapshot: { key: string; bytes: number; restarts: number }): void {
    const { key, bytes, restarts } = snapshot;
    this.update({
      snapshot: key,
      snapshotBytes: bytes,
      changesBytes: 0,
      ...(this.state().restarts === restarts ? { snapshotDue: false, restart: false } : {}),
    });
  }
}
