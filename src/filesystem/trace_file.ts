/**
 * Writes the access trace (src/domain/access_trace.ts) into its ring on the disk. Owns a batch in
 * memory and the descriptor; whoever mounts has made the file. A trace is never precious: nothing is
 * synced, what cannot be written is dropped and counted, and no program ever hears of it.
 */
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  placeOf,
  RECORD_BYTES,
  type TraceEvent,
  type TraceHeader,
  writeRecord,
} from "../domain/access_trace.ts";
import * as libc from "../runtime/libc.ts";
import { O } from "../runtime/libc_constants.ts";

/** Records in memory at most: 96 KiB. With more in a second, they are written sooner. */
const BATCH = 4096;

export interface TraceReport {
  /** Records that the ring holds, and for how many it has room. */
  records: number;
  capacity: number;
  /** Records that could not be written since the mount, and the last errno. */
  dropped: number;
  errno: number | undefined;
}

export class TraceFile {
  readonly #fd: number;
  readonly #header: TraceHeader;
  readonly #batch = new Uint8Array(BATCH * RECORD_BYTES);
  readonly #view = new DataView(this.#batch.buffer);
  #count = 0;
  #dropped = 0;
  #errno: number | undefined;

  private constructor(fd: number, header: TraceHeader) {
    this.#fd = fd;
    this.#header = header;
  }

  /** Goes on with the ring at `path`. Throws UserError for what is no trace; undefined where it cannot be opened. */
  static open(path: string): TraceFile | undefined {
    const fd = libc.open(path, O.RDWR);
    if (fd < 0) return undefined;
    try {
      const bytes = new Uint8Array(HEADER_BYTES);
      const status = libc.fstat(fd);
      const got = Math.max(0, libc.pread(fd, bytes, 0));
      const length = typeof status === "number" ? got : status.size;
      return new TraceFile(fd, decodeHeader(bytes.subarray(0, got), length));
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  note(event: TraceEvent): void {
    writeRecord(this.#view, this.#count * RECORD_BYTES, event);
    if (++this.#count === BATCH) this.flush();
  }

  /** Writes what is in memory: records first, then their count, so that a reader never sees a gap. */
  flush(): void {
    const { capacity } = this.#header;
    if (this.#count === 0) return;
    // Of a batch that is longer than the ring only the end counts.
    let done = Math.max(0, this.#count - capacity);
    let written = this.#header.written + done;
    while (done < this.#count) {
      const run = Math.min(this.#count - done, capacity - written % capacity);
      const bytes = this.#batch.subarray(done * RECORD_BYTES, (done + run) * RECORD_BYTES);
      if (!this.#put(bytes, placeOf(written, capacity))) return this.#drop();
      done += run;
      written += run;
    }
    if (!this.#put(encodeHeader({ capacity, written }), 0)) return this.#drop();
    this.#header.written = written;
    this.#count = 0;
    this.#errno = undefined;
  }

  #put(bytes: Uint8Array, at: number): boolean {
    const put = libc.pwrite(this.#fd, bytes, at);
    if (put === bytes.length) return true;
    this.#errno = put < 0 ? -put : 0;
    return false;
  }

  #drop(): void {
    this.#dropped += this.#count;
    this.#count = 0;
  }

  report(): TraceReport {
    const { capacity, written } = this.#header;
    const records = Math.min(capacity, written + this.#count);
    return { records, capacity, dropped: this.#dropped, errno: this.#errno };
  }

  close(): void {
    this.flush();
    libc.close(this.#fd);
  }
}
