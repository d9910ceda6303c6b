/**
 * What counts as a use of a file: an open, a close or a write, at most one a second per file, by a
 * program that no rule leaves out. Reads do not count, because those of lent files are not seen. Tells
 * the usage table, from which the order of eviction comes, and the access trace, which also hears of
 * those who are left out, of changes and of removals.
 */
import { ReaderClass, TraceKind } from "../domain/access_trace.ts";
import type { UsageTable } from "../metadata/usage_table.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Treatment } from "./reader_rules.ts";
import type { TraceFile } from "./trace_file.ts";

/** Between two uses of one file, milliseconds. */
const APART_MS = 1000;
/** Files whose last use is remembered for that. */
const REMEMBERED = 4096;
/** Changed files that wait for their record. */
const CHANGED = 4096;

export class Uses {
  readonly #usage: UsageTable;
  readonly #trace: TraceFile | undefined;
  readonly #wallMs: () => number;
  /** Time of the last use that counted, and of the last access that did not, by inode. */
  readonly #counted = new Map<number, number>();
  readonly #uncounted = new Map<number, number>();
  readonly #changed = new Set<Inode>();

  constructor(
    usage: UsageTable,
    { trace, wallMs }: { trace: TraceFile | undefined; wallMs: () => number },
  ) {
    this.#usage = usage;
    this.#trace = trace;
    this.#wallMs = wallMs;
  }

  /** A program has opened the file to read, or closed it. */
  read(inode: Inode, treatment: Treatment | undefined): void {
    const counts = treatment?.counts !== false;
    const now = Math.floor(this.#wallMs());
    if (!elapsed(counts ? this.#counted : this.#uncounted, inode.id, now)) return;
    if (counts) this.#usage.record(inode.id, now);
    this.#note(inode, { kind: TraceKind.READ, reader: classOf(treatment), timeMs: now });
  }

  /** A program has opened the file to write, writes, or closes it: a use, whose record comes with what it changes. */
  write(inode: Inode, treatment?: Treatment): void {
    if (treatment?.counts === false) return;
    const now = Math.floor(this.#wallMs());
    if (elapsed(this.#counted, inode.id, now)) this.#usage.record(inode.id, now);
  }

  /** Wall clock, milliseconds, of the last use, to a few seconds; undefined where nothing is known. */
  lastUsed(inode: number): number | undefined {
    return this.#counted.get(inode) ?? this.#usage.lastUsedBefore(inode);
  }

  /** Content or size has changed. The record says how large the file is when it is written down. */
  changed(inode: Inode): void {
    if (this.#trace === undefined) return;
    this.#changed.add(inode);
    if (this.#changed.size >= CHANGED) this.#noteChanged();
  }

  /** The file is gone. */
  removed(inode: Inode): void {
    this.#changed.delete(inode);
    this.#counted.delete(inode.id);
    this.#uncounted.delete(inode.id);
    if (!isRegular(inode)) return;
    const timeMs = Math.floor(this.#wallMs());
    this.#note(inode, { kind: TraceKind.REMOVE, reader: ReaderClass.USER, timeMs });
  }

  /** Writes the trace down as far as it goes. Once a second is enough. */
  flush(): void {
    this.#noteChanged();
    this.#trace?.flush();
  }

  #noteChanged(): void {
    for (const inode of this.#changed) {
      const timeMs = inode.changedMs;
      this.#note(inode, { kind: TraceKind.WRITE, reader: ReaderClass.USER, timeMs });
    }
    this.#changed.clear();
  }

  #note(
    inode: Inode,
    about: { kind: TraceKind; reader: ReaderClass; timeMs: number },
  ): void {
    this.#trace?.note({ ...about, inode: inode.id, size: inode.size });
  }
}

/** Whether this access is a second after the last one; then it is the last one now. */
function elapsed(last: Map<number, number>, inode: number, now: number): boolean {
  const before = last.get(inode);
  // A clock that was set back keeps nothing from counting.
  if (before !== undefined && now - before < APART_MS && now >= before) return false;
  if (last.size > REMEMBERED) last.clear();
  last.set(inode, now);
  return true;
}

function classOf(treatment: Treatment | undefined): ReaderClass {
  if (treatment === undefined) return ReaderClass.USER;
  if (treatment.recall === "deny") return ReaderClass.DENY;
  if (treatment.recall === "stream") return ReaderClass.STREAM;
  return treatment.counts ? ReaderClass.USER : ReaderClass.UNCOUNTED;
}
