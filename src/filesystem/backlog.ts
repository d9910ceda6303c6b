/**
 * Writes down what is newer in memory than on the disk, in slices between requests: after a long `rm -r`,
 * or a `sync` of thousands of files, it is as many records as there were files. Owns which of these walks
 * are under way, and nothing of what they write.
 */
import type { BackgroundJob } from "./reaper.ts";

/** Records that are written at once: a millisecond, for which a request may have to wait. */
const SLICE = 32;

/** Records that are only in memory. `flush` writes up to so many, and says how many it has written. */
export interface Backlog {
  readonly unflushed: number;
  flush(limit: number): number;
}

export class BacklogWriter {
  readonly #add: (job: BackgroundJob) => void;
  readonly #underWay = new Set<Backlog>();

  /** `add` takes work that is done in slices. */
  constructor(add: (job: BackgroundJob) => void) {
    this.#add = add;
  }

  /** Writes as much as there is now. Nothing where the last walk over the same records has not ended. */
  write(backlog: Backlog): void {
    let left = backlog.unflushed;
    if (left === 0 || this.#underWay.has(backlog)) return;
    this.#underWay.add(backlog);
    this.#add(() => {
      const written = backlog.flush(Math.min(SLICE, left));
      left -= written;
      const more = left > 0 && written > 0;
      if (!more) this.#underWay.delete(backlog);
      return more;
    });
  }
}
