/** Starts the promise writer and checker as processes of their own, and ends what it started. */
import { run, type RunResult } from "../zero_process.ts";
import { type Line, readLog } from "./log.ts";

const here = new URL(".", import.meta.url).pathname;
const CHECK_TIMEOUT_MS = 120_000;

/** `close`: closing is a promise (kills); `fsync`: only fsync is (power cuts). */
export type PromiseMode = "close" | "fsync";

export class PromiseRun {
  #seen = 0;

  constructor(
    readonly directory: string,
    readonly log: string,
    readonly mode: PromiseMode,
  ) {
    Deno.writeTextFileSync(log, "", { append: true });
  }

  /** Starts a writer. It runs until it meets an error or is ended by the disposal of what this returns. */
  start(seed: number): AsyncDisposable & { ended: Promise<unknown> } {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${here}writer.ts`, this.directory, this.log, `${seed}`, this.mode],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    let over = false;
    const ended = child.status.then((status) => {
      over = true;
      return status;
    });
    return {
      ended,
      async [Symbol.asyncDispose]() {
        if (!over) child.kill("SIGKILL");
        await ended;
      },
    };
  }

  lines(): Line[] {
    return readLog(this.log);
  }

  promises(): number {
    return this.lines().filter(({ op }) => op === "promise").length;
  }

  /** Whether a writer has met trouble since `forgetErrors`. */
  failed(): boolean {
    return this.troublesBefore(Infinity).length > 0;
  }

  /** From here on only what comes later counts as trouble: the fault that ended a writer was meant. */
  forgetErrors(): void {
    this.#seen = this.lines().length;
  }

  /** Errors and wrong reads that the writer met before the fault at `atMs`; it must have met none. */
  troublesBefore(atMs: number): Line[] {
    return this.lines().slice(this.#seen).filter((line) =>
      line.op === "wrong" || (line.op === "error" && line.atMs < atMs)
    );
  }

  /** Compares the files with the promises. */
  check(): Promise<RunResult> {
    const zeros = this.mode === "fsync" ? ["zeros"] : [];
    const args = ["run", "-A", `${here}checker.ts`, this.directory, this.log, ...zeros];
    return run(Deno.execPath(), args, { timeoutMs: CHECK_TIMEOUT_MS });
  }
}
