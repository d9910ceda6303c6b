/**
 * Reads of regular files. Bytes come from the content file, zeros from holes; absent chunks are
 * asked for, with the next ones for a sequential reader, and only this reader waits.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { Parked, ReadRequest, RequestHeader } from "../fuse/operations.ts";
import type { MapRow } from "../metadata/map_table.ts";
import { O } from "../runtime/libc_constants.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Handle } from "./handle_table.ts";
import { programOf } from "./reader_rules.ts";
import type { Recalls } from "./recalls.ts";

/** Chunks that are fetched ahead of a sequential reader, at most. */
const AHEAD_CHUNKS = 8;
/** … for readers of whom nothing is kept. */
const AHEAD_STREAM_CHUNKS = 2;
/** Who has read one of so many parts of a chunk straight on will want the next one. */
const STRAIGHT_PARTS = 4;

const isStream = (handle: Handle) => handle.treatment?.recall === "stream";

export class Reader {
  readonly #core: Core;
  readonly #recalls: Recalls;

  constructor(core: Core, recalls: Recalls) {
    this.#core = core;
    this.#recalls = recalls;
  }

  /** Fills `into`; bytes read (fewer only at the end of the file), or PARKED. */
  read(handle: Handle, request: ReadRequest, into: Uint8Array): number | Parked {
    const part = into.length > request.size ? into.subarray(0, request.size) : into;
    return this.readAt(handle, { request, offset: request.offset, into: part });
  }

  /** The same for any request that needs bytes of a file. */
  readAt(
    handle: Handle,
    { request, offset, into }: { request: RequestHeader; offset: number; into: Uint8Array },
  ): number | Parked {
    const core = this.#core;
    const file = handle.file;
    const inode = file.inode;
    const end = Math.min(offset + into.length, inode.size);
    const length = end - offset;
    if (length <= 0) return 0;
    const size = core.chunkSize;
    const first = Math.floor(offset / size);
    const last = Math.floor((end - 1) / size);
    if (inode.deadFrom !== undefined && last >= inode.deadFrom) {
      return core.lot.park(request, { operation: "read", reason: "slices", file });
    }
    if (file.leftover && core.unseen.outrunsRows(file)) {
      // Nobody can tell what was stored from what is being cut off.
      core.hurryTrims();
      return core.lot.park(request, { operation: "read", reason: "sync", file });
    }
    const absent = this.#absent(handle, first, last);
    if (absent.length > 0) {
      this.#recalling(handle, request);
      this.#recalls.want(file, absent, "reader", { stream: isStream(handle) });
      this.#movedTo(handle, last);
      return core.lot.park(request, {
        operation: "read",
        reason: "recall",
        file,
        indices: absent,
        uses: Array.from({ length: last - first + 1 }, (_, i) => first + i),
        timeoutMs: core.settings.recallTimeoutMs,
      });
    }
    for (let index = first; index <= last; index++) {
      const from = Math.max(offset, index * size);
      const until = Math.min(end, (index + 1) * size);
      const part = into.subarray(from - offset, until - offset);
      if (!this.#fill(handle, { index, from: from - index * size, part })) {
        // The content file has lost bytes that the bucket has: now the row says so; fetch them.
        return this.readAt(handle, { request, offset, into });
      }
    }
    handle.straight = offset === handle.until ? handle.straight + length : 0;
    handle.until = end;
    if (last !== handle.lastIndex) this.#movedTo(handle, last);
    else if (handle.run === 0 && handle.straight >= size / STRAIGHT_PARTS) {
      handle.run = 1;
      this.#fetchAhead(handle);
    }
    if ((handle.flags & O.NOATIME) === 0) core.accessed(inode);
    return length;
  }

  #absent(handle: Handle, first: number, last: number): number[] {
    const absent: number[] = [];
    for (let index = first; index <= last; index++) {
      const row = handle.file.row(index);
      if (row !== null && !this.#readable(handle, row)) absent.push(index);
    }
    return absent;
  }

  /** From the content file, or for this handle only from memory. */
  #readable({ file, treatment }: Handle, row: MapRow): boolean {
    if (file.readable(row)) return true;
    return treatment?.recall === "stream" && this.#core.streams.get(row.chunk) !== undefined;
  }

  /** A program is about to have content brought back: says who in the journal, once per handle. */
  #recalling(handle: Handle, request: RequestHeader): void {
    const { treatment, file } = handle;
    if (treatment?.recall === "deny") {
      throw new FsError(
        Errno.EACCES,
        `the policy keeps ${treatment.program} from recalling content`,
      );
    }
    if (handle.recalled || isStream(handle)) return;
    handle.recalled = true;
    file.recalledBy = treatment?.program ?? programOf(request.pid);
    const { journal, clock } = this.#core;
    const entry = { inode: file.inode.id, atMs: clock.wallMs(), bytes: 0 };
    journal.note({ ...entry, what: "recalled", who: file.recalledBy });
  }

  /**
   * A reader that moves on to the next chunk gets the ones after it, more the longer it does so. Whoever
   * only looks at some place, most often the beginning, pays for that chunk and waits for nothing else:
   * what comes with it takes its share of the line.
   */
  #movedTo(handle: Handle, last: number): void {
    const before = handle.lastIndex;
    handle.lastIndex = last;
    if (before < 0) return;
    handle.run = last === before + 1 ? Math.min(handle.run + 1, 3) : 0;
    if (handle.run > 0) this.#fetchAhead(handle);
  }

  #fetchAhead(handle: Handle): void {
    const { file, lastIndex: last } = handle;
    if (file.inode.resident === file.inode.allocated) return;
    // What is kept in memory only must not push itself out.
    const stream = isStream(handle);
    const ahead = Math.min(2 ** handle.run, stream ? AHEAD_STREAM_CHUNKS : AHEAD_CHUNKS);
    const end = Math.ceil(file.inode.size / this.#core.chunkSize);
    const wanted: number[] = [];
    for (let index = last + 1; index <= last + ahead && index < end; index++) {
      const row = file.row(index);
      if (row !== null && !this.#readable(handle, row)) wanted.push(index);
    }
    this.#recalls.want(file, wanted, "ahead", { stream });
  }

  /** False: bytes were missing and the row has been corrected to say so. */
  #fill(handle: Handle, piece: { index: number; from: number; part: Uint8Array }): boolean {
    const core = this.#core;
    const { file } = handle;
    const row = file.row(piece.index);
    const most = piece.part.length;
    const valid = row === null ? 0 : Math.max(0, Math.min(most, row.length - piece.from));
    const wanted = core.unseen.outrunsRows(file) ? most : valid;
    if (wanted === 0) {
      piece.part.fill(0);
      return true;
    }
    if (row !== null && !file.readable(row)) {
      const bytes = core.streams.get(row.chunk)!;
      piece.part.set(bytes.subarray(piece.from, piece.from + valid));
      piece.part.fill(0, valid);
      return true;
    }
    if (row !== null) file.touched.set(piece.index, ++core.tick);
    const content = core.content(file.inode, false);
    const target = piece.part.subarray(0, wanted);
    const got = content === undefined
      ? 0
      : core.store.read(content, target, piece.index * core.chunkSize + piece.from);
    if (row !== null && got < valid) {
      this.#missing(file, row);
      return false;
    }
    piece.part.fill(0, got);
    return true;
  }

  /** The content file is shorter than its row says: somebody has tampered with the cache, or the disk lost bytes. */
  #missing(file: FileState, row: MapRow): void {
    const core = this.#core;
    const inode = file.inode;
    const where = `chunk ${row.index} of inode ${inode.id}`;
    if (row.chunk === 0) {
      core.emit({ event: "defect", message: `local bytes of ${where} are missing from the cache` });
      throw new FsError(Errno.EIO, `local bytes of ${where} are missing`);
    }
    core.emit({ event: "defect", message: `cached bytes of ${where} are missing; recalled again` });
    if (file.volatile.has(row.index)) {
      this.#recalls.forgetVolatile(file, row.index);
      return;
    }
    core.account(inode, { resident: -core.charge(row.length) });
    file.putPending({ ...row, resident: false });
    core.inodes.touch(inode);
    core.flush(file);
  }
}
