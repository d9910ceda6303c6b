/**
 * Recognizes programs that go through many cold files in the order of their directories: backups,
 * indexers, `grep -r`. What they read says nothing of what will be read again, so from then on it is no
 * use of a file, and nothing of it is kept. Owns what is known of each process, in memory, bounded; a
 * process is judged by itself, never by its name, and is like any other again when it stops doing so.
 *
 * A process gets a point for each cold file that stands behind the last one it opened in the same
 * directory, in the order of readdir or of names, and loses three for each file that does not. A file is
 * cold when some of it is in the bucket only, or nobody has used it for a day.
 */
import type { Inode } from "./inode.ts";

/** Points at which a process is a scanner, below which it is none any more, and that it has at most. */
const SCANS_AT = 1000;
const ENDS_BELOW = 600;
const MOST_POINTS = 1200;
/** Points at which /proc is asked which process a thread belongs to. */
const ASKS_AT = 32;
const BACKWARDS = -3;
/** Nobody has used a cold file for so long. */
const COLD_MS = 86_400_000;
/** Who has opened nothing for so long begins anew. */
const IDLE_MS = 600_000;
const THREADS = 1024;
const DIRECTORIES = 256;
const REPORTED = 20;

/** Which process a thread belongs to. `key` differs for one that has the same number later. */
export interface ProcessIdentity {
  key: string;
  pid: number;
  program: string;
}

/** Where a name stands: its directory, its place in the order of readdir, itself. */
export interface Place {
  parent: number;
  id: number;
  name: Uint8Array;
}

export interface ScannerReport {
  program: string;
  pid: number;
  /** Wall clock, milliseconds. */
  sinceMs: number;
  /** Files that it has opened since. */
  files: number;
}

export interface ScannersParts {
  identify: (tid: number) => ProcessIdentity | undefined;
  placeOf: (inode: number) => Place | undefined;
  /** Wall clock, milliseconds; undefined: nobody knows. */
  lastUsed: (inode: number) => number | undefined;
  wallMs: () => number;
  /** A process is a scanner from now on, or is none any more. */
  onChange: (scanner: ScannerReport, scans: boolean) => void;
}

interface Position {
  id: number;
  name: Uint8Array;
  /** Orders that it has kept to since it last went back. */
  byId: boolean;
  byName: boolean;
}

interface Process {
  identity: ProcessIdentity | undefined;
  points: number;
  lastMs: number;
  positions: Map<number, Position>;
  /** While it is a scanner. */
  scans: { sinceMs: number; files: number } | undefined;
}

export class Scanners {
  readonly #parts: ScannersParts;
  readonly #threads = new Map<number, Process>();
  readonly #processes = new Map<string, Process>();

  constructor(parts: ScannersParts) {
    this.#parts = parts;
  }

  /** A thread opens a file to read it. Returns the name of its program where that is a scanner. */
  opens(tid: number, inode: Inode): string | undefined {
    if (tid <= 0 || inode.size === 0) return undefined;
    const now = this.#parts.wallMs();
    const cold = this.#isCold(inode, now);
    let process = this.#threads.get(tid);
    // Whoever works on what is used anyway costs nothing here.
    if (process === undefined && !cold) return undefined;
    process = this.#current(tid, process, now);
    this.#step(process, inode, cold);
    if (process.identity === undefined && process.points >= ASKS_AT) {
      process = this.#identified(tid, process);
    }
    this.#judge(process, now);
    if (process.scans === undefined) return undefined;
    process.scans.files++;
    return process.identity!.program;
  }

  #isCold(inode: Inode, now: number): boolean {
    if (inode.resident < inode.allocated) return true;
    const last = this.#parts.lastUsed(inode.id);
    return last !== undefined && now - last > COLD_MS;
  }

  /** What is known of the process behind a thread, or a new record. */
  #current(tid: number, known: Process | undefined, now: number): Process {
    // A scanner's number may by now be that of another thread.
    const same = known?.scans === undefined ||
      this.#parts.identify(tid)?.key === known.identity?.key;
    if (known !== undefined && same && now - known.lastMs < IDLE_MS) {
      known.lastMs = now;
      return known;
    }
    const fresh: Process = {
      identity: undefined,
      points: 0,
      lastMs: now,
      positions: new Map(),
      scans: undefined,
    };
    this.#threads.delete(tid);
    if (this.#threads.size >= THREADS) this.#forgetOldest();
    this.#threads.set(tid, fresh);
    return fresh;
  }

  #forgetOldest(): void {
    const byAge = [...this.#threads].sort(([, a], [, b]) => a.lastMs - b.lastMs);
    for (const [tid] of byAge.slice(0, THREADS / 4)) this.#threads.delete(tid);
    const kept = new Set(this.#threads.values());
    for (const [key, process] of this.#processes) {
      if (!kept.has(process)) this.#processes.delete(key);
    }
  }

  #step(process: Process, inode: Inode, cold: boolean): void {
    const place = this.#parts.placeOf(inode.id);
    if (place === undefined) return;
    const { positions } = process;
    const last = positions.get(place.parent);
    if (last?.id === place.id) return;
    const byId = last === undefined || last.byId && place.id > last.id;
    const byName = last === undefined || last.byName && compareBytes(place.name, last.name) > 0;
    const onwards = byId || byName;
    if (last === undefined && positions.size >= DIRECTORIES) {
      for (const oldest of positions.keys()) {
        positions.delete(oldest);
        break;
      }
    }
    positions.set(place.parent, {
      id: place.id,
      name: place.name,
      byId: byId || !onwards,
      byName: byName || !onwards,
    });
    const points = !onwards ? BACKWARDS : last !== undefined && cold ? 1 : 0;
    process.points = Math.min(MOST_POINTS, Math.max(0, process.points + points));
  }

  /** The record of the whole process, which takes this thread's in. */
  #identified(tid: number, thread: Process): Process {
    const identity = this.#parts.identify(tid);
    if (identity === undefined) return thread;
    const process = this.#processes.get(identity.key);
    if (process === undefined) {
      thread.identity = identity;
      this.#processes.set(identity.key, thread);
      return thread;
    }
    process.points = Math.min(MOST_POINTS, process.points + thread.points);
    process.lastMs = thread.lastMs;
    for (const [parent, position] of thread.positions) process.positions.set(parent, position);
    this.#threads.set(tid, process);
    return process;
  }

  #judge(process: Process, now: number): void {
    if (process.scans === undefined) {
      if (process.points < SCANS_AT || process.identity === undefined) return;
      process.scans = { sinceMs: now, files: 0 };
      this.#parts.onChange(reportOf(process), true);
    } else if (process.points < ENDS_BELOW) {
      const report = reportOf(process);
      process.scans = undefined;
      this.#parts.onChange(report, false);
    }
  }

  /** The scanners of now, at most 20. */
  report(): ScannerReport[] {
    const now = this.#parts.wallMs();
    const scanning = [...this.#processes.values()].filter((process) =>
      process.scans !== undefined && now - process.lastMs < IDLE_MS &&
      this.#parts.identify(process.identity!.pid)?.key === process.identity!.key
    );
    return scanning.slice(0, REPORTED).map(reportOf);
  }
}

function reportOf({ identity, scans }: Process): ScannerReport {
  return { program: identity!.program, pid: identity!.pid, ...scans! };
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}
