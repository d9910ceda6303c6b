/**
 * Verified chunks for readers of whom nothing is kept: in memory, bounded, oldest out first. Named by
 * the row of the chunk, whose bytes never change, so an entry can be missing but never wrong.
 */
import { MiB } from "../domain/units.ts";

const BYTES = 64 * MiB;

export class StreamCache {
  readonly #chunks = new Map<number, Uint8Array>();
  #bytes = 0;

  get(chunk: number): Uint8Array | undefined {
    return this.#chunks.get(chunk);
  }

  /** Takes a copy. */
  put(chunk: number, bytes: Uint8Array): void {
    this.#drop(chunk);
    for (const oldest of this.#chunks.keys()) {
      if (this.#bytes + bytes.length <= BYTES) break;
      this.#drop(oldest);
    }
    this.#chunks.set(chunk, bytes.slice());
    this.#bytes += bytes.length;
  }

  #drop(chunk: number): void {
    this.#bytes -= this.#chunks.get(chunk)?.length ?? 0;
    this.#chunks.delete(chunk);
  }

  /** Bytes that it holds. */
  get size(): number {
    return this.#bytes;
  }

  /** Nobody streams any more. */
  clear(): void {
    this.#chunks.clear();
    this.#bytes = 0;
  }
}
