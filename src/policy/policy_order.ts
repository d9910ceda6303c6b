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
}

const byRank = (a: Row<ReplayedFile>, b: Row<ReplayedFile>) =>
  a.key.rank !== b.key.rank ? a.key.rank < b.key.rank : a.file.inode < b.file.inode;

export class PolicyOrder<F extends ReplayedFile> implements EvictionOrder<F> {
  readonly #rules: Rules;
  readonly #chunkSize: number;
  readonly #isUrgent: () => boolean;
  /** The row that counts for each file; heaps may hold older ones. */
  readonly #rows = new Map<F, Row<F>>();
  readonly #firstLater = new Heap<Row<F>>((a, b) => a.key.firstAtMs < b.key.firstAtMs);
  readonly #first = new Heap<Row<F>>(byRank);
  readonly #later = new Heap<Row<F>>((a, b) => a.key.leavesAtMs < b.key.leavesAtMs);
  readonly #ranked = new Heap<Row<F>>(byRank);

  /** `isUrgent`: whether writers wait, at the time of `choose`. */
  constructor(rules: Rules, options: { chunkSize: number; isUrgent: () => boolean }) {
    this.#rules = rules;
    this.#chunkSize = options.chunkSize;
    this.#isUrgent = options.isUrgent;
  }

  admit(file: F, now: number): void {
    // An empty file frees nothing.
    if (file.size === 0) return this.remove(file);
    const key = queueKey(this.#rules, file.facts, { now, chunkSize: this.#chunkSize });
    const row: Row<F> = { file, key };
    this.#rows.set(file, row);
    if (Number.isFinite(key.firstAtMs)) this.#firstLater.push(row);
    if (Number.isFinite(key.leavesAtMs)) this.#later.push(row);
  }
  use(file: F, now: number): void {
    this.admit(file, now);
  }
  remove(file: F): void {
    this.#rows.delete(file);
  }

  choose(
    { toFree, now, busy }: { toFree: number; now: number; busy: F },
  ): F[] {
    const urgent = this.#isUrgent();
    const planner = new Planner({
      rules: this.#rules,
      now: () => now,
      chunkSize: this.#chunkSize,
      toFree,
      urgent,
      residentFiles: this.#rows.size,
    });
    this.#due(this.#firstLater, this.#first, (key) => key.firstAtMs <= now);
    this.#due(this.#later, this.#ranked, (key) => key.leavesAtMs <= now);
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
    for (const file of stayed) if (this.#rows.has(file)) this.admit(file, now);
    return chosen;
  }

  #due(from: Heap<Row<F>>, to: Heap<Row<F>>, isDue: (key: QueueKey) => boolean): void {
    for (let row = from.peek(); row !== undefined && isDue(row.key); row = from.peek()) {
      from.pop();
      if (this.#rows.get(row.file) === row) to.push(row);
    }
  }

  #offerHeld(
    planner: Planner,
    { busy, offered }: { busy: F; offered: Map<number, F> },
  ): void {
    const held = this.#later.items()
      .filter((row) => row.file !== busy && this.#rows.get(row.file) === row)
      .sort((a, b) => byRank(a, b) ? -1 : 1);
    for (const { file } of held) {
      if (planner.done) return;
      planner.offer("held" satisfies keyof Queues, file.facts);
      offered.set(file.inode, file);
    }
  }
}
