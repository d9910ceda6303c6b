/**
 * Prepared statements that tell what they have written, so that it can be run again (redo_log.ts).
 * Owns how a statement that writes is told from one that reads, and which of the two databases it
 * writes: of `history.db` nothing is logged, for nothing in it is precious.
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
