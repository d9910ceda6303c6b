/**
 * The metadata database: transactions, prepared statements, settings, the generation counter. Owns
 * the connection; the tables (`*_table.ts`) own their SQL.
 *
 * Promises: a transaction happens wholly or not at all, and when it does not, whoever keeps rows in
 * memory hears of it (`onRollback`) before the error goes on. A full disk is ENOSPC, a failing one
 * EIO, both as FsError. Never reads clocks or files but its own two.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ExitCode, FsError, invariant, InvariantError, UserError } from "../domain/errors.ts";
import {
  attachHistory,
  fileExists,
  markHistory,
  MEMORY,
  metadataPath,
  openMetadata,
  redoPath,
} from "./connection.ts";
import { GroupCommit, recover } from "./group_commit.ts";
import { logged, planned, type Statement, type WriteLog, written } from "./logged_statement.ts";
import { checkedVersion, migrate, readSetting } from "./migrations.ts";
import { type CreateOptions, fillNew } from "./new_database.ts";
import { translateSqliteError } from "./sqlite_errors.ts";

/** A prepared statement; rows come as objects unless made by `arrayStatement`. */
export type { CreateOptions, Statement };

/** What `node:sqlite` has and its types here do not name yet. */
type ArrayCapable = StatementSync & { setReturnArrays(enabled: boolean): void };

/** How many values of the generation counter are reserved at once. */
const GENERATION_BLOCK = 4096;
const AS_NEW = { readOnly: false, wasClean: true, historyComplete: true };

interface Opened {
  directory: string;
  readOnly: boolean;
  wasClean: boolean;
  historyComplete: boolean;
  grouped: boolean;
}

export class MetadataDatabase {
  /** False until the next unclean end: the last owner called `close({ clean: true })`. */
  readonly wasClean: boolean;
  /** False where `history.db` was lost, or may lag behind: UsageTable.refill has work to do. */
  readonly historyComplete: boolean;
  readonly readOnly: boolean;
  /** The write-ahead log, to be synced; undefined in memory. */
  readonly walPath: string | undefined;

  readonly #connection: DatabaseSync;
  readonly #statements = new Map<string, Statement>();
  readonly #arrayStatements = new Map<string, Statement>();
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollbackListeners: (() => void)[] = [];
  readonly #commitListeners: (() => void)[] = [];
  readonly #writtenListeners: ((transactions: number) => void)[] = [];
  readonly #groups: GroupCommit | undefined;
  readonly #writes: WriteLog;
  #logged = 0;
  #depth = 0;
  #failed: { error: unknown } | undefined;
  #nextGeneration: number;
  #reservedGeneration: number;

  private constructor(connection: DatabaseSync, state: Opened) {
    this.#connection = connection;
    this.#groups = state.grouped && state.directory !== MEMORY
      ? GroupCommit.on(connection, { path: redoPath(state.directory) })
      : undefined;
    if (this.#groups !== undefined) {
      this.#groups.onCommitted = this.#tellWritten;
    }
    this.#writes = {
      within: (write) => this.#depth > 0 ? write() : this.transaction(write),
      ran: (number, sql, parameters) => this.#groups!.ran(number, sql, parameters),
      ranUnlogged: () => this.#groups!.ranUnlogged(),
    };
    this.readOnly = state.readOnly;
    this.wasClean = state.wasClean;
    this.historyComplete = state.historyComplete && state.wasClean;
    this.walPath = state.directory === MEMORY ? undefined : `${metadataPath(state.directory)}-wal`;
    // Not BEGIN IMMEDIATE: it would take write locks on both files, where nearly every transaction
    // writes one of them (measured: 15 µs). Nobody else writes, so the upgrade cannot fail.
    this.#begin = connection.prepare("BEGIN");
    this.#commit = connection.prepare("COMMIT");
    this.#reservedGeneration = this.#storedGeneration();
    this.#nextGeneration = this.#reservedGeneration;
  }

  /** Makes a new file system's database: the schema, its settings and an empty root directory. */
  static create(options: CreateOptions): MetadataDatabase {
    const { directory } = options;
    const connection = openMetadata(directory);
    try {
      fillNew(connection, options);
      attachHistory(connection, { directory });
      markHistory(connection, { complete: true });
      const grouped = options.grouped === true;
      return new MetadataDatabase(connection, { ...AS_NEW, directory, grouped });
    } catch (error) {
      connection.close();
      throw translateSqliteError(error);
    }
  }

  /**
   * Opens an existing database. Writable (the default), it is marked as not clean until
   * `close({ clean: true })`, and an older schema is migrated. Throws UserError where there is none,
   * where it is damaged, and where a newer zero made it.
   *
   * `grouped`: transactions share commits (group_commit.ts). Other connections see them, and a sync of
   * the WAL covers them, from the next `commit` on, for which `onGroupBegun` asks.
   */
  static open(
    { directory, readOnly = false, grouped = false }: {
      directory: string;
      readOnly?: boolean;
      grouped?: boolean;
    },
  ): MetadataDatabase {
    const path = metadataPath(directory);
    if (!fileExists(path)) {
      throw new UserError(`${directory} holds no file system: ${path} does not exist`, {
        hint: "make one with `zero init`, or bring one back with `zero recover`",
        exitCode: ExitCode.refused,
      });
    }
    const connection = openMetadata(directory, { readOnly });
    try {
      const version = checkedVersion(connection, { path, readOnly });
      if (!readOnly) {
        // By the schema that it was done with.
        recover(connection, { path: redoPath(directory) });
        migrate(connection, { path, version });
      }
      const wasClean = readSetting(connection, "clean") === 1;
      const historyComplete = attachHistory(connection, { directory, readOnly });
      if (!readOnly) {
        // Durable before anything else changes: else a crash of the machine could lose this mark
        // together with the rows behind it, and the state would look clean.
        connection.exec("PRAGMA synchronous = FULL");
        connection.exec("UPDATE setting SET value = 0 WHERE name = 'clean'");
        connection.exec("PRAGMA synchronous = NORMAL");
        // Its last batch may be lost; it stays marked until a refill has come to its end.
        if (!wasClean) markHistory(connection, { complete: false });
      }
      return new MetadataDatabase(connection, {
        directory,
        readOnly,
        wasClean,
        historyComplete,
        grouped,
      });
    } catch (error) {
      connection.close();
      throw translateSqliteError(error);
    }
  }

  /**
   * Makes every transaction so far a part of the WAL. Throws FsError where the disk is full: nothing is
   * lost by that, and it can be tried again.
   */
  commit(): void {
    invariant(this.#depth === 0, "a group is committed inside a transaction");
    this.guard(() => this.#groups?.commit());
  }

  /** Many reads will follow: they share one look, until the group is committed. */
  keepReading(): void {
    this.guard(() => this.#groups?.open());
  }

  /** Told when the first transaction of a group has begun: whoever owns the loop commits it soon. */
  set onGroupBegun(listener: () => void) {
    if (this.#groups !== undefined) this.#groups.onBegun = listener;
  }

  /**
   * Runs `body` as one transaction and returns its result. Inside another transaction it joins that
   * one. When `body` throws, nothing has happened: the rows are as before, the rollback listeners
   * have run, and the error (SQLite's translated) is thrown on. `body` must not be asynchronous.
   * `commit`: not only a kill of this process finds it done, it is in the WAL, too.
   */
  transaction<T>(body: () => T, { commit = false }: { commit?: boolean } = {}): T {
    if (this.#depth > 0) return this.#joined(body);
    invariant(!this.readOnly, "a read-only database has no transactions");
    const groups = this.#groups;
    let result: T;
    try {
      if (groups === undefined) this.#begin.run();
      else groups.begin();
    } catch (error) {
      throw translateSqliteError(error);
    }
    try {
      this.#depth = 1;
      result = body();
      // Half of a nested transaction must not be committed because somebody caught its error.
      if (this.#failed !== undefined) throw this.#failed.error;
      invariant(!(result instanceof Promise), "a transaction cannot wait");
      if (groups === undefined) this.#commit.run();
      else groups.end({ commit });
      this.#depth = 0;
    } catch (error) {
      this.#rollback();
      throw translateSqliteError(error);
    }
    for (const listener of this.#commitListeners) listener();
    if (groups === undefined) this.#tellWritten(1);
    else groups.settle();
    return result;
  }

  #joined<T>(body: () => T): T {
    this.#depth++;
    try {
      return body();
    } catch (error) {
      this.#failed ??= { error };
      throw error;
    } finally {
      this.#depth--;
    }
  }

  #rollback(): void {
    this.#depth = 0;
    this.#failed = undefined;
    try {
      if (this.#groups !== undefined) this.#groups.undo();
      // After a full disk SQLite may have rolled back by itself.
      else if (this.#connection.isTransaction) this.#connection.exec("ROLLBACK");
      this.#reservedGeneration = this.#storedGeneration();
      for (const listener of this.#rollbackListeners) listener();
    } catch (error) {
      throw new InvariantError(
        `memory and rows differ after a failed rollback: ${(error as Error).message}`,
      );
    }
  }

  /** True while a transaction is open. */
  get inTransaction(): boolean {
    return this.#depth > 0;
  }

  /** `listener` runs after each rollback, with the old rows readable: whoever caches rows reloads them. */
  onRollback(listener: () => void): void {
    this.#rollbackListeners.push(listener);
  }

  /** `listener` runs after each outermost transaction that was not undone. It must not throw. */
  onCommit(listener: () => void): void {
    this.#commitListeners.push(listener);
  }

  /**
   * `listener` runs after each commit of SQLite, when the WAL has grown by so many transactions. It must
   * not throw.
   */
  onWritten(listener: (transactions: number) => void): void {
    this.#writtenListeners.push(listener);
  }

  readonly #tellWritten = (transactions: number) => {
    for (const listener of this.#writtenListeners) listener(transactions);
  };

  /** The prepared statement for `sql`, made once. Its rows are objects. */
  statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#telling(this.#connection.prepare(planned(sql)), sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** The same with rows as arrays, in the order of the columns: a third cheaper for wide rows. */
  arrayStatement(sql: string): Statement {
    let statement = this.#arrayStatements.get(sql);
    if (statement === undefined) {
      const prepared = this.#connection.prepare(planned(sql));
      (prepared as ArrayCapable).setReturnArrays(true);
      statement = this.#telling(prepared, sql);
      this.#arrayStatements.set(sql, statement);
    }
    return statement;
  }

  /** A statement that writes does so within an operation, of which the redo log hears. */
  #telling(statement: StatementSync, sql: string): Statement {
    if (this.#groups === undefined || written(sql) === undefined) return statement;
    return logged(statement, { sql, number: this.#logged++, log: this.#writes });
  }

  /** Runs `body` outside or inside a transaction, with SQLite's errors translated. */
  guard<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  /**
   * The next value of the file system's one counter. Never repeats, not after a crash either: values
   * are reserved in blocks, and a crash skips the rest of its block. (A crash of the machine may lose
   * the reservation itself, but then also every row behind it, and nothing is published before the
   * WAL is synced.)
   */
  nextGeneration(): number {
    this.reserveGeneration();
    return this.#nextGeneration++;
  }

  /** Throws where the disk has no room for the next value, which cannot fail any more afterwards. */
  reserveGeneration(): void {
    if (this.#nextGeneration < this.#reservedGeneration) return;
    const reserved = this.#nextGeneration + GENERATION_BLOCK;
    this.guard(() => this.setSetting("generation_reserved", reserved));
    this.#reservedGeneration = reserved;
  }

  #storedGeneration(): number {
    return (readSetting(this.#connection, "generation_reserved") as number | undefined) ?? 1;
  }

  setting(name: string): string | number | undefined {
    const row = this.arrayStatement("SELECT value FROM setting WHERE name = ?").get(name);
    return (row as unknown as [string | number] | undefined)?.[0];
  }

  /** Sets a setting; undefined removes it. */
  setSetting(name: string, value: string | number | undefined): void {
    if (value === undefined) {
      this.statement("DELETE FROM setting WHERE name = ?").run(name);
    } else {
      this.statement(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      ).run(name, value);
    }
  }

  /** UsageTable has refilled `history.db`. */
  historyRefilled(): void {
    this.guard(() => markHistory(this.#connection, { complete: true }));
  }

  /**
   * Copies the WAL into the database files. `passive` never waits for readers; `truncate` waits (up to
   * the busy timeout) and leaves an empty WAL. Syncs, so it is not for the middle of a request.
   * Returns the WAL's length and how much of it was copied, in pages of `metadata.db`.
   */
  checkpoint(mode: "passive" | "truncate"): { walPages: number; copiedPages: number } {
    this.commit();
    return this.guard(() => {
      this.arrayStatement(`PRAGMA history.wal_checkpoint(${mode})`).get();
      const row = this.arrayStatement(`PRAGMA main.wal_checkpoint(${mode})`).get();
      const [, walPages, copiedPages] = row as unknown as number[];
      return { walPages, copiedPages };
    });
  }

  /** Closes the files. `clean`: everything that was in memory has been written; the next mount need not look. */
  close({ clean }: { clean: boolean }): void {
    invariant(this.#depth === 0, "the database is closed inside a transaction");
    const set = (name: string, value: number) =>
      this.transaction(() => this.setSetting(name, value), { commit: true });
    try {
      this.#commitLast({ clean });
      if (clean && !this.readOnly) {
        this.guard(() => {
          set("generation_reserved", this.#nextGeneration);
          this.checkpoint("truncate");
          // Marked last, and durably: what it vouches for is on the disk by now.
          this.#connection.exec("PRAGMA synchronous = FULL");
          set("clean", 1);
        });
      }
    } finally {
      this.#groups?.close();
      this.#connection.close();
    }
  }

  #commitLast({ clean }: { clean: boolean }): void {
    try {
      this.commit();
    } catch (error) {
      // The redo log has it: the next to open the database commits it.
      if (clean || !(error instanceof FsError)) throw error;
    }
  }
}
