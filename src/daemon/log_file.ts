/**
 * The daemon's log: zero.log in the cache directory (mode 600), rotated by size. Owns that file. Lines
 * are `time level message`; whoever logs takes care that no secret is in it.
 */
import * as libc from "../runtime/libc.ts";
import { replaceDescriptor } from "../runtime/process_limits.ts";
import { LIMITS } from "./limits.ts";

export type Level = "info" | "warn" | "error";

const encoder = new TextEncoder();

export class LogFile {
  readonly #path: string;
  #fd = -1;
  #written = 0;
  #takesStandardError = false;
  readonly #echo: boolean;

  /** `echo`: also writes each line to standard error (in the foreground). */
  constructor(path: string, options: { echo: boolean }) {
    this.#path = path;
    this.#echo = options.echo;
    this.#open();
  }

  #open(): void {
    const flags = libc.O.WRONLY | libc.O.APPEND | libc.O.CREAT | libc.O.NOFOLLOW;
    this.#fd = libc.open(this.#path, flags, 0o600);
    const status = this.#fd < 0 ? undefined : libc.fstat(this.#fd);
    this.#written = typeof status === "object" ? status.size : 0;
    if (this.#takesStandardError && this.#fd >= 0) this.takeStandardStreams();
  }

  /** From now on standard output and error end in the log, those of a crash included. */
  takeStandardStreams(): void {
    this.#takesStandardError = true;
    if (this.#fd < 0) return;
    replaceDescriptor(this.#fd, 1);
    replaceDescriptor(this.#fd, 2);
  }

  write(level: Level, message: string): void {
    const line = `${new Date().toISOString()} ${level} ${message.replaceAll("\n", "\n  ")}\n`;
    const bytes = encoder.encode(line);
    if (this.#echo) libc.write(2, bytes);
    if (this.#fd < 0) return;
    // A full disk costs log lines and nothing else.
    if (libc.write(this.#fd, bytes) > 0) this.#written += bytes.length;
    if (this.#written > LIMITS.LOG_BYTES) this.#rotate();
  }

  #rotate(): void {
    libc.close(this.#fd);
    for (let n = LIMITS.LOG_FILES - 1; n >= 1; n--) {
      libc.rename(n === 1 ? this.#path : `${this.#path}.${n - 1}`, `${this.#path}.${n}`);
    }
    this.#open();
  }

  info = (message: string): void => this.write("info", message);
  warn = (message: string): void => this.write("warn", message);
  error = (message: string): void => this.write("error", message);

  close(): void {
    if (this.#fd >= 0 && !this.#takesStandardError) libc.close(this.#fd);
    this.#fd = -1;
  }
}
