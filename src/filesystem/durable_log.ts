/**
 * How much of the write-ahead log is on the disk, as a count of commits: whoever asks for what is there
 * already need not wait for the disk again.
 */
import type { MetadataDatabase } from "../metadata/database.ts";

export class DurableLog {
  /** An earlier mount may have left one that was never synced. */
  #commits = 1;
  #durable = 0;

  constructor(database: Pick<MetadataDatabase, "onWritten">) {
    database.onWritten(() => this.#commits++);
  }

  /** Everything that was committed is on the disk. */
  get complete(): boolean {
    return this.#durable === this.#commits;
  }

  /** A sync begins, which covers what is committed; call the result when it has succeeded. */
  beginSync(): () => void {
    const commits = this.#commits;
    return () => this.#durable = Math.max(this.#durable, commits);
  }
}
