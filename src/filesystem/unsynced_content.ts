/**
 * Which inodes have content that was written and is not known to be durable (law 7). An inode leaves
 * only when a sync that began after its last write has succeeded: whoever syncs while another sync of
 * the same file is under way syncs again, and a write during a sync is not covered by it.
 */
export class UnsyncedContent {
  /** Of the last write. */
  readonly #stamps = new Map<number, number>();
  #stamp = 0;
  /** An earlier mount ended uncleanly: nothing is known of any file. */
  #allDoubtful = false;
  /** Everything written up to this generation is durable. */
  #durableGeneration = 0;

  get size(): number {
    return this.#stamps.size;
  }

  /** Nothing at all is in doubt. */
  get allDurable(): boolean {
    return this.#stamps.size === 0 && !this.#allDoubtful;
  }

  has(inode: number): boolean {
    return this.#allDoubtful || this.#stamps.has(inode);
  }

  /** Whether bytes that were written at a generation are known to be durable. */
  isDurable(inode: number, generation: number): boolean {
    return generation <= this.#durableGeneration || !this.has(inode);
  }

  /** Content of the inode was just written. */
  mark(inode: number): void {
    this.#stamps.set(inode, ++this.#stamp);
  }

  /** Every file is in doubt, until a sync of all succeeds. */
  doubtAll(): void {
    this.#allDoubtful = true;
  }

  /** The inode's content is gone, or safe in another place. */
  delete(inode: number): void {
    this.#stamps.delete(inode);
  }

  /** A sync of the inode's content begins; call the result when it has succeeded. */
  beginSync(inode: number): () => void {
    const stamp = this.#stamps.get(inode);
    return () => {
      if (this.#stamps.get(inode) === stamp) this.#stamps.delete(inode);
    };
  }

  /** A sync of the whole disk begins, at a generation; call the result when it has succeeded. */
  beginSyncAll(generation: number): () => void {
    const last = this.#stamp;
    return () => {
      this.#allDoubtful = false;
      this.#durableGeneration = generation;
      for (const [inode, stamp] of this.#stamps) {
        if (stamp <= last) this.#stamps.delete(inode);
      }
    };
  }
}
