/**
 * How many times the kernel knows each inode: raised by every reply that names it, lowered by FORGET.
 * Owns the numbers only. A mount that was walked from end to end has one count per inode, so they are
 * kept in an open-addressing table of 12 bytes a slot instead of a Map of boxed numbers.
 */
import { invariant } from "../domain/errors.ts";

const SMALLEST = 1024;

export class LookupCounts {
  /** Inode numbers; 0 marks a free slot (no inode has that number). */
  #keys = new Float64Array(SMALLEST);
  #counts = new Uint32Array(SMALLEST);
  #size = 0;

  /** How many inodes the kernel knows. */
  get size(): number {
    return this.#size;
  }

  /** The count of `inode`; 0 where the kernel does not know it. */
  get(inode: number): number {
    const slot = this.#slot(inode);
    return this.#keys[slot] === 0 ? 0 : this.#counts[slot];
  }

  /** The kernel has learned of `inode` once more. */
  add(inode: number): void {
    const slot = this.#slot(inode);
    if (this.#keys[slot] !== 0) {
      this.#counts[slot]++;
      return;
    }
    this.#keys[slot] = inode;
    this.#counts[slot] = 1;
    // At most two thirds full: probes stay short.
    if (++this.#size * 3 > this.#keys.length * 2) this.#resize(this.#keys.length * 2);
  }

  /**
   * The kernel has dropped `count` of them. Returns what is left. A count that goes below zero is the
   * kernel's word against ours, and the kernel does not know the inode then: 0.
   */
  subtract(inode: number, count: number): number {
    const slot = this.#slot(inode);
    if (this.#keys[slot] === 0) return 0;
    if (this.#counts[slot] > count) {
      this.#counts[slot] -= count;
      return this.#counts[slot];
    }
    this.#remove(slot);
    if (this.#keys.length > SMALLEST && this.#size * 8 < this.#keys.length) {
      this.#resize(this.#keys.length / 2);
    }
    return 0;
  }

  /** The slot that holds `inode`, or the free one where it belongs. */
  #slot(inode: number): number {
    const mask = this.#keys.length - 1;
    let slot = hash(inode) & mask;
    while (this.#keys[slot] !== 0 && this.#keys[slot] !== inode) slot = (slot + 1) & mask;
    return slot;
  }

  /** Frees a slot and moves up those behind it that were displaced, so that no gap cuts a probe short. */
  #remove(slot: number): void {
    const mask = this.#keys.length - 1;
    let gap = slot;
    for (let next = (gap + 1) & mask; this.#keys[next] !== 0; next = (next + 1) & mask) {
      const home = hash(this.#keys[next]) & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      this.#keys[gap] = this.#keys[next];
      this.#counts[gap] = this.#counts[next];
      gap = next;
    }
    this.#keys[gap] = 0;
    this.#size--;
  }

  #resize(length: number): void {
    const [keys, counts] = [this.#keys, this.#counts];
    this.#keys = new Float64Array(length);
    this.#counts = new Uint32Array(length);
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === 0) continue;
      const slot = this.#slot(keys[i]);
      invariant(this.#keys[slot] === 0, () => `inode ${keys[i]} is counted twice`);
      this.#keys[slot] = keys[i];
      this.#counts[slot] = counts[i];
    }
  }
}

/** Spreads neighbouring inode numbers (golden ratio); both halves of a number above 2^32 count. */
function hash(inode: number): number {
  const mixed = Math.imul((inode ^ (inode / 0x1_0000_0000)) | 0, 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
