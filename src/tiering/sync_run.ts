/**
 * One `sync`: what is dirty when it is asked for is in the bucket when it answers, or is counted as
 * not safe: files that a program holds open for writing (their chunks are confirmed, but there is no
 * version), and files that change faster than they are read. Waits for a failing store for ever;
 * the caller's signal ends that.
 */
import { unreachable } from "../domain/errors.ts";
import { sleep } from "../runtime/clock.ts";
import { type Tiering, untilAborted } from "./context.ts";
import { dirtyPages } from "./dirty_pages.ts";
import type { FileOutcome } from "./file_job.ts";
import { ENGINE_LIMITS } from "./settings.ts";
import type { Sorter } from "./sorter.ts";
import type { Uploader } from "./uploader.ts";

export interface SyncProgress {
  /** Files that this sync has brought into the bucket. */
  saved: number;
  /** Files that it still works on. */
  waiting: number;
  /** Why the store keeps it waiting, if it does. */
  trouble: string | undefined;
}

export interface SyncOptions {
  inodes: number[] | "all";
  signal: AbortSignal;
  onProgress?: (progress: SyncProgress) => void;
  /**
   * Called when uploads are over, before metadata is shipped. What is safe then the bucket knows at the
   * end; what is saved later, perhaps not yet.
   */
  onUploaded?: () => Promise<void>;
}

export interface SyncResult {
  /** Files that were dirty when it was asked for and are not safe now. */
  unsafe: number;
  /** Of these: held open for writing. */
  open: number[];
}

/** Inodes in `open` are at most so many; `unsafe` counts all. */
const LISTED = 1_000;

export class SyncRun {
  readonly #tiering: Tiering;
  readonly #uploader: Uploader;
  readonly #sorter: Sorter;
  readonly #options: SyncOptions;
  readonly #again = new Map<number, { tries: number }>();
  readonly #open: number[] = [];
  #unsafe = 0;
  #saved = 0;
  #waiting = 0;
  #idle = Promise.withResolvers<void>();
  #failure: { error: unknown } | undefined;

  constructor(
    tiering: Tiering,
    parts: { uploader: Uploader; sorter: Sorter },
    options: SyncOptions,
  ) {
    this.#tiering = tiering;
    this.#uploader = parts.uploader;
    this.#sorter = parts.sorter;
    this.#options = options;
  }

  /** Rejects with the signal's reason, or when uploads are not allowed at all. */
  async run(): Promise<SyncResult> {
    const { clock } = this.#tiering;
    const stopProgress = this.#reportProgress();
    try {
      const { inodes } = this.#options;
      await this.#round(() => inodes === "all" ? this.#startAll() : this.#startEach(inodes));
      for (let round = 1; this.#again.size > 0; round++) {
        await sleep(clock, ENGINE_LIMITS.SYNC_RETRY_MS * Math.min(round, 10), this.#options.signal);
        await this.#round(() => this.#startEach([...this.#again.keys()]));
      }
      return { unsafe: this.#unsafe, open: this.#open };
    } finally {
      stopProgress();
    }
  }

  async #round(start: () => Promise<void>): Promise<void> {
    this.#idle = Promise.withResolvers<void>();
    this.#waiting++; // the list itself
    try {
      await untilAborted(this.#uploader.together(start), this.#options.signal);
    } finally {
      this.#oneLess();
    }
    await untilAborted(this.#idle.promise, this.#options.signal);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #startAll(): Promise<void> {
    const { signal } = this.#options;
    // What becomes dirty from now on is not promised.
    for await (const files of dirtyPages(this.#tiering)) {
      for (const inode of await this.#sorter.uploadable(files.map((file) => file.inode))) {
        await this.#start(inode);
        signal.throwIfAborted();
      }
    }
  }

  async #startEach(inodes: number[]): Promise<void> {
    const size = ENGINE_LIMITS.DIRTY_PAGE_FILES;
    for (let at = 0; at < inodes.length; at += size) {
      for (const inode of await this.#sorter.uploadable(inodes.slice(at, at + size))) {
        await this.#start(inode);
        this.#options.signal.throwIfAborted();
      }
    }
  }

  /** Resolves when there is room for the next one. */
  async #start(inode: number): Promise<void> {
    this.#waiting++;
    const { admitted, outcome } = this.#uploader.tryNow(inode);
    outcome.then(
      (what) => this.#ended(inode, what),
      (error) => {
        this.#failure ??= { error };
        this.#oneLess();
      },
    );
    await admitted;
  }

  #ended(inode: number, outcome: FileOutcome): void {
    const tries = (this.#again.get(inode)?.tries ?? 0) + 1;
    this.#again.delete(inode);
    switch (outcome) {
      case "saved":
        this.#saved++;
        break;
      case "gone":
        break;
      case "open":
        this.#unsafe++;
        if (this.#open.length < LISTED) this.#open.push(inode);
        break;
      case "store":
        this.#again.set(inode, { tries: 0 });
        break;
      case "changed":
      case "failed":
        if (tries < ENGINE_LIMITS.SYNC_TRIES) this.#again.set(inode, { tries });
        else this.#unsafe++;
        break;
      default:
        unreachable(outcome);
    }
    this.#oneLess();
  }

  #oneLess(): void {
    if (--this.#waiting === 0) this.#idle.resolve();
  }

  /** Tells the caller now and then. Answers how to stop. */
  #reportProgress(): () => void {
    const { onProgress } = this.#options;
    if (onProgress === undefined) return () => {};
    const { clock } = this.#tiering;
    let cancel: () => void;
    const tell = () => {
      onProgress({
        saved: this.#saved,
        waiting: Math.max(this.#waiting, this.#again.size),
        trouble: this.#uploader.trouble.current?.message,
      });
      cancel = clock.after(ENGINE_LIMITS.PROGRESS_MS, tell);
    };
    cancel = clock.after(0, tell);
    return () => cancel();
  }
}
