/**
 * `zero export`, and `zero recover --path --to`: puts a file system, or part of it, into a plain directory,
 * without a mount. Owns the order: directories and files from the outside in, hard links when all files are
 * there, attributes of directories last. What was complete stays; the same call goes on from there.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import type { NotNewest } from "../metadata/rebuild.ts";
import { compareNames, type TreeEntry } from "../metadata/tree_reader.ts";
import { StoreError } from "../object_store/object_store.ts";
import * as libc from "../runtime/libc.ts";
import { ExportContent, type Gathering } from "./export_content.ts";
import { type ExportSource, notNewestBelow } from "./export_source.ts";
import { TransferState } from "./transfer_state.ts";
import { attributesOf, NameProblem, TransferTarget } from "./transfer_target.ts";
import { storeHint } from "./identity.ts";
import { requireEntry } from "./recover_drill.ts";

export interface ExportOptions {
  /** What is exported, from the root down. */
  names: Uint8Array[];
  to: string;
  /** Replaces what is there and different. */
  force: boolean;
  /** Compares the bytes of files that are there already, not only size and time. */
  verify: boolean;
  /** Downloads at a time. */
  parallel: number;
  signal?: AbortSignal;
  progress: (text: string) => void;
}

export interface ExportReport {
  source: string;
  to: string;
  /** Time of the state that the files are from; undefined: what the cache shows. */
  pointMs: number | undefined;
  /** Regular files that were written, and those that were there already. */
  files: number;
  unchanged: number;
  /** Written, and of these from the bucket as it stores them. */
  bytes: number;
  downloaded: number;
  /** Names that could not be restored as they should be, and why; the first PROBLEMS_KEPT of them. */
  problems: { path: string; reason: string }[];
  problemCount: number;
  notNewest: NotNewest[];
  notes: string[];
}

const STATE_NAME = ".zero-export";
const PROBLEMS_KEPT = 100_000;
/** Files with several names whose first name is remembered. */
const FIRST_NAMES_KEPT = 10_000;
const PROGRESS_MS = 250;
const { S } = libc;

/** Throws UserError where it cannot go on: a full disk, a store that fails. */
export async function exportTree(
  source: ExportSource,
  options: ExportOptions,
): Promise<ExportReport> {
  const start = requireEntry(source.tree, options.names);
  if (source.tree.at([...options.names, new TextEncoder().encode(STATE_NAME)]) !== undefined) {
    throw new UserError(`the file system has a ${STATE_NAME} of its own there`, {
      hint: "export what lies beside it one by one",
      exitCode: ExitCode.refused,
    });
  }
  const state = TransferState.open(options.to, { source: source.fileSystem, name: STATE_NAME });
  let finished = false;
  try {
    const run = new ExportRun(source, { ...options, start, state });
    const report = await run.all();
    const root = libc.open(options.to, libc.O.RDONLY | libc.O.DIRECTORY);
    if (root < 0 || libc.syncfs(root) < 0) {
      throw new UserError(`${options.to} cannot be made durable`, { hint: "look at that disk" });
    }
    libc.close(root);
    state.close({ finished: true });
    finished = true;
    if (state.ownRoot) run.directoryAttributes(start);
    return report;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`the store fails: ${error.message}`, {
      hint: `${storeHint(error)}; what was complete stays, the same command goes on from there`,
      exitCode: ExitCode.store,
      cause: error,
    });
  } finally {
    if (!finished) state.close({ finished: false });
  }
}

class ExportRun {
  readonly #source: ExportSource;
  readonly #options: ExportOptions & { start: TreeEntry; state: TransferState };
  readonly #target: TransferTarget;
  readonly #content: ExportContent;
  readonly #report: ExportReport;
  readonly #firstNames = new Map<number, Uint8Array[]>();
  #linked = false;
  #shownMs = -Infinity;

  constructor(
    source: ExportSource,
    options: ExportOptions & { start: TreeEntry; state: TransferState },
  ) {
    const { start, force, to, names } = options;
    this.#source = source;
    this.#options = options;
    const { effectiveUid: uid, gid } = libc.processIds();
    this.#target = new TransferTarget(to, { start, force, actor: { uid, gid } });
    this.#content = new ExportContent({
      source,
      parallel: options.parallel,
      signal: options.signal,
      complete: (file) => this.#name(file.entry, () => this.#publish(file)),
      failed: ({ entry }, reason) => this.#problem(entry, reason),
    });
    this.#report = {
      source: source.description,
      to,
      pointMs: source.pointMs,
      files: 0,
      unchanged: 0,
      bytes: 0,
      downloaded: 0,
      problems: [],
      problemCount: 0,
      notNewest: notNewestBelow(source, names),
      notes: source.notes,
    };
  }

  async all(): Promise<ExportReport> {
    try {
      await this.#entries();
      await this.#content.finish();
    } finally {
      await this.#content.settled();
    }
    if (this.#linked) this.#links();
    const { start } = this.#options;
    for (const directory of this.#walk({ leaving: true })) {
      if (directory !== start) this.directoryAttributes(directory);
    }
    for (const { path, became } of this.#report.notNewest) {
      if (became !== "missing") continue;
      this.#count(printName(path), "its content never reached the bucket");
    }
    return this.#withBytes();
  }

  #withBytes(): ExportReport {
    this.#report.bytes = this.#content.bytes;
    this.#report.downloaded = this.#content.downloaded;
    return this.#report;
  }

  async #entries(): Promise<void> {
    const { start } = this.#options;
    for (const entry of this.#walk({})) {
      const path = this.#target.path(entry.names);
      switch (entry.mode & S.IFMT) {
        case S.IFDIR:
          if (entry === start) break;
          this.#name(
            entry,
            () => this.#target.directory(path, entry),
            "; nothing below it is restored",
          );
          break;
        case S.IFREG:
          if (this.#isFirst(entry)) await this.#file(path, entry);
          break;
        default:
          if (this.#isFirst(entry)) this.#name(entry, () => this.#special(path, entry));
      }
      this.#show();
    }
  }

  /** Goes into directories only that are there: nothing is done through a link, or below what is missing. */
  #walk(options: { leaving?: boolean }): Iterable<TreeEntry> {
    const { start } = this.#options;
    const enter = (directory: TreeEntry) => {
      if (directory === start) return true;
      try {
        return this.#target.look(this.#target.path(directory.names), directory) === "same";
      } catch (error) {
        if (!(error instanceof NameProblem)) throw error;
        return false; // told when it was to be made
      }
    };
    return this.#source.tree.walk(start, { ...options, enter });
  }

  /** Runs what a name needs; where it cannot be done, that is noted, and the others go on. */
  #name(entry: TreeEntry, action: () => void, consequence = ""): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof NameProblem)) throw error;
      this.#problem(entry, error.message + consequence);
    }
  }

  /** Whether this is the name under which a file with several is restored; the others become links. */
  #isFirst(entry: TreeEntry): boolean {
    if (entry.nlink === 1) return true;
    this.#linked = true;
    return compareNames(this.#firstName(entry), entry.names) === 0;
  }

  #firstName({ inode }: TreeEntry): Uint8Array[] {
    const known = this.#firstNames.get(inode);
    if (known !== undefined) return known;
    const { names } = this.#options;
    const first = this.#source.tree.namesOf(inode).find((each) =>
      compareNames(each.slice(0, names.length), names) === 0
    )!;
    if (this.#firstNames.size >= FIRST_NAMES_KEPT) this.#firstNames.clear();
    this.#firstNames.set(inode, first);
    return first;
  }

  async #file(path: Uint8Array, entry: TreeEntry): Promise<void> {
    const { generation, incarnation } = this.#source.tree.details(entry.inode);
    const { state, verify, force } = this.#options;
    const there = this.#tryLook(path, entry);
    if (there === undefined) return;
    if (there === "same") {
      if (!verify || await this.#content.holds(path, { entry, incarnation })) {
        this.#report.unchanged++;
        return;
      }
    }
    if (there !== "absent" && !force) {
      const what = there === "same" ? "content that differs" : "something different";
      return this.#problem(entry, `${what} is there; --force replaces it`);
    }
    const part = state.part({ inode: entry.inode, generation });
    await this.#content.gather({ entry, part, incarnation });
  }

  #tryLook(path: Uint8Array, entry: TreeEntry) {
    let found: ReturnType<TransferTarget["look"]> | undefined;
    this.#name(entry, () => found = this.#target.look(path, entry));
    return found;
  }

  #publish({ entry, part }: Gathering): void {
    try {
      const path = this.#target.path(entry.names);
      this.#minor(entry, this.#target.publish(part, path, this.#attributes(entry)));
    } catch (error) {
      libc.unlink(part);
      throw error;
    }
    this.#report.files++;
    this.#show();
  }

  #special(path: Uint8Array, entry: TreeEntry): void {
    if (!this.#target.prepare(path, entry)) return;
    this.#target.special(path, entry);
    this.#minor(entry, this.#target.attributes(path, this.#attributes(entry)));
  }

  #links(): void {
    for (const entry of this.#walk({})) {
      if (entry.nlink === 1 || libc.isDirectory(entry.mode) || this.#isFirst(entry)) continue;
      const first = this.#target.path(this.#firstName(entry));
      this.#name(entry, () => void this.#target.link(first, this.#target.path(entry.names)));
    }
  }

  /** Last and from the inside out: what is put into a directory changes its time. */
  directoryAttributes(entry: TreeEntry): void {
    if (!libc.isDirectory(entry.mode)) return;
    const path = this.#target.path(entry.names);
    this.#minor(entry, this.#target.attributes(path, this.#attributes(entry)));
  }

  #attributes(entry: TreeEntry) {
    const { tree } = this.#source;
    return attributesOf(entry, {
      details: tree.details(entry.inode),
      xattrs: tree.xattrs(entry.inode),
    });
  }

  #minor(entry: TreeEntry, problems: string[]): void {
    if (problems.length > 0) this.#problem(entry, `not set: ${problems.join(", ")}`);
  }

  #problem(entry: TreeEntry, reason: string): void {
    this.#count(entry.names.map(printName).join("/"), reason);
  }

  #count(path: string, reason: string): void {
    this.#report.problemCount++;
    if (this.#report.problems.length < PROBLEMS_KEPT) this.#report.problems.push({ path, reason });
  }

  #show(): void {
    const nowMs = performance.now();
    if (nowMs < this.#shownMs + PROGRESS_MS) return;
    this.#shownMs = nowMs;
    const { files, unchanged } = this.#report;
    const mib = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
    this.#options.progress(
      `restored ${files} files, ${mib(this.#content.bytes)} (${
        mib(this.#content.downloaded)
      } downloaded); ${unchanged} were there already`,
    );
  }
}
