/**
 * Three made-up traces, each from a seed: what people do (a few files again and again), what backups
 * and indexers do (one pass over everything), and what projects do (a working set that moves on).
 */
import { ReaderClass } from "../../../src/policy/readers.ts";
import { type TraceEvent, TraceKind } from "../../../src/policy/trace.ts";
import { DAY, NOW } from "./helpers.ts";

/** A small generator of random numbers in [0, 1), good enough for made-up traces. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** Ranks 0 … count − 1, rank r with a probability in proportion to 1 / (r + 1)^exponent. */
function zipf(count: number, exponent: number, random: () => number): () => number {
  const sums = new Float64Array(count);
  for (let rank = 0, sum = 0; rank < count; rank++) {
    sum += (rank + 1) ** -exponent;
    sums[rank] = sum;
  }
  return () => {
    const wanted = random() * sums[count - 1];
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

export interface MadeTrace {
  name: string;
  seed: number;
  events: TraceEvent[];
  /** Bytes of all files that occur. */
  totalBytes: number;
}

const FILES = 4_000;
const READS = 60_000;
const DAYS = 60;

class Maker {
  readonly random: () => number;
  readonly #sizes: number[];
  readonly events: TraceEvent[] = [];

  constructor(seed: number) {
    this.random = seeded(seed);
    // Log-normal: half of the files below 1 MiB, a few of some hundred.
    this.#sizes = Array.from({ length: FILES }, () => {
      const normal = Math.sqrt(-2 * Math.log(1 - this.random())) *
        Math.cos(2 * Math.PI * this.random());
      const bytes = Math.min(2 ** 29, Math.max(4096, 2 ** (20 + 2 * normal)));
      return Math.ceil(bytes / 4096) * 4096;
    });
  }

  read(inode: number, day: number): void {
    this.events.push({
      timeMs: Math.floor(NOW + day * DAY),
      inode: inode + 1,
      kind: TraceKind.READ,
      reader: ReaderClass.USER,
      size: this.#sizes[inode],
    });
  }

  /** Files in an order that has nothing to do with their sizes or numbers. */
  shuffled(): number[] {
    const order = Array.from({ length: FILES }, (_, index) => index);
    for (let at = FILES - 1; at > 0; at--) {
      const other = Math.floor(this.random() * (at + 1));
      [order[at], order[other]] = [order[other], order[at]];
    }
    return order;
  }

  trace(name: string, seed: number): MadeTrace {
    const sizes = new Map(this.events.map((event) => [event.inode, event.size]));
    const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    return { name, seed, events: this.events, totalBytes };
  }
}

/** A few files are read again and again, most are hardly ever. */
export function zipfTrace(seed: number): MadeTrace {
  const maker = new Maker(seed);
  const rank = zipf(FILES, 0.9, maker.random);
  const order = maker.shuffled();
  for (let n = 0; n < READS; n++) maker.read(order[rank()], DAYS * n / READS);
  return maker.trace("Zipf", seed);
}

/** The same, and every ten days somebody reads 1,500 files, each once. */
export function scanTrace(seed: number): MadeTrace {
  const maker = new Maker(seed);
  const rank = zipf(FILES, 0.9, maker.random);
  const order = maker.shuffled();
  const scans = 5;
  const scanned = 1_500;
  for (let n = 0; n < READS; n++) {
    const day = DAYS * n / READS;
    if (n > 0 && n % Math.floor(READS / (scans + 1)) === 0) {
      const from = Math.floor(maker.random() * (FILES - scanned));
      for (let at = 0; at < scanned; at++) maker.read(from + at, day + at / 86_400);
    }
    maker.read(order[rank()], day);
  }
  maker.events.sort((a, b) => a.timeMs - b.timeMs);
  return maker.trace("Zipf with scans", seed);
}

/** Nine reads of ten go to 250 files, of which a tenth is exchanged every day. */
export function driftTrace(seed: number): MadeTrace {
  const maker = new Maker(seed);
  const order = maker.shuffled();
  const inSet = zipf(250, 0.6, maker.random);
  for (let n = 0; n < READS; n++) {
    const day = DAYS * n / READS;
    const start = Math.floor(day) * 25;
    const index = maker.random() < 0.9 ? start + inSet() : Math.floor(maker.random() * FILES);
    maker.read(order[index % FILES], day);
  }
  return maker.trace("drifting working sets", seed);
}

export const TRACES = [zipfTrace(11), scanTrace(12), driftTrace(13)];
