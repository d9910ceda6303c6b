/**
 * What the content files occupy, and how much more they may. Counts charges (bytes rounded up to
 * 4096) in memory; the sums of record stand in table `total`. Decides nothing but yes or no.
 */
import type { FilesystemSpaceLimits } from "./space_limits.ts";

const PAGE = 4096;
/** How long a reading of the disk's free space may be used, milliseconds. */
const DISK_READING_MS = 100;

/** What `length` bytes of a chunk occupy on the local disk. */
export const charge = (length: number): number => Math.ceil(length / PAGE) * PAGE;

export class SpaceAccountant {
  /** Charge of resident rows. */
  resident: number;
  /** Promised to recalls that are under way. */
  reserved = 0;
  /** Rows say gone, the file system has not let go yet. */
  leaving = 0;
  limits: FilesystemSpaceLimits;
  readonly #disk: () => { free: number; total: number };
  readonly #nowMs: () => number;
  #readAtMs = -Infinity;
  #free = 0;
  /** Used when the disk was read, to follow what has been written since. */
  #usedAtReading = 0;

  constructor(options: {
    resident: number;
    limits: FilesystemSpaceLimits;
    disk: () => { free: number; total: number };
    nowMs: () => number;
  }) {
    this.resident = options.resident;
    this.limits = options.limits;
    this.#disk = options.disk;
    this.#nowMs = options.nowMs;
  }

  get used(): number {
    return this.resident + this.reserved + this.leaving;
  }

  /** Bytes that the cache's disk can still take from us, beyond what is left to others. */
  get diskRoom(): number {
    const now = this.#nowMs();
    if (now - this.#readAtMs >= DISK_READING_MS) {
      this.#free = this.#disk().free;
      this.#readAtMs = now;
      this.#usedAtReading = this.used;
    }
    const grown = Math.max(0, this.used - this.#usedAtReading);
    return this.#free - this.limits.minFree - grown;
  }

  /** Forgets the last reading: the disk has just said that it is full, or something was unlinked. */
  forgetReading(): void {
    this.#readAtMs = -Infinity;
  }

  /** Whether `bytes` more may be taken without passing the hard mark or the disk's reserve. */
  admits(bytes: number): boolean {
    return this.shortBy(bytes) <= 0;
  }

  /** How many bytes must go before `bytes` more are admitted; 0 or less: none. */
  shortBy(bytes: number): number {
    return Math.max(
      this.used + bytes - this.limits.hard,
      bytes - this.diskRoom,
    );
  }

  /** How many bytes lie above a mark, or are missing from the disk's reserve. */
  excess(mark: "high" | "low"): number {
    return Math.max(this.used - this.limits[mark], -this.diskRoom);
  }
}
