/**
 * A binary heap of row numbers, for millions of them: in one array of four bytes each. Gives out the
 * least first; takes nothing but what it has given.
 */
export class RowHeap {
  readonly #rows: Uint32Array;
  readonly #before: (a: number, b: number) => boolean;
  #size: number;

  /** Takes over `rows`. O(n). */
  constructor(before: (a: number, b: number) => boolean, rows: Uint32Array) {
    this.#before = before;
    this.#rows = rows;
    this.#size = rows.length;
    for (let at = (this.#size >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  /** What is left, in no order worth relying on. */
  rows(): Uint32Array {
    return this.#rows.subarray(0, this.#size);
  }

  pop(): number | undefined {
    if (this.#size === 0) return undefined;
    const rows = this.#rows;
    const least = rows[0];
    rows[0] = rows[--this.#size];
    this.#sink(0);
    return least;
  }

  /** The row that was given out last is the least again. */
  giveBack(row: number): void {
    const rows = this.#rows;
    let at = this.#size++;
    while (at > 0) {
      const above = (at - 1) >> 1;
      rows[at] = rows[above];
      at = above;
    }
    rows[0] = row;
  }

  #sink(from: number): void {
    const rows = this.#rows;
    const size = this.#size;
    const row = rows[from];
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= size) break;
      if (below + 1 < size && this.#before(rows[below + 1], rows[below])) below++;
      if (!this.#before(rows[below], row)) break;
      rows[at] = rows[below];
      at = below;
    }
    rows[at] = row;
  }
}
