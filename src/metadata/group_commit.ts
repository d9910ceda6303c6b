/**
 * Several operations in one transaction of SQLite. A commit writes every page it has touched, some ten
 * for a new file, and most of them again for the next file; shared by many operations, they are written
 * once. Owns when the connection begins and commits.
 *
 * An operation counts as done when its statements stand in the redo log: a kill of this process loses
 * nothing then, and whoever opens the database next runs them again (`recover`). What must survive more
 * than that, or be seen by another connection, is committed first, with everything before it
 * (`commit`). `total.redo_group` is the number of the last group that was committed, by which a redo
 * log knows the rows that it goes on from.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Errno } from "../domain/errno.ts";
import { FsError, InvariantError, UserError } from "../domain/errors.ts";
import { readRedo, type Redo, RedoLog } from "./redo_log.ts";
import { translateSqliteError } from "./sqlite_errors.ts";

/** Operations, and bytes of redo log, after which a group is committed. */
const OPERATIONS = 512;
const BYTES = 256 * 1024;

const NO_ROOM: number[] = [Errno.ENOSPC, Errno.EDQUOT, Errno.EOPNOTSUPP];

const COMMITTED_GROUP = "SELECT redo_group FROM total";
const SET_GROUP = "UPDATE total SET redo_group = ?";

export class GroupCommit {
  readonly #connection: DatabaseSync;
  readonly #log: RedoLog;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #setGroup: StatementSync;
  #group: number;
  #open = false;
  #operations = 0;
  /** Something was written that the log does not hold: only a commit keeps it. */
  #unlogged = false;
  /** Rows of the database were written since the last commit, whether or not the log holds that. */
  #wrote = false;
  /** The last commit failed; the operations are in the log, and in an open transaction again. */
  #stuck = false;
  /** Told when a group begins: somebody must commit it, soon. */
  onBegun: () => void = () => {};
  /** Told after a commit, with how many operations it held. */
  onCommitted: (operations: number) => void = () => {};

  /**
   * What an older log at `path` holds must have been recovered. Undefined where the disk has no room
   * for the log: then every transaction is to be committed by itself.
   */
  static on(connection: DatabaseSync, { path }: { path: string }): GroupCommit | undefined {
    try {
      return new GroupCommit(connection, { path });
    } catch (error) {
      const full = error instanceof FsError && NO_ROOM.includes(error.errno);
      if (!full) throw error;
      return undefined;
    }
  }

  private constructor(connection: DatabaseSync, { path }: { path: string }) {
    this.#connection = connection;
    this.#log = new RedoLog(path);
    this.#begin = connection.prepare("BEGIN");
    this.#commit = connection.prepare("COMMIT");
    this.#setGroup = connection.prepare(SET_GROUP);
    this.#group = committedGroup(connection) + 1;
  }

  /** An operation begins. Throws where an earlier group still cannot be committed. */
  begin(): void {
    if (this.#stuck) this.commit();
    this.open();
    this.#log.begin();
  }

  /** Begins a group, if there is none: what is read now and later costs no locks of its own. */
  open(): void {
    if (this.#open) return;
    this.#begin.run();
    this.#open = true;
    this.#operations = 0;
    this.onBegun();
  }

  /** Within an operation: this statement was run. */
  ran(number: number, sql: string, parameters: Redo["parameters"]): void {
    this.#wrote = true;
    this.#log.add(number, sql, parameters);
  }

  /** Within an operation: something was written that is lost unless it is committed, and may be. */
  ranUnlogged(): void {
    this.#unlogged = true;
  }

  /** The operation is complete; `commit`: in the database, with all before it. Where it throws, `undo`. */
  end({ commit }: { commit: boolean }): void {
    this.#operations++;
    if (commit || !this.#log.seal(this.#group)) this.#commitNow();
  }

  /** After `end`: commits where that is due. A disk that is full is no error of this operation. */
  settle(): void {
    const due = this.#unlogged || this.#operations >= OPERATIONS || this.#log.length >= BYTES;
    if (!due || !this.#open) return;
    try {
      this.#commitNow();
    } catch {
      // Whoever begins the next operation hears of it.
      this.#restore();
      this.#stuck = this.#open;
    }
  }

  /** The operation has failed: the rows are as after the one before it. */
  undo(): void {
    this.#restore();
  }

  /** Commits what is open. Throws SQLite's error where it cannot: nothing is lost, and it can be tried again. */
  commit(): void {
    if (!this.#open) return;
    try {
      this.#commitNow();
    } catch (error) {
      this.#restore();
      this.#stuck = this.#open;
      throw error;
    }
  }

  #commitNow(): void {
    // Also where the log holds nothing of it: what is logged next goes on from these rows, and must not
    // be run again on others, should a power cut take them and leave the log.
    const wrote = this.#wrote;
    if (wrote) this.#setGroup.run(this.#group);
    this.#commit.run();
    this.#open =
      this.#unlogged =
      this.#stuck =
      this.#wrote =
        false;
    this.#log.reset();
    if (wrote) this.#group++;
    if (this.#operations > 0) this.onCommitted(this.#operations);
  }

  /** Takes the transaction back and runs again what stands in the log. */
  #restore(): void {
    try {
      // After a full disk SQLite may have rolled back by itself.
      if (this.#connection.isTransaction) this.#connection.exec("ROLLBACK");
      this.#open = this.#unlogged = false;
      this.#log.begin();
      if (this.#log.length === 0) return;
      this.#begin.run();
      this.#open = true;
      runAgain(this.#connection, this.#log.statements(this.#group));
    } catch (error) {
      throw new InvariantError(
        `memory and rows differ after a failed rollback: ${(error as Error).message}`,
      );
    }
  }

  close(): void {
    this.#log.close();
  }
}

function committedGroup(connection: DatabaseSync): number {
  return connection.prepare(COMMITTED_GROUP).get()!.redo_group as number;
}

function runAgain(connection: DatabaseSync, redo: readonly Redo[]): void {
  const statements = new Map<string, StatementSync>();
  for (const { sql, parameters } of redo) {
    let statement = statements.get(sql);
    if (statement === undefined) statements.set(sql, statement = connection.prepare(sql));
    statement.all(...parameters);
  }
}

/** Whether a process that was killed had acknowledged what it had not committed. */
export function isUnfinished(connection: DatabaseSync, { path }: { path: string }): boolean {
  return readRedo(path, committedGroup(connection) + 1).length > 0;
}

/**
 * Commits what a process had acknowledged and not committed when it was killed. For whoever opens the
 * database to write, before anything else. Returns how many statements were run.
 */
export function recover(connection: DatabaseSync, { path }: { path: string }): number {
  const group = committedGroup(connection) + 1;
  const redo = readRedo(path, group);
  if (redo.length === 0) return 0;
  connection.exec("BEGIN");
  try {
    runAgain(connection, redo);
    connection.prepare(SET_GROUP).run(group);
    connection.exec("COMMIT");
  } catch (error) {
    if (connection.isTransaction) connection.exec("ROLLBACK");
    const translated = translateSqliteError(error);
    if (translated instanceof FsError) throw translated;
    throw new UserError(
      `what was done just before the last crash cannot be done again: ${(error as Error).message}`,
      {
        hint: `keep ${path} for a report; with it out of the way the mount goes on without that`,
        cause: error,
      },
    );
  }
  return redo.length;
}
