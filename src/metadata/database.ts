/**
 * The metadata database: transactions, prepared statements, settings, the generation counter. Owns
 * the connection; the tables (`*_table.ts`) own their SQL.
 *
 * Promises: a transaction happens wholly or not at all, and when it does not, whoever keeps rows in
 * memory hears of it (`onRollback`) before the error goes on. A full disk is ENOSPC, a failing one
 * EIO, both as FsError. Never reads clocks or files but its own two.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ExitCode, invariant, InvariantError, UserError } from "../domain/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { attachHistory, markHistory, MEMORY, metadataPath, openMetadata } from "./connection.ts";
import { migrate } from "./migrations.ts";
import { METADATA_SCHEMA, SCHEMA_VERSION } from "./schema.ts";
import { translateSqliteError } from "./sqlite_errors.ts";

/** A prepared statement; rows come as objects unless made by `arrayStatement`. */
export type Statement = StatementSync;

/** What `node:sqlite` has and its types here do not name yet. */
type ArrayCapable = StatementSync & { setReturnArrays(enabled: boolean): void };

/** How many values of the generation counter are reserved at once. */
const GENERATION_BLOCK = 4096;

export interface CreateOptions {
  /** The cache directory, which exists and holds no database; or `:memory:`. */
  directory: string;
  fileSystemId: string;
  /** Bytes per chunk, fixed for ever. */
  chunkSize: number;
  /** URL of the bucket, without credentials. */
  store: string;
  clock: Clock;
  /** Owner and permission bits of the root directory; root:root 0755 unless given. */
  root?: { uid: number; gid: number; mode: number };
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
  readonly #statements = new Map<string, StatementSync>();
  readonly #arrayStatements = new Map<string, StatementSync>();
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollbackListeners: (() => void)[] = [];
  readonly #commitListeners: (() => void)[] = [];
  #depth = 0;
  #failed: { error: unknown } | undefined;
  #nextGeneration: number;
  #reservedGeneration: number;

  private constructor(
    connection: DatabaseSync,
    state: { directory: string; readOnly: boolean; wasClean: boolean; historyComplete: boolean },
  ) {
    this.#connection = connection;
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
    const { directory, clock } = options;
    const connection = openMetadata(directory);
    try {
      // A file that a cut-short attempt left behind is empty: the schema lands in one transaction.
      if (connection.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() !== undefined) {
        throw new UserError(`${directory} already holds a file system`, {
          hint: "mount it, or choose an empty cache directory",
          exitCode: ExitCode.refused,
        });
      }
      const root = options.root ?? { uid: 0, gid: 0, mode: 0o755 };
      const { seconds, nanoseconds } = clock.now();
      connection.exec("PRAGMA synchronous = FULL");
      connection.exec("BEGIN");
      connection.exec(METADATA_SCHEMA);
      const set = connection.prepare("INSERT INTO setting (name, value) VALUES (?, ?)");
      set.run("schema_version", SCHEMA_VERSION);
      set.run("file_system_id", options.fileSystemId);
      set.run("chunk_size", options.chunkSize);
      set.run("store", options.store);
      set.run("created_ms", Math.floor(clock.wallMs()));
      set.run("generation_reserved", 1);
      set.run("clean", 0);
      connection.prepare(
        `INSERT INTO inode (id, mode, uid, gid, nlink, size,
           atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns)
         VALUES (1, ?1, ?2, ?3, 2, 4096, ?4, ?5, ?4, ?5, ?4, ?5, ?4, ?5)`,
      ).run(0o040000 | root.mode, root.uid, root.gid, seconds, nanoseconds);
      // Cookies 1 and 2 belong to "." and "..".
      connection.exec("INSERT INTO sqlite_sequence (name, seq) VALUES ('dentry', 2)");
      connection.exec("COMMIT");
      connection.exec("PRAGMA synchronous = NORMAL");
      attachHistory(connection, { directory });
      markHistory(connection, { complete: true });
      return new MetadataDatabase(connection, {
        directory,
        readOnly: false,
        wasClean: true,
        historyComplete: true,
      });
    } catch (error) {
      connection.close();
      throw translateSqliteError(error);
    }
  }

  /**
   * Opens an existing database. Writable (the default), it is marked as not clean until
   * `close({ clean: true })`, and an older schema is migrated. Throws UserError where there is none,
   * where it is damaged, and where a newer zero made it.
   */
  static open(
    { directory, readOnly = false }: { directory: string; readOnly?: boolean },
  ): MetadataDatabase {
    const path = metadataPath(directory);
    if (!exists(path)) {
      throw new UserError(`${directory} holds no file system: ${path} does not exist`, {
        hint: "make one with `zero init`, or bring one back with `zero recover`",
        exitCode: ExitCode.refused,
      });
    }
    const connection = openMetadata(directory, { readOnly });
    try {
      checkVersion(connection, { path, readOnly });
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
      return new MetadataDatabase(connection, { directory, readOnly, wasClean, historyComplete });
    } catch (error) {
      connection.close();
      throw translateSqliteError(error);
    }
  }

  /**
   * Runs `body` as one transaction and returns its result. Inside another transaction it joins that
   * one. When `body` throws, nothing has happened: the rows are as before, the rollback listeners
   * have run, and the error (SQLite's translated) is thrown on. `body` must not be asynchronous.
   */
  transaction<T>(body: () => T): T {
    if (this.#depth > 0) return this.#joined(body);
    invariant(!this.readOnly, "a read-only database has no transactions");
    let result: T;
    try {
      this.#begin.run();
      this.#depth = 1;
      result = body();
      // Half of a nested transaction must not be committed because somebody caught its error.
      if (this.#failed !== undefined) throw this.#failed.error;
      invariant(!(result instanceof Promise), "a transaction cannot wait");
      this.#commit.run();
      this.#depth = 0;
    } catch (error) {
      this.#rollback();
      throw translateSqliteError(error);
    }
    for (const listener of this.#commitListeners) listener();
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
      // After a full disk SQLite may have rolled back by itself.
      if (this.#connection.isTransaction) this.#connection.exec("ROLLBACK");
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

  /** `listener` runs after each outermost commit. It must not throw. */
  onCommit(listener: () => void): void {
    this.#commitListeners.push(listener);
  }

  /** The prepared statement for `sql`, made once. Its rows are objects. */
  statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#connection.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** The same with rows as arrays, in the order of the columns: a third cheaper for wide rows. */
  arrayStatement(sql: string): Statement {
    let statement = this.#arrayStatements.get(sql);
    if (statement === undefined) {
      statement = this.#connection.prepare(sql);
      (statement as ArrayCapable).setReturnArrays(true);
      this.#arrayStatements.set(sql, statement);
    }
    return statement;
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
    if (this.#nextGeneration >= this.#reservedGeneration) {
      const reserved = this.#nextGeneration + GENERATION_BLOCK;
      this.guard(() => this.setSetting("generation_reserved", reserved));
      this.#reservedGeneration = reserved;
    }
    return this.#nextGeneration++;
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
    try {
      if (clean && !this.readOnly) {
        this.guard(() => {
          this.setSetting("generation_reserved", this.#nextGeneration);
          this.checkpoint("truncate");
          // Marked last, and durably: what it vouches for is on the disk by now.
          this.#connection.exec("PRAGMA synchronous = FULL");
          this.setSetting("clean", 1);
        });
      }
    } finally {
      this.#connection.close();
    }
  }
}

function readSetting(connection: DatabaseSync, name: string): unknown {
  return connection.prepare("SELECT value FROM setting WHERE name = ?").get(name)?.value;
}

function checkVersion(
  connection: DatabaseSync,
  { path, readOnly }: { path: string; readOnly: boolean },
): void {
  const known = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'setting'").get();
  const version = known === undefined ? undefined : readSetting(connection, "schema_version");
  if (typeof version !== "number") {
    throw new UserError(`${path} is not a database of zero`, {
      hint: "choose another cache directory",
      exitCode: ExitCode.refused,
    });
  }
  if (readOnly && version < SCHEMA_VERSION) {
    throw new UserError(
      `${path} has the older schema ${version}; this program reads ${SCHEMA_VERSION}`,
      {
        hint: "mount it once, which migrates it",
        exitCode: ExitCode.refused,
      },
    );
  }
  migrate(connection, { path, version });
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
