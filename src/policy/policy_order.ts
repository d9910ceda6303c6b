/**
 * A policy as an order of eviction: for replays, an index in memory like the one that a database
 * keeps, with the same keys and the same planner.
 */
import type { CachedFile, EvictionOrder } from "./eviction_orders.ts";
import type { FileFacts } from "./facts.ts";
import { Heap } from "./heap.ts";
import { Planner, type Queues } from "./planner.ts";
import type { Rules } from "./outcome.ts";
import { type QueueKey, queueKey } from "./timeline.ts";

/** A file in a replay, with what a policy wants to know of it. */
export interface ReplayedFile extends CachedFile {
  facts: FileFacts;
}

interface Row<F> {
  file: F;
  key: QueueKey;
  /** Its time has come: it stands among the ranked. */
  due: boolean;
}

/** Rows that no longer count are thrown out when they are more than the others, and this many. */
const STALE = 1024;

const byRank = (a: Row<ReplayedFile>, b: Row<ReplayedFile>) =>
  a.key.rank !== b.key.rank ? a.key.rank < b.key.rank : a.file.inode < b.file.inode;

const byFirst = (a: Row<ReplayedFile>, b: Row<ReplayedFile>) => a.key.firstAtMs < b.key.firstAtMs;
const byTime = (a: Row<ReplayedFile>, b: Row<ReplayedFile>) => a.key.leavesAtMs < b.key.leavesAtMs;

export class PolicyOrder<F extends ReplayedFile> implements EvictionOrder<F> {
  readonly #rules: Rules;
  readonly #chunkSize: number;
  readonly #isUrgent: () => boolean;
  /** The row that counts for each file; heaps may hold older ones. */
  readonly #rows = new Map<F, Row<F>>();
  /** Used since the last choice: they get their keys when the next one is made, once for all uses. */
  readonly #used = new Set<F>();
  #firstLater = new Heap<Row<F>>(byFirst);
  #first = new Heap<Row<F>>(byRank);
  #later = new Heap<Row<F>>(byTime);
  #ranked = new Heap<Row<F>>(byRank);
  /** Not due yet, by rank: for when writers wait. */
  #held = new Heap<Row<F>>(byRank);

  /** `isUrgent`: whether writers wait, at the time of `choose`. */
  constructor(rules: Rules, options: { chunkSize: number; isUrgent: () => boolean }) {
    this.#rules = rules;
    this.#chunkSize = options.chunkSize;
    this.#isUrgent = options.isUrgent;
  }

  admit(file: F): void {
    this.#used.add(file);
  }
  use(file: F): void {
    this.#used.add(file);
  }
  remove(file: F): void {
    this.#used.delete(file);
    this.#rows.delete(file);
  }

  /** Gives a file the keys that go with its facts. They do not depend on when that is done. */
  #place(file: F, now: number): void {
    // An empty file frees nothing.
    if (file.size === 0) return this.remove(file);
    const key = queueKey(this.#rules, file.facts, { now, chunkSize: this.#chunkSize });
    const row: Row<F> = { file, key, due: false };
    this.#rows.set(file, row);
    if (Number.isFinite(key.firstAtMs)) this.#firstLater.push(row);
    if (!Number.isFinite(key.leavesAtMs)) return;
    this.#later.push(row);
    this.#held.push(row);
  }

  /** The heaps without rows that no longer count. */
  #tidy(): void {
    const tidied = (heap: Heap<Row<F>>, before: (a: Row<F>, b: Row<F>) => boolean) => {
      if (heap.size < STALE + 2 * this.#rows.size) return heap;
      return new Heap(before, heap.items().filter((row) => this.#rows.get(row.file) === row));
    };
    this.#firstLater = tidied(this.#firstLater, byFirst);
    this.#first = tidied(this.#first, byRank);
    this.#later = tidied(this.#later, byTime);
    this.#ranked = tidied(this.#ranked, byRank);
    this.#held = tidied(this.#held, byRank);
  }

  choose(
    { toFree, now, busy }: { toFree: number; now: number; busy: F },
  ): F[] {
    const urgent = this.#isUrgent();
    for (const file of this.#used) this.#place(file, now);
    this.#used.clear();
    this.#tidy();
    const planner = new Planner({
      rules: this.#rules,
      now: () => now,
      chunkSize: this.#chunkSize,
      toFree,
      urgent,
      residentFiles: this.#rows.size,
    });
    this.#due(this.#firstLater, this.#first, (key) => key.firstAtMs <= now);
    this.#due(this.#later, this.#ranked, (key) => key.leavesAtMs <= now, (row) => row.due = true);
    const chosen: F[] = [];
    const took = (file: F) => {
      chosen.push(file);
      this.#rows.delete(file);
    };
    const stayed: F[] = [];
    for (const name of ["first", "ranked"] as const) {
      const heap = name === "first" ? this.#first : this.#ranked;
      while (!planner.done) {
        const row = heap.pop();
        if (row === undefined) break;
        if (this.#rows.get(row.file) !== row) continue;
        const decision = row.file === busy ? undefined : planner.offer(name, row.file.facts);
        if (decision !== undefined) took(row.file);
        else stayed.push(row.file);
      }
    }
    const offered = new Map<number, F>(stayed.map((file) => [file.inode, file]));
    if (planner.wantsHeld) this.#offerHeld(planner, { busy, offered });
    for (const { inode } of planner.yielding()) took(offered.get(inode)!);
    // Who was looked at and stays gets a key from now on.
    for (const file of stayed) if (this.#rows.has(file)) this.#place(file, now);
    return chosen;
  }

  #due(
    from: Heap<Row<F>>,
    to: Heap<Row<F>>,
    isDue: (key: QueueKey) => boolean,
    mark: (row: Row<F>) => void = () => {},
  ): void {
    for (let row = from.peek(); row !== undefined && isDue(row.key); row = from.peek()) {
      from.pop();
      mark(row);
      if (this.#rows.get(row.file) === row) to.push(row);
    }
  }

  #offerHeld(
    planner: Planner,
    { busy, offered }: { busy: F; offered: Map<number, F> },
  ): void {
    const seen: Row<F>[] = [];
    while (!planner.done && !planner.heldEnough) {
      const row = this.#held.pop();
      if (row === undefined) break;
      if (row.due || this.#rows.get(row.file) !== row) continue;
      seen.push(row);
      if (row.file === busy) continue;
      planner.offer("held" satisfies keyof Queues, row.file.facts);
      offered.set(row.file.inode, row.file);
    }
    // Those that leave are thrown out when they are met again.
    for (const row of seen) this.#held.push(row);
  }
}
