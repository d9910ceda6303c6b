/**
 * Turns what SQLite throws into the words of this project. Owns the list of result codes that are
 * expected in production; everything else that SQLite says is a defect and stays what it is.
 */
import { Errno } from "../domain/errno.ts";
import { FsError, InvariantError } from "../domain/errors.ts";

/** Primary result codes, https://sqlite.org/rescode.html. */
const Code = {
  BUSY: 5,
  NOMEM: 7,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  CONSTRAINT: 19,
  NOTADB: 26,
} as const;

/** The primary result code of an error that SQLite raised; undefined for any other error. */
function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errcode } = error as Error & { code?: unknown; errcode?: unknown };
  // The low byte of an extended code is the primary one.
  return code === "ERR_SQLITE_ERROR" && typeof errcode === "number" ? errcode & 0xff : undefined;
}

/**
 * The error to throw instead of `error`: `FsError` for what a disk does (full: ENOSPC; unreadable,
 * damaged, locked: EIO), `InvariantError` for a violated CHECK or UNIQUE, `error` itself otherwise.
 */
export function translateSqliteError(error: unknown): unknown {
  const code = sqliteCode(error);
  if (code === undefined) return error;
  const message = (error as Error).message;
  switch (code) {
    case Code.FULL:
      return new FsError(Errno.ENOSPC, `metadata: ${message}`);
    case Code.NOMEM:
      return new FsError(Errno.ENOMEM, `metadata: ${message}`);
    case Code.IOERR:
    case Code.CORRUPT:
    case Code.CANTOPEN:
    case Code.READONLY:
    case Code.NOTADB:
    case Code.BUSY:
      return new FsError(Errno.EIO, `metadata: ${message}`);
    case Code.CONSTRAINT:
      return new InvariantError(`metadata: ${message}`);
    default:
      return error;
  }
}

/** True where the file is no (usable) database: damaged, or something else altogether. */
export function isDamaged(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === Code.NOTADB || code === Code.CORRUPT;
}
