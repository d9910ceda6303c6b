/**
 * Pauses for files that are saved again and again: each save of a file that was saved a moment ago lets
 * the next one wait twice as long, up to the upload deadline. Remembers a bounded number of files; one
 * that is forgotten is saved sooner, which harms nothing. Times are monotonic milliseconds.
 */
import { ENGINE_LIMITS } from "./settings.ts";

interface Saves {
  lastMs: number;
  /** Saves that followed each other closely. */
  streak: number;
}

export class Resaves {
  readonly #saves = new Map<number, Saves>();

  /** Milliseconds until the file may be saved again. */
  waitMs(inode: number, at: { nowMs: number; deadlineMs: number }): number {
    const saves = this.#saves.get(inode);
    if (saves === undefined) return 0;
    return Math.max(0, saves.lastMs + pauseMs(saves.streak, at.deadlineMs) - at.nowMs);
  }

  saved(inode: number, { nowMs, deadlineMs }: { nowMs: number; deadlineMs: number }): void {
    const before = this.#saves.get(inode);
    const closely = before !== undefined &&
      nowMs - before.lastMs <=
        2 * Math.max(ENGINE_LIMITS.RESTLESS_MS, pauseMs(before.streak, deadlineMs));
    this.#saves.delete(inode);
    this.#saves.set(inode, { lastMs: nowMs, streak: closely ? before.streak + 1 : 1 });
    if (this.#saves.size <= ENGINE_LIMITS.REMEMBERED_TRIES) return;
    for (const oldest of this.#saves.keys()) {
      this.#saves.delete(oldest);
      break;
    }
  }
}

/** None after the first save; 30 s after the second in a row, then twice as long each time. */
function pauseMs(streak: number, deadlineMs: number): number {
  if (streak < 2) return 0;
  return Math.min(deadlineMs, ENGINE_LIMITS.RESTLESS_MS * 2 ** Math.min(streak - 2, 30));
}
