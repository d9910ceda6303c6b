/**
 * Progress on standard error: one line that is rewritten on a terminal, a plain line now and then
 * otherwise. Silent with --json. Owns the current line.
 */
import type { ControlProgress } from "../daemon/control_protocol.ts";

const PLAIN_EVERY_MS = 10_000;
const encoder = new TextEncoder();

export class Progress {
  readonly #terminal = Deno.stderr.isTerminal();
  readonly #silent: boolean;
  #lastMs = performance.now();
  #shown = false;

  constructor(options: { silent: boolean }) {
    this.#silent = options.silent;
  }

  show(text: string): void {
    if (this.#silent) return;
    if (this.#terminal) {
      Deno.stderr.writeSync(encoder.encode(`\r\x1b[K${text}`));
      this.#shown = true;
    } else if (performance.now() - this.#lastMs >= PLAIN_EVERY_MS) {
      this.#lastMs = performance.now();
      Deno.stderr.writeSync(encoder.encode(`${text}\n`));
    }
  }

  /** Takes the line away. */
  done(): void {
    if (this.#shown) Deno.stderr.writeSync(encoder.encode("\r\x1b[K"));
    this.#shown = false;
  }

  /** Shows what the daemon tells; `verb` says what it does with files that it walks over. */
  follow(verb: string): (progress: ControlProgress) => void {
    return (progress) => {
      switch (progress.kind) {
        case "upload": {
          const trouble = progress.trouble === undefined ? "" : ` (waiting: ${progress.trouble})`;
          return this.show(
            `${verb}: ${progress.saved} done, ${count(progress.waiting)} left${trouble}`,
          );
        }
        case "count":
          return this.show(`${verb}: ${progress.done} of ${count(progress.all)}`);
        case "text":
          return this.show(progress.text);
        case "entry":
          return;
      }
    };
  }
}

/** "1 file", "2 files". */
export function count(files: number): string {
  return `${files} ${files === 1 ? "file" : "files"}`;
}
