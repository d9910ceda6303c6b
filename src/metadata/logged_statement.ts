/**
 * Prepared statements that tell what they have written, so that it can be run again (redo_log.ts).
 * Owns what can be told from a statement's text: whether it reads or writes, and which of the two
 * databases: of `history.db` nothing is logged, for nothing in it is precious.
 */
import type { StatementSync } from "node:sqlite";
import type { Parameter } from "./redo_log.ts";

/** What the rest uses of a prepared statement. */
export type Statement = Pick<StatementSync, "run" | "get" | "all">;

/** Hears of what statements write. */
export interface WriteLog {
  /** Runs `write` as a part of the operation that is under way, or as one of its own. */
  within<T>(write: () => T): T;
  ran(number: number, sql: string, parameters: Parameter[]): void;
  ranUnlogged(): void;
}

const WRITE =
  /^\s*(?:WITH\b[^;]*?\)\s*)?(?:INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+([\w.]+)/i;

/** What `sql` writes: `main.db`, the history, or nothing. */
export function written(sql: string): "main" | "history" | undefined {
  const target = WRITE.exec(sql)?.[1];
  if (target === undefined) return undefined;
  return target.startsWith("history.") ? "history" : "main";
}

/** `statement`, which writes, with everything that it does told to `log`. */
export function logged(
  statement: StatementSync,
  { sql, number, log }: { sql: string; number: number; log: WriteLog },
): Statement {
  const history = written(sql) === "history";
  const tell = (parameters: Parameter[]) => {
    if (history) log.ranUnlogged();
    else log.ran(number, sql, parameters);
  };
  // deno-lint-ignore no-explicit-any
  const told = (run: (...parameters: any[]) => any) => (...parameters: any[]) =>
    log.within(() => {
      const result = run(...parameters);
      tell(parameters);
      return result;
    });
  return {
    run: told((...parameters) => statement.run(...parameters)),
    get: told((...parameters) => statement.get(...parameters)),
    all: told((...parameters) => statement.all(...parameters)),
  };
}

/**
 * SQLite plans a statement anew for each value of a bare `LIMIT ?` (measured: 8 µs a call, where the
 * rest takes 2); the value of an expression it does not look at.
 */
export const planned = (sql: string) => sql.replaceAll(/\bLIMIT (\?\d*)(?!\s*\+)/g, "LIMIT $1 + 0");

/**
 * Numbers that come as one parameter, as JSON: `inode IN ${LISTED}`. A statement that changes many rows
 * costs a third of as many statements (measured: 14 µs and 5.5 for a name that goes).
 */
export const LISTED = "(SELECT value FROM json_each(?))";
