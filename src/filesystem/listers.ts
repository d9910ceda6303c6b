/**
 * Who lists names and asks for nothing else: `find -type f`, `ls -f`, what completes names in a shell. The
 * kernel wants attributes with the first names of every directory, because it cannot know; of a process
 * that was given many names without, and has looked up none of them, this does. Owns a guess about each of
 * some threads, and no truth: whoever is guessed wrongly looks names up, one by one, and is told at once.
 */

/** A process that looks at what it lists has looked up one by then: it knows no more of them. */
const NAMES_LISTED = 2000;
/** Threads that something is known of, at most. */
const THREADS = 64;

export class Listers {
  /** Names without attributes that a thread was given since it looked up the last one. */
  readonly #names = new Map<number, number>();

  /** Thread `pid` was given so many names without attributes. */
  listed(pid: number, names: number): void {
    if (names === 0) return;
    const before = this.#names.get(pid);
    if (before === undefined && this.#names.size === THREADS) this.#names.clear();
    this.#names.set(pid, (before ?? 0) + names);
  }

  /** It wants to know what a name stands for that is no directory, as whoever walks a tree asks of those. */
  lookedUp(pid: number): void {
    this.#names.delete(pid);
  }

  /** It has no use for attributes. */
  onlyLists(pid: number): boolean {
    return (this.#names.get(pid) ?? 0) >= NAMES_LISTED;
  }
}
