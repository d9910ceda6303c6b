/**
 * Tells the engine that something has become dirty: at once, and while more does, every so often. The
 * engine looks for itself what it is; but while nothing is dirty it looks seldom, so no telling may be
 * lost, nor kept until a file is closed, which may be never.
 */
import type { TimerQueue } from "../runtime/timer_queue.ts";
import type { FilesystemEvent } from "./protocol.ts";

/** Milliseconds between two tellings. */
const GAP_MS = 250;

export class DirtyNews {
  readonly #emit: (event: FilesystemEvent) => void;
  readonly #timers: TimerQueue;
  /** Told a moment ago. */
  #resting = false;
  /** More has become dirty since. */
  #more = false;

  constructor({ emit, timers }: { emit: (event: FilesystemEvent) => void; timers: TimerQueue }) {
    this.#emit = emit;
    this.#timers = timers;
  }

  tell(): void {
    this.#more = this.#resting;
    if (this.#resting) return;
    this.#resting = true;
    this.#emit({ event: "dirty" });
    this.#timers.after(GAP_MS, () => {
      this.#resting = false;
      if (this.#more) this.tell();
    });
  }
}
