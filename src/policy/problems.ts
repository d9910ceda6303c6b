/**
 * What is wrong with a policy: a problem with its place, the line it stands in and a way out. Pure
 * text. Finds nothing by itself.
 */
import type { Place } from "./model.ts";

export interface Problem extends Place {
  severity: "error" | "warning";
  /** Stable, for programs: `unknown-key`, `unreachable-rule` … */
  code: string;
  message: string;
  hint?: string;
  /** The line, and below it a caret under the place. */
  excerpt: string;
}

/** Longest part of a line that is shown. */
const EXCERPT_WIDTH = 100;

/** Lines of a text, so that excerpts can be cut from it. */
export class SourceText {
  readonly #lines: string[];
  /** Where each line begins in the text. */
  readonly #starts: number[];

  constructor(readonly file: string, text: string) {
    this.#lines = text.split(/\r\n|\r|\n/);
    this.#starts = [
      0,
      ...[...text.matchAll(/\r\n|\r|\n/g)].map((end) => end.index + end[0].length),
    ];
  }

  /** Line and column, both from 1, of the character at `offset`. */
  locate(offset: number): { line: number; column: number } {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    const column = Math.max(0, offset) - this.#starts[low] + 1;
    return { line: low + 1, column: Math.min(column, this.#lines[low].length + 1) };
  }

  /** The line and carets under `length` characters of it. `line` and `column` count from 1. */
  excerpt({ line, column, length }: { line: number; column: number; length: number }): string {
    const whole = (this.#lines[line - 1] ?? "").replace(/\t/g, " ");
    const from = column - 1 > EXCERPT_WIDTH - 20 ? column - 21 : 0;
    const shown = whole.slice(from, from + EXCERPT_WIDTH);
    const carets = "^".repeat(Math.max(1, Math.min(length, shown.length - (column - 1 - from))));
    const gutter = String(line).length;
    const cut = from > 0 ? "…" : "";
    const pad = " ".repeat(cut.length + column - 1 - from);
    return `${line} | ${cut}${shown}\n${" ".repeat(gutter)} | ${pad}${carets}`;
  }

  problem(
    about: {
      severity?: Problem["severity"];
      code: string;
      message: string;
      hint?: string;
      line: number;
      column: number;
      length: number;
    },
  ): Problem {
    const { severity = "error", length, line, column, ...rest } = about;
    return {
      severity,
      ...rest,
      file: this.file,
      line,
      column,
      excerpt: this.excerpt({ line, column, length }),
    };
  }
}

/** `file:line:column`. */
export const printPlace = (place: Place): string => `${place.file}:${place.line}:${place.column}`;

/** A problem as people read it: several lines, no newline at the end. */
export function renderProblem(problem: Problem): string {
  const lines = [
    `${printPlace(problem)}: ${problem.severity}: ${problem.message}`,
    ...problem.excerpt.split("\n").map((line) => `  ${line}`),
  ];
  if (problem.hint !== undefined) lines.push(`  hint: ${problem.hint}`);
  return lines.join("\n");
}

/** Problems in the order of the file, each once. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return [...problems]
    .sort((a, b) => a.line - b.line || a.column - b.column || (a.message < b.message ? -1 : 1))
    .filter((problem) => {
      const key = `${problem.line}:${problem.column}:${problem.message}`;
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
}
