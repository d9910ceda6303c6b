/**
 * Chunks that are wanted, and which to fetch next. One entry per chunk, however many files want it.
 * Readers go first; what nobody waits for goes in the order it was asked for. Neighbours in a pack
 * that are wanted with the same urgency go together. Pure: no clock, no store.
 */
import type { ChunkLocation, FilesystemEvent } from "../filesystem/protocol.ts";

export type RecallEvent = Extract<FilesystemEvent, { event: "recall" }>;
export type Urgency = RecallEvent["urgency"];

/** One place that waits for a chunk. */
export interface Want {
  readonly inode: number;
  readonly incarnation: number;
  readonly index: number;
  urgency: Urgency;
}

/** A chunk on its way, with everybody who waits for it. */
export interface WantedChunk {
  readonly location: ChunkLocation;
  readonly wants: Map<string, Want>;
  state: "queued" | "pausing" | "fetching";
  /** Order of arrival. */
  readonly order: number;
  /** Failures in a row of the store, and downloads whose bytes were wrong. */
  failures: number;
  corrupt: number;
}

const RANK: Record<Urgency, number> = { reader: 0, ahead: 1, bulk: 2 };

/** The most urgent of those who wait. */
export function urgencyOf(chunk: WantedChunk): Urgency {
  let best: Urgency = "bulk";
  for (const want of chunk.wants.values()) if (RANK[want.urgency] < RANK[best]) best = want.urgency;
  return best;
}

export class RecallQueue {
  readonly #chunks = new Map<number, WantedChunk>();
  /** Key of a place → its chunk. */
  readonly #places = new Map<string, WantedChunk>();
  /** Queued chunks by pack and offset, to find neighbours. */
  readonly #queued = new Map<string, WantedChunk>();
  #arrived = 0;

  /** Chunks that somebody waits for. */
  get size(): number {
    return this.#chunks.size;
  }

  add(event: RecallEvent): WantedChunk {
    const { inode, incarnation, index, urgency, location } = event;
    const key = placeKey(event);
    // Asked again after it was given up: the newer question counts.
    this.remove(event);
    let chunk = this.#chunks.get(location.chunk);
    if (chunk === undefined) {
      chunk = {
        location,
        wants: new Map(),
        state: "queued",
        order: this.#arrived++,
        failures: 0,
        corrupt: 0,
      };
      this.#chunks.set(location.chunk, chunk);
      this.#queued.set(neighbourKey(location.pack, location.offset), chunk);
    }
    chunk.wants.set(key, { inode, incarnation, index, urgency });
    this.#places.set(key, chunk);
    return chunk;
  }

  /** The place's want, if it still waits. */
  find(place: Omit<Want, "urgency">): Want | undefined {
    const key = placeKey(place);
    return this.#places.get(key)?.wants.get(key);
  }

  /** The chunk that the place waits for, if it still waits. */
  chunkAt(place: Omit<Want, "urgency">): WantedChunk | undefined {
    return this.#places.get(placeKey(place));
  }

  /** Nobody waits in this place any more. Answers the chunk if nobody waits for it at all now. */
  remove(place: Omit<Want, "urgency">): WantedChunk | undefined {
    const key = placeKey(place);
    const chunk = this.#places.get(key);
    if (chunk === undefined) return undefined;
    this.#places.delete(key);
    chunk.wants.delete(key);
    if (chunk.wants.size > 0) return undefined;
    this.drop(chunk);
    return chunk;
  }

  /** Forgets a chunk and everybody who waited for it. */
  drop(chunk: WantedChunk): void {
    if (this.#chunks.get(chunk.location.chunk) === chunk) {
      this.#chunks.delete(chunk.location.chunk);
    }
    this.#unqueue(chunk);
    for (const key of chunk.wants.keys()) {
      if (this.#places.get(key) === chunk) this.#places.delete(key);
    }
  }

  /** Whether it is still wanted. */
  has(chunk: WantedChunk): boolean {
    return this.#chunks.get(chunk.location.chunk) === chunk;
  }

  /** It may be fetched (again). */
  requeue(chunk: WantedChunk): void {
    chunk.state = "queued";
    const { pack, offset } = chunk.location;
    this.#queued.set(neighbourKey(pack, offset), chunk);
  }

  /**
   * Takes the next chunks to fetch with one ranged GET: the most urgent one and its neighbours.
   * `readersOnly`: nothing that nobody waits for. Their state becomes "fetching".
   */
  take(options: { readersOnly: boolean; maximumBytes: number }): WantedChunk[] {
    let first: WantedChunk | undefined;
    let rank = Infinity;
    for (const chunk of this.#queued.values()) {
      const own = RANK[urgencyOf(chunk)];
      if (own < rank || (own === rank && chunk.order < first!.order)) {
        first = chunk;
        rank = own;
      }
    }
    if (first === undefined || (options.readersOnly && rank > RANK.reader)) return [];
    const run = this.#runAround(first, { rank, maximumBytes: options.maximumBytes });
    for (const chunk of run) {
      this.#unqueue(chunk);
      chunk.state = "fetching";
    }
    return run;
  }

  /** Neighbours of the same urgency, in order of offset; a chunk whose bytes were wrong goes alone. */
  #runAround(first: WantedChunk, options: { rank: number; maximumBytes: number }): WantedChunk[] {
    const run = [first];
    if (first.corrupt > 0) return run;
    let bytes = first.location.stored;
    const joins = (chunk: WantedChunk | undefined): chunk is WantedChunk =>
      chunk !== undefined && chunk.corrupt === 0 && RANK[urgencyOf(chunk)] === options.rank &&
      bytes + chunk.location.stored <= options.maximumBytes;
    const { pack, packVersion } = first.location;
    for (;;) {
      const { offset, stored } = run[run.length - 1].location;
      const next = this.#queued.get(neighbourKey(pack, offset + stored));
      if (!joins(next) || next.location.packVersion !== packVersion) break;
      run.push(next);
      bytes += next.location.stored;
    }
    return run;
  }

  #unqueue(chunk: WantedChunk): void {
    const key = neighbourKey(chunk.location.pack, chunk.location.offset);
    if (this.#queued.get(key) === chunk) this.#queued.delete(key);
  }
}

function placeKey(place: Omit<Want, "urgency">): string {
  return `${place.inode}.${place.incarnation}.${place.index}`;
}

function neighbourKey(pack: Uint8Array, offset: number): string {
  return `${String.fromCharCode(...pack)}${offset}`;
}
