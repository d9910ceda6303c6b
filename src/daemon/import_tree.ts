/**
 * `zero import`: takes a directory with all that is in it into a mount, by ordinary system calls. Owns the
 * order: directories and files from the outside in, attributes of directories last. A file gets its name
 * when it is complete, so that the same call goes on after an interruption: what is there and equal stays.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import * as libc from "../runtime/libc.ts";
import { ImportPart } from "./import_part.ts";
import { type SourceEntry, walkSource } from "./import_walk.ts";
import { type Attributes, readXattrs } from "./plain_attributes.ts";
import { TransferState } from "./transfer_state.ts";
import { NameProblem, TransferTarget } from "./transfer_target.ts";

export interface ImportOptions {
  /** Absolute. */
  from: string;
  /** A directory; made where there is none. */
  to: string;
  /** Replaces what is there and different. */
  force: boolean;
  signal: AbortSignal;
  /**
   * Resolves when more may be written: called before each file and after every PACE_BYTES. `full`: a write
   * has just found no space.
   */
  pace: (options: { full: boolean }) => Promise<void>;
  progress: (text: string) => void;
  /** What is left of a file that was interrupted is kept from so many bytes on; by default 16 MiB. */
  worthBytes?: number;
}

export interface ImportReport {
  from: string;
  to: string;
  /** Regular files that were copied, and those that were there and equal. */
  files: number;
  unchanged: number;
  /** Bytes that were copied; holes do not count. */
  bytes: number;
  /** What was left out, or is not quite as it was, and why; the first PROBLEMS_KEPT of them. */
  problems: { path: string; reason: string }[];
  problemCount: number;
}

const PROBLEMS_KEPT = 100_000;
const BUFFER_BYTES = 1024 ** 2;
const PACE_BYTES = 64 * 1024 ** 2;
const PROGRESS_MS = 250;
const STATE_NAME = ".zero-import";
const { S } = libc;

/** Rejects with UserError where it cannot go on, and with the signal's reason. */
export async function importTree(options: ImportOptions): Promise<ImportReport> {
  const state = TransferState.open(options.to, { source: options.from, name: STATE_NAME });
  let finished = false;
  try {
    const report = await new ImportRun(options, state).all();
    finished = true;
    return report;
  } finally {
    state.close({ finished });
  }
}

class ImportRun {
  readonly #options: ImportOptions;
  readonly #state: TransferState;
  readonly #target: TransferTarget;
  readonly #report: ImportReport;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** Files with names that have not been met yet: where their first name lies. */
  readonly #firstNames = new Map<string, { path: Uint8Array; left: number }>();
  #sincePace = 0;
  #shownMs = -Infinity;

  constructor(options: ImportOptions, state: TransferState) {
    this.#options = options;
    this.#state = state;
    const { from, to, force } = options;
    const { effectiveUid: uid, gid } = libc.processIds();
    const start = { names: [], mode: S.IFDIR };
    this.#target = new TransferTarget(to, { start, force, actor: { uid, gid } });
    this.#report = { from, to, files: 0, unchanged: 0, bytes: 0, problems: [], problemCount: 0 };
  }

  async all(): Promise<ImportReport> {
    const problem = (names: Uint8Array[], reason: string) => this.#problem(names, reason);
    for (const entry of this.#walk({ problem })) {
      await this.#entry(entry);
      this.#show();
    }
    // What could not be looked at was told in the first walk.
    for (const entry of this.#walk({ leaving: true, problem: () => {} })) {
      if (entry.names.length > 0 || this.#state.ownRoot) {
        this.#try(entry, () => this.#minor(entry, this.#applied(entry)));
      }
    }
    return this.#report;
  }

  /** Goes only into directories that are there: nothing is done through a link. */
  #walk(options: Pick<Parameters<typeof walkSource>[1], "leaving" | "problem">) {
    const enter = (directory: SourceEntry) => {
      if (directory.names.length === 0) return true;
      if (isReserved(directory)) return false;
      try {
        return this.#target.look(this.#target.path(directory.names), directory) === "same";
      } catch (error) {
        if (!(error instanceof NameProblem)) throw error;
        return false; // told when it was to be made
      }
    };
    return walkSource(new TextEncoder().encode(this.#options.from), { ...options, enter });
  }

  async #entry(entry: SourceEntry): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (entry.names.length === 0) return;
    if (isReserved(entry)) {
      return this.#problem(entry.names, "this name is Zero's own; rename it to take it in");
    }
    const path = this.#target.path(entry.names);
    switch (entry.mode & S.IFMT) {
      case S.IFDIR:
        return this.#try(
          entry,
          () => this.#target.directory(path, entry),
          "; nothing below it is taken",
        );
      case S.IFSOCK:
        return this.#problem(entry.names, "a socket: it means nothing without its program");
      case S.IFREG:
        if (!this.#linked(path, entry)) await this.#file(path, entry);
        return;
      default:
        if (!this.#linked(path, entry)) this.#try(entry, () => this.#special(path, entry));
    }
  }

  /** True where it became another name of a file that is there already, or was tried in vain. */
  #linked(path: Uint8Array, entry: SourceEntry): boolean {
    const { device, inode, links } = entry.status;
    if (links < 2) return false;
    const key = `${device} ${inode}`;
    const first = this.#firstNames.get(key);
    if (first === undefined) {
      this.#firstNames.set(key, { path, left: links - 1 });
      return false;
    }
    if (--first.left === 0) this.#firstNames.delete(key);
    this.#try(entry, () => void this.#target.link(first.path, path));
    return true;
  }

  #special(path: Uint8Array, entry: SourceEntry): void {
    if (!this.#target.prepare(path, entry)) return;
    this.#target.special(path, entry);
    this.#minor(entry, this.#applied(entry));
  }

  #applied(entry: SourceEntry): string[] {
    return this.#target.attributes(this.#target.path(entry.names), attributesOf(entry));
  }

  async #file(path: Uint8Array, entry: SourceEntry): Promise<void> {
    let found: ReturnType<TransferTarget["look"]> | undefined;
    this.#try(entry, () => found = this.#target.look(path, entry));
    if (found === undefined) return;
    if (found === "same") return void this.#report.unchanged++;
    if (found === "different" && !this.#options.force) {
      return this.#problem(entry.names, "something different is there; --force replaces it");
    }
    await this.#pace(false);
    const place = this.#state.part({ inode: entry.status.inode, generation: "import" });
    const part = new ImportPart(place, { worthBytes: this.#options.worthBytes });
    let copied: string | undefined;
    try {
      copied = await this.#copy(entry, part);
    } catch (error) {
      part.leave();
      throw error;
    }
    if (copied === undefined) {
      this.#try(entry, () => {
        this.#minor(entry, this.#target.publish(place, path, attributesOf(entry)));
        this.#report.files++;
      });
    } else this.#problem(entry.names, copied);
    // Of what has got its name, nothing is left here.
    part.remove();
  }

  /** Copies the bytes of a file that the part does not have, without its holes. Why it could not be read; undefined: it was. */
  async #copy(entry: SourceEntry, part: ImportPart): Promise<string | undefined> {
    const flags = libc.O.RDONLY | libc.O.NOFOLLOW | libc.O.NONBLOCK;
    const source = libc.open(entry.path, flags);
    if (source < 0) return `not readable: ${errnoName(-source)}`;
    let target = -1;
    try {
      const before = libc.fstat(source);
      if (typeof before === "number") return `not readable: ${errnoName(-before)}`;
      const opened = part.open(before);
      if (typeof opened === "number") return void mustWrite(opened);
      target = opened.fd;
      for (let at = opened.from; at < entry.size;) {
        const data = libc.lseek(source, at, libc.SEEK.DATA);
        if (data === -Errno.ENXIO) break;
        if (data < 0) return `not readable: ${errnoName(-data)}`;
        const end = Math.min(libc.lseek(source, data, libc.SEEK.HOLE), entry.size);
        const failed = await this.#range({ source, target, part }, data, end);
        if (failed !== undefined) return failed;
        at = end;
      }
      mustWrite(libc.ftruncate(target, entry.size));
      const after = libc.fstat(source);
      if (typeof after === "number" || !unchanged(entry.status, after)) {
        return "it was changed while it was read; the next run takes it";
      }
      return undefined;
    } catch (error) {
      if (target >= 0) part.note(target);
      throw error;
    } finally {
      libc.close(source);
      if (target >= 0) libc.close(target);
    }
  }

  async #range(
    { source, target, part }: { source: number; target: number; part: ImportPart },
    from: number,
    end: number,
  ): Promise<string | undefined> {
    for (let at = from; at < end;) {
      const wanted = this.#buffer.subarray(0, Math.min(BUFFER_BYTES, end - at));
      const got = libc.pread(source, wanted, at);
      if (got < 0) return `not readable: ${errnoName(-got)}`;
      if (got === 0) return undefined; // cut meanwhile, which is looked at in the end
      for (let done = 0; done < got;) {
        const written = libc.pwrite(target, wanted.subarray(done, got), at + done);
        if (written === -Errno.ENOSPC) await this.#pace(true);
        else done += mustWrite(written);
      }
      at += got;
      this.#report.bytes += got;
      this.#sincePace += got;
      part.reached(target, at);
      if (this.#sincePace >= PACE_BYTES) await this.#pace(false);
      this.#show();
    }
    return undefined;
  }

  async #pace(full: boolean): Promise<void> {
    this.#sincePace = 0;
    await this.#options.pace({ full });
    this.#options.signal.throwIfAborted();
  }

  /** Runs what a name needs; where it cannot be done, that is noted, and the others go on. */
  #try(entry: SourceEntry, action: () => void, consequence = ""): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof NameProblem)) throw error;
      this.#problem(entry.names, error.message + consequence);
    }
  }

  #minor(entry: SourceEntry, problems: string[]): void {
    if (problems.length > 0) this.#problem(entry.names, `not set: ${problems.join(", ")}`);
  }

  #problem(names: Uint8Array[], reason: string): void {
    this.#report.problemCount++;
    if (this.#report.problems.length >= PROBLEMS_KEPT) return;
    this.#report.problems.push({ path: names.map(printName).join("/"), reason });
  }

  #show(): void {
    const nowMs = performance.now();
    if (nowMs < this.#shownMs + PROGRESS_MS) return;
    this.#shownMs = nowMs;
    const { files, unchanged, bytes } = this.#report;
    this.#options.progress(
      `imported ${files} files, ${
        (bytes / 1024 ** 2).toFixed(1)
      } MiB; ${unchanged} were there already`,
    );
  }
}

/** What an interrupted import has left is not to be imported itself. */
function isReserved({ names }: SourceEntry): boolean {
  return names.length === 1 && new TextDecoder().decode(names[0]) === STATE_NAME;
}

function attributesOf({ path, status }: SourceEntry): Attributes {
  const { mode, uid, gid, atime, mtime } = status;
  const xattrs = readXattrs(path);
  if (typeof xattrs === "number") {
    throw new NameProblem(`its extended attributes cannot be read: ${errnoName(-xattrs)}`);
  }
  return { mode, uid, gid, atime, mtime, xattrs };
}

function unchanged(before: libc.FileStatus, after: libc.FileStatus): boolean {
  return before.size === after.size && before.mtime.seconds === after.mtime.seconds &&
    before.mtime.nanoseconds === after.mtime.nanoseconds;
}

/** Nothing can be taken in where nothing can be written. */
function mustWrite(result: number): number {
  if (result >= 0) return result;
  throw new UserError(`the mount cannot be written to: ${errnoName(-result)}`, {
    hint: "see zero status; the same command goes on from there",
  });
}
