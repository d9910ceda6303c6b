/**
 * Opens the two SQLite files, with the pragmas that the rest relies on. Owns where they lie and how
 * they are tuned; knows nothing of what is in them but their schema.
 *
 * - WAL with `synchronous=NORMAL`: a commit costs no fsync. What must be durable is made so by an
 *   fdatasync of the WAL, which nobody does here.
 * - `wal_autocheckpoint=0`: a checkpoint syncs; it happens when the owner of the loop says so.
 * - `foreign_keys=OFF`: enforcing them costs lookups in every insert and delete of an inode; fsck and
 *   the tests check the references instead (`PRAGMA foreign_key_check`).
 * - No mmap: a failing disk would then be a SIGBUS that kills the mount instead of an EIO.
 * - `busy_timeout` 1 s: there is one writer, so only a truncating checkpoint ever waits, for readers,
 *   and no read transaction lasts longer than that.
 */
import { DatabaseSync } from "node:sqlite";
import { ExitCode, UserError } from "../domain/errors.ts";
import { HISTORY_SCHEMA } from "./schema.ts";
import { isDamaged } from "./sqlite_errors.ts";

/** In place of a directory: both databases live in memory only. */
export const MEMORY = ":memory:";

export const metadataPath = (directory: string) =>
  directory === MEMORY ? MEMORY : `${directory}/metadata.db`;
export const historyPath = (directory: string) =>
  directory === MEMORY ? MEMORY : `${directory}/history.db`;

/** What was done since the last commit (redo_log.ts). Not for databases in memory. */
export const redoPath = (directory: string) => `${directory}/metadata.redo`;

/** Page caches of the two databases, KiB. */
const CACHE_KIB = 32 * 1024;
/** The queues of eviction are walked by rank, which is at random as far as pages are concerned. */
const HISTORY_CACHE_KIB = 8 * 1024;

/** A log that has been longer is cut down to this when it begins anew; see log_bound.ts. */
export const LOG_BYTES = 64 * 1024 * 1024;

/** Opens `metadata.db`. Throws UserError where it cannot be opened or is no database. */
export function openMetadata(
  directory: string,
  { readOnly = false }: { readOnly?: boolean } = {},
): DatabaseSync {
  const path = metadataPath(directory);
  let connection: DatabaseSync | undefined;
  try {
    connection = new DatabaseSync(path, { readOnly, enableForeignKeyConstraints: false });
    connection.exec("PRAGMA busy_timeout = 1000");
    if (!readOnly) {
      connection.exec("PRAGMA page_size = 4096");
      connection.exec("PRAGMA journal_mode = WAL");
      connection.exec("PRAGMA synchronous = NORMAL");
      connection.exec("PRAGMA wal_autocheckpoint = 0");
      connection.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`);
    }
    connection.exec("PRAGMA foreign_keys = OFF");
    connection.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    connection.exec("PRAGMA temp_store = MEMORY");
    connection.exec("PRAGMA mmap_size = 0");
    connection.prepare("SELECT count(*) FROM sqlite_schema").get();
    return connection;
  } catch (error) {
    connection?.close();
    throw new UserError(`cannot open ${path}: ${(error as Error).message}`, {
      hint: isDamaged(error)
        ? "the file is damaged; keep it, and restore with `zero recover`"
        : "look at the permissions of the cache directory and at its disk",
      exitCode: ExitCode.failure,
      cause: error,
    });
  }
}

/**
 * Attaches `history.db` as `history`, creating it where it is absent and replacing it where it is
 * damaged: nothing in it is precious. True where it holds all it should, false where it was made anew.
 * Read-only, an absent or damaged one is left out (and false returned).
 */
export function attachHistory(
  connection: DatabaseSync,
  { directory, readOnly = false }: { directory: string; readOnly?: boolean },
): boolean {
  const path = historyPath(directory);
  try {
    return attach(connection, { path, readOnly });
  } catch (error) {
    if (readOnly) return false;
    if (!isDamaged(error)) throw error;
    if (isAttached(connection)) connection.exec("DETACH history");
    for (const suffix of ["", "-wal", "-shm"]) {
      try {
        Deno.removeSync(path + suffix);
      } catch (failure) {
        if (!(failure instanceof Deno.errors.NotFound)) throw failure;
      }
    }
    return attach(connection, { path, readOnly });
  }
}

function isAttached(connection: DatabaseSync): boolean {
  return connection.prepare("SELECT 1 FROM pragma_database_list WHERE name = 'history'").get() !==
    undefined;
}

function attach(
  connection: DatabaseSync,
  { path, readOnly }: { path: string; readOnly: boolean },
): boolean {
  connection.prepare("ATTACH ? AS history").run(path);
  connection.exec(`PRAGMA history.cache_size = -${HISTORY_CACHE_KIB}`);
  if (!readOnly) {
    connection.exec("PRAGMA history.page_size = 4096");
    connection.exec("PRAGMA history.journal_mode = WAL");
    connection.exec("PRAGMA history.synchronous = NORMAL");
    connection.exec(`PRAGMA history.journal_size_limit = ${LOG_BYTES}`);
    connection.exec("PRAGMA history.mmap_size = 0");
  }
  const exists = connection.prepare(
    "SELECT 1 FROM history.sqlite_schema WHERE name = 'usage_queue'",
  ).get();
  if (exists !== undefined) return historyIsComplete(connection);
  if (readOnly) return false;
  connection.exec("BEGIN");
  // The schema is written for a database of its own; here it lands in an attached one.
  connection.exec(
    HISTORY_SCHEMA.replaceAll(/CREATE (TABLE|INDEX|TRIGGER) /g, "CREATE $1 history.")
      .replaceAll("INSERT INTO tally", "INSERT INTO history.tally"),
  );
  connection.exec("COMMIT");
  return false;
}

/** Whether everything that is known to be missing has been put back since; kept in its user_version. */
function historyIsComplete(connection: DatabaseSync): boolean {
  return connection.prepare("PRAGMA history.user_version").get()?.user_version === 1;
}

/** Notes that history holds all it should, or that it may not. */
export function markHistory(connection: DatabaseSync, { complete }: { complete: boolean }): void {
  connection.exec(`PRAGMA history.user_version = ${complete ? 1 : 0}`);
}

export function fileExists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
