/** `zero recall` of one file: asks for its absent chunks, a few at a time, and answers when all are resident. */
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Commands } from "./protocol.ts";
import type { Recalls } from "./recalls.ts";

type Result = Commands["recallFile"][1];

/** Chunks of one file that are asked for at the same time. */
const AT_ONCE = 16;

interface Bulk {
  file: FileState;
  next: number;
  outstanding: Set<number>;
  recalled: number;
  done: (result: Result) => void;
}

export class BulkRecall {
  readonly #core: Core;
  readonly #recalls: Recalls;
  /** By file: a directory's thousands are asked for together. */
  readonly #bulks = new Map<FileState, Set<Bulk>>();

  constructor(core: Core, recalls: Recalls) {
    this.#core = core;
    this.#recalls = recalls;
  }

  start(inode: number, done: (result: Result) => void): void {
    const record = this.#core.inodes.get(inode);
    if (record === undefined) return done({ failed: "the file is gone" });
    const file = this.#core.files.acquire(record);
    file.jobs++;
    const bulk: Bulk = { file, next: 0, outstanding: new Set(), recalled: 0, done };
    const same = this.#bulks.get(file);
    if (same === undefined) this.#bulks.set(file, new Set([bulk]));
    else same.add(bulk);
    this.#advance(bulk);
  }

  #runs(bulk: Bulk): boolean {
    return this.#bulks.get(bulk.file)?.has(bulk) === true;
  }

  #advance(bulk: Bulk): void {
    const core = this.#core;
    const { file } = bulk;
    core.flush(file);
    while (bulk.next >= 0 && bulk.outstanding.size < AT_ONCE && this.#runs(bulk)) {
      const limit = AT_ONCE - bulk.outstanding.size;
      const rows = core.maps.absent(file.inode.id, { from: bulk.next, limit });
      bulk.next = rows.length < limit ? -1 : rows[rows.length - 1].index + 1;
      // What is being cut off is nobody's any more.
      const end = file.inode.deadFrom ?? Infinity;
      const indices = rows.map((row) => row.index).filter((index) => index < end);
      for (const index of indices) bulk.outstanding.add(index);
      this.#recalls.want(file, indices, "bulk");
      // What could not even be asked for (it is being punched) is left to the next call.
      for (const index of indices) {
        if (!file.recalls.has(index) && !file.volatile.has(index)) bulk.outstanding.delete(index);
      }
    }
    if (bulk.outstanding.size === 0 && bulk.next < 0) {
      this.#finish(bulk, { recalled: bulk.recalled });
    }
  }

  #finish(bulk: Bulk, result: Result): void {
    const same = this.#bulks.get(bulk.file);
    if (same === undefined || !same.delete(bulk)) return;
    if (same.size === 0) this.#bulks.delete(bulk.file);
    bulk.file.jobs--;
    this.#core.files.dropIfIdle(bulk.file);
    bulk.done(result);
  }

  /** A chunk became resident, is not wanted any more (written over, cut off), or will not come. */
  settled(file: FileState, index: number, failed?: string): void {
    for (const bulk of [...this.#bulks.get(file) ?? []]) {
      if (!bulk.outstanding.delete(index)) continue;
      if (failed !== undefined) this.#finish(bulk, { failed });
      else {
        bulk.recalled++;
        // Later: a program's request may be in the middle of changing these rows.
        this.#core.timers.after(0, () => {
          if (this.#runs(bulk)) this.#advance(bulk);
        });
      }
    }
  }

  failAll(reason: string): void {
    const all = [...this.#bulks.values()].flatMap((bulks) => [...bulks]);
    for (const bulk of all) this.#finish(bulk, { failed: reason });
  }
}
