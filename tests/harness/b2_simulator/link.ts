/**
 * A line of so many bytes per second each way that all connections share, with a delay before each
 * answer. Loopback is neither: there whoever burns the fewest cycles looks best.
 */
export interface LinkOptions {
  /** Before each answer, milliseconds: the way there and back, and the store's own time. */
  latencyMs: number;
  /** Each way, all connections together. */
  bytesPerSecond: number;
}

/** Bytes that pass at once: what a timer's grain is at 100 MiB/s. */
const PIECE_BYTES = 256 * 1024;
/** What a line that was idle may catch up, milliseconds. */
const BURST_MS = 5;

class Direction {
  #paidUntilMs = 0;
  constructor(private readonly bytesPerSecond: number) {}

  async pass(bytes: number): Promise<void> {
    const nowMs = performance.now();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs - BURST_MS) +
      (bytes * 1000) / this.bytesPerSecond;
    const waitMs = this.#paidUntilMs - nowMs;
    if (waitMs >= 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

export class Link {
  readonly pieceBytes = PIECE_BYTES;
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #latencyMs: number;

  constructor({ latencyMs, bytesPerSecond }: LinkOptions) {
    this.#latencyMs = latencyMs;
    this.#up = new Direction(bytesPerSecond);
    this.#down = new Direction(bytesPerSecond);
  }

  /** So many bytes arrive at the store. */
  up(bytes: number): Promise<void> {
    return this.#up.pass(bytes);
  }

  /** So many bytes leave it. */
  down(bytes: number): Promise<void> {
    return this.#down.pass(bytes);
  }

  async delay(): Promise<void> {
    if (this.#latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#latencyMs));
  }
}
