/**
 * Orders of eviction that know no policy: least recently used, SIEVE, and Belady's, which knows the
 * future. What a replay compares a policy with. Each keeps the resident files in its own order.
 */
import { Heap } from "./heap.ts";

/** A file in a replay. */
export interface CachedFile {
  readonly inode: number;
  size: number;
}

/** What a replay asks of an order of eviction. Times are milliseconds. */
export interface EvictionOrder<F extends CachedFile = CachedFile> {
  /** Content came to be here: recalled, or written for the first time. */
  admit(file: F, now: number): void;
  /** Somebody used a resident file. */
  use(file: F, now: number): void;
  /** A resident file is gone. */
  remove(file: F): void;
  /**
   * Files to evict, in order, until `toFree` bytes are freed or nothing more may leave; they count as
   * removed. Never the `busy` one, which is just being used.
   */
  choose(about: { toFree: number; now: number; busy: F }): F[];
}

/** Takes from `next` until enough is freed. */
function take<F extends CachedFile>(toFree: number, next: () => F | undefined): F[] {
  const chosen: F[] = [];
  for (let freed = 0; freed < toFree;) {
    const file = next();
    if (file === undefined) break;
    chosen.push(file);
    freed += file.size;
  }
  return chosen;
}

/** Least recently used leaves first. */
export class LeastRecentlyUsed<F extends CachedFile> implements EvictionOrder<F> {
  /** Oldest use first. */
  readonly #files = new Set<F>();

  admit(file: F): void {
    this.#files.add(file);
  }
  use(file: F): void {
    this.#files.delete(file);
    this.#files.add(file);
  }
  remove(file: F): void {
    this.#files.delete(file);
  }
  choose({ toFree, busy }: { toFree: number; busy: F }): F[] {
    return take(toFree, () => {
      for (const file of this.#files) {
        if (file === busy) continue;
        this.#files.delete(file);
        return file;
      }
      return undefined;
    });
  }
}

interface SieveNode<F> {
  file: F;
  visited: boolean;
  newer: SieveNode<F> | undefined;
  older: SieveNode<F> | undefined;
}

/**
 * SIEVE: a queue by age of admission. A hand moves from old to new; what was used since it last came
 * by is spared once, the first that was not leaves.
 */
export class Sieve<F extends CachedFile> implements EvictionOrder<F> {
  readonly #nodes = new Map<F, SieveNode<F>>();
  #newest: SieveNode<F> | undefined;
  #oldest: SieveNode<F> | undefined;
  #hand: SieveNode<F> | undefined;

  admit(file: F): void {
    const node: SieveNode<F> = { file, visited: false, newer: undefined, older: this.#newest };
    if (this.#newest !== undefined) this.#newest.newer = node;
    this.#newest = node;
    this.#oldest ??= node;
    this.#nodes.set(file, node);
  }
  use(file: F): void {
    const node = this.#nodes.get(file);
    if (node !== undefined) node.visited = true;
  }
  remove(file: F): void {
    const node = this.#nodes.get(file);
    if (node === undefined) return;
    this.#nodes.delete(file);
    if (this.#hand === node) this.#hand = node.newer;
    if (node.newer === undefined) this.#newest = node.older;
    else node.newer.older = node.older;
    if (node.older === undefined) this.#oldest = node.newer;
    else node.older.newer = node.newer;
  }
  choose({ toFree, busy }: { toFree: number; busy: F }): F[] {
    return take(toFree, () => {
      const others = this.#nodes.size - (this.#nodes.has(busy) ? 1 : 0);
      if (others === 0) return undefined;
      for (;;) {
        const node = this.#hand ?? this.#oldest!;
        this.#hand = node.newer;
        if (node.file === busy) continue;
        if (!node.visited) {
          this.remove(node.file);
          return node.file;
        }
        node.visited = false;
      }
    });
  }
}

/**
 * Belady's: what is used again last leaves first. `nextUse` tells, at each admission and use, when
 * that is (Infinity: never). The optimum for files of one size; for others a very good order.
 */
export class Belady<F extends CachedFile> implements EvictionOrder<F> {
  readonly #next = new Map<F, number>();
  readonly #heap = new Heap<{ file: F; at: number }>((a, b) =>
    a.at !== b.at ? a.at > b.at : a.file.inode < b.file.inode
  );
  readonly #nextUse: () => number;

  constructor(nextUse: () => number) {
    this.#nextUse = nextUse;
  }

  admit(file: F): void {
    const at = this.#nextUse();
    this.#next.set(file, at);
    this.#heap.push({ file, at });
  }
  use(file: F): void {
    this.admit(file);
  }
  remove(file: F): void {
    this.#next.delete(file);
  }
  choose({ toFree, busy }: { toFree: number; busy: F }): F[] {
    let spared: { file: F; at: number } | undefined;
    const chosen = take(toFree, () => {
      for (;;) {
        const item = this.#heap.pop();
        if (item === undefined) return undefined;
        // A later use has put the file elsewhere in the heap; or it is gone.
        if (this.#next.get(item.file) !== item.at) continue;
        if (item.file === busy) {
          spared = item;
          continue;
        }
        this.#next.delete(item.file);
        return item.file;
      }
    });
    if (spared !== undefined) this.#heap.push(spared);
    return chosen;
  }
}
