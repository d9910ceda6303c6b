/**
 * Content files that are gone as far as the rows say: unlinked once that is durable (law 3), many for one
 * sync of the log. Owns how long they wait for each other, and that their bytes stay counted until then.
 */
import type { Core } from "./core.ts";

/**
 * Between two batches, milliseconds, while nobody waits for anything: each costs a commit and a sync of
 * the log, and in a long removal most pages of a commit are written again by the next one.
 */
const GATHER_MS = 100;

/** A content file, and what is known to leave the disk with it or those before it, bytes. */
export interface GoneContent {
  path: string;
  bytes: number;
}

export class ContentUnlinks {
  readonly #core: Core;
  #waiting: GoneContent[] = [];
  #unlinking = false;
  #gathering = false;
  #hurried = false;
  /** Told when bytes have left the disk. */
  onFreed: () => void = () => {};

  constructor(core: Core) {
    this.#core = core;
  }

  /** Some wait, and their time has come. */
  get due(): boolean {
    if (this.#waiting.length === 0 || this.#unlinking) return false;
    return !this.#gathering || this.#hurried || this.#core.lot.wantsWork;
  }

  /** The rows are written; `hurry`: their space is wanted. */
  add(gone: readonly GoneContent[], { hurry }: { hurry: boolean }): void {
    for (const each of gone) {
      this.#core.space.leaving += each.bytes;
      this.#waiting.push(each);
    }
    if (hurry) this.#hurried = true;
  }

  /** Some wait, or are being unlinked. */
  get busy(): boolean {
    return this.#waiting.length > 0 || this.#unlinking;
  }

  /** Waits for no more: what no row names is found only after an unclean end. */
  hurry(): void {
    this.#hurried = this.#waiting.length > 0;
    this.step();
  }

  /** Unlinks what waits, where that is due. */
  step(): void {
    if (!this.due) return;
    const core = this.#core;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#unlinking = true;
    this.#hurried = false;
    const done = (errno: number, what: string) => {
      this.#unlinking = false;
      this.#gathering = true;
      core.timers.after(GATHER_MS, () => this.#gathering = false);
      for (const { bytes } of batch) core.space.leaving -= bytes;
      core.space.forgetReading();
      if (errno !== 0) {
        core.emit({ event: "defect", message: `${what} failed with errno ${errno}` });
      }
      this.onFreed();
    };
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      if (errno !== 0 || core.suspect) {
        if (errno !== 0) core.syncFailed(errno, "the metadata");
        return done(errno, "syncing the metadata before content is unlinked");
      }
      core.helper.unlink(batch.map(({ path }) => path), (failed) => {
        done(failed, "unlinking content files");
      });
    });
  }
}
