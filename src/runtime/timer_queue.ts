/** Timers of an isolate that never returns to its event loop: it asks when the next is due and runs it. */

interface Entry {
  atMs: number;
  action: () => void;
}

export class TimerQueue {
  readonly #nowMs: () => number;
  readonly #guard: (action: () => void) => void;
  /** Few at a time, so an unordered array serves. */
  #entries: Entry[] = [];

  /** `guard` runs each action; one that throws beyond it keeps those after it from running. */
  constructor(
    nowMs: () => number,
    { guard = (action) => action() }: { guard?: (action: () => void) => void } = {},
  ) {
    this.#nowMs = nowMs;
    this.#guard = guard;
  }

  /** Runs `action` once after `milliseconds`. Returns how to cancel it. */
  after(milliseconds: number, action: () => void): () => void {
    const entry = { atMs: this.#nowMs() + milliseconds, action };
    this.#entries.push(entry);
    return () => {
      this.#entries = this.#entries.filter((other) => other !== entry);
    };
  }

  /** Milliseconds until the next timer is due (0: now); undefined without timers. */
  nextDelay(): number | undefined {
    if (this.#entries.length === 0) return undefined;
    let first = Infinity;
    for (const entry of this.#entries) first = Math.min(first, entry.atMs);
    return Math.max(0, first - this.#nowMs());
  }

  /** Runs what is due. Timers set meanwhile wait for the next call. */
  run(): void {
    if (this.#entries.length === 0) return;
    const now = this.#nowMs();
    const due = this.#entries.filter((entry) => entry.atMs <= now);
    if (due.length === 0) return;
    this.#entries = this.#entries.filter((entry) => entry.atMs > now);
    for (const entry of due.sort((a, b) => a.atMs - b.atMs)) this.#guard(entry.action);
  }
}
