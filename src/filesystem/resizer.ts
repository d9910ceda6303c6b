/**
 * Changes of size and shape: truncate, extend, fallocate, SEEK_DATA and SEEK_HOLE. Rows first and
 * durable, bytes afterwards: content that goes away is trimmed in the background once the rows that
 * name it are gone for good, so that no crash shows zeros where data was.
 */
import type { ContentFile } from "../content/content_store.ts";
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { FallocateRequest, LseekRequest, Parked, RequestHeader } from "../fuse/operations.ts";
import type { MapRow } from "../metadata/map_table.ts";
import { FALLOC, SEEK } from "../runtime/libc_constants.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Handle } from "./handle_table.ts";
import type { Inode } from "./inode.ts";
import type { Reaper } from "./reaper.ts";
import type { Recalls } from "./recalls.ts";
import { volumeStatistics } from "./volume_statistics.ts";
import { zeroBetween } from "./stored_chunks.ts";
import { MAXIMUM_FILE_SIZE, type Writer } from "./writer.ts";

/** Rows that one transaction deletes at most; more are left to the reaper. */
const ROWS_AT_ONCE = 1000;
/** Rows that SEEK_DATA and SEEK_HOLE look at in one step. */
const SEEK_ROWS = 1000;

/** A part of a chunk that is to become zeros: offset in the file, bytes. */
interface Part {
  index: number;
  offset: number;
  length: number;
}

/** Bytes of a file that are data. */
interface Extent {
  offset: number;
  end: number;
}

export class Resizer {
  readonly #core: Core;
  readonly #recalls: Recalls;
  readonly #writer: Writer;
  readonly #reaper: Reaper;
  /** Requests whose change is made, and that may still wait until everybody sees it. */
  readonly #made = new WeakSet<RequestHeader>();

  constructor(core: Core, parts: { recalls: Recalls; writer: Writer; reaper: Reaper }) {
    this.#core = core;
    this.#recalls = parts.recalls;
    this.#writer = parts.writer;
    this.#reaper = parts.reaper;
  }

  /**
   * Sets the size. PARKED: the request will run again; what it then finds done is not done twice.
   */
  resize(request: RequestHeader, file: FileState, size: number): void | Parked {
    const core = this.#core;
    const inode = file.inode;
    if (this.#made.has(request)) return this.#shown(request, file);
    core.requireWritable();
    if (size > MAXIMUM_FILE_SIZE) throw new FsError(Errno.EFBIG);
    const copied = size < inode.size && file.snapshot !== undefined;
    if (inode.deadFrom !== undefined || copied) {
      return core.lot.park(request, { operation: "truncate", reason: "slices", file });
    }
    const lent = core.lending.isLent(file);
    if (size > inode.size && (lent || core.unseen.has(inode.id)) && this.#isLonger(file)) {
      return this.#awaitTrim(request, file);
    }
    if (size < inode.size) this.#shrink(file, size, lent);
    else {
      core.flush(file);
      core.database.transaction(() => this.#write(inode, size));
    }
    this.#made.add(request);
    if (lent) return this.#shown(request, file);
  }

  /** Waits until the content file, where it is lent, is what the rows say: its readers ask nobody. */
  #shown(request: RequestHeader, file: FileState): void | Parked {
    const core = this.#core;
    const inode = file.inode;
    if (!core.lending.isLent(file)) return;
    if (core.suspect) throw new FsError(Errno.EIO, core.readOnlyReason);
    if (inode.deadFrom !== undefined) {
      return core.lot.park(request, { operation: "truncate", reason: "slices", file });
    }
    if (file.leftover) return this.#awaitTrim(request, file);
    return core.conformity.lengthen(request, file, "truncate");
  }

  #awaitTrim(request: RequestHeader, file: FileState): Parked {
    const core = this.#core;
    core.hurryTrims();
    return core.lot.park(request, { operation: "truncate", reason: "sync", file });
  }

  /**
   * Where the content file may say more than rows do, a file must not grow over what it has lost: nobody
   * could tell that from what was stored. True: it is going. After a crash there may be some of no known cut.
   */
  #isLonger(file: FileState): boolean {
    if (file.leftover) return true;
    const content = this.#core.content(file.inode, false);
    if (content === undefined || this.#core.store.length(content) <= file.inode.size) return false;
    file.cuts++;
    this.#reaper.trimLater(file);
    return true;
  }

  /** In transaction: the content changes, and the size. */
  #write(inode: Inode, size: number): void {
    const core = this.#core;
    core.changed(inode);
    inode.size = size;
    core.inodes.writeWhole(inode);
  }

  #shrink(file: FileState, size: number, lent: boolean): void {
    const core = this.#core;
    const inode = file.inode;
    const keep = Math.ceil(size / core.chunkSize);
    core.flush(file);
    this.#leave(file, keep);
    const rows = core.maps.range(inode.id, {
      from: keep,
      until: Infinity,
      limit: ROWS_AT_ONCE + 1,
    });
    const few = rows.length <= ROWS_AT_ONCE;
    const border = this.#shortened(file, size);
    // Emptied, a file gets new content: what it had stays whole until the rows that say so are durable.
    // Content that is lent stays the same file, for readers and writers alike.
    const old = keep === 0 && !lent ? inode.incarnation : 0;
    const freed = core.database.transaction(() => {
      let resident = few ? this.#reaper.subtract(inode, rows) : 0;
      if (border !== undefined) {
        resident += this.#reaper.subtract(inode, [border.before], border.after);
        core.maps.put(inode.id, border.after);
      }
      if (few) { for (const row of rows) core.maps.remove(inode.id, row.index); }
      else inode.deadFrom = keep;
      if (old > 0) inode.incarnation = core.store.nextIncarnation(old);
      this.#write(inode, size);
      return resident;
    });
    core.space.resident -= freed;
    if (border !== undefined) this.#shorten(file, border);
    file.forgetRows(keep);
    if (size === 0) file.truncated = true;
    core.emit({ event: "changed", inode: inode.id });
    if (old > 0) this.#renewed(inode, { old, bytes: freed });
    else if (inode.incarnation > 0) file.cuts++;
    if (!few) this.#reaper.deleteDeadRows(file);
    else if (old === 0) this.#reaper.trimLater(file);
  }

  #renewed(inode: Inode, { old, bytes }: { old: number; bytes: number }): void {
    const core = this.#core;
    core.store.close(inode.id, old);
    core.store.remove(inode.id, inode.incarnation);
    core.unsynced.delete(inode.id);
    this.#reaper.unlinks.add([{ path: core.store.path(inode.id, old), bytes }], { hurry: true });
  }

  /** Chunks from `keep` on go away: nobody wants them any more. */
  #leave(file: FileState, keep: number): void {
    for (const index of [...file.recalls.keys()]) {
      if (index >= keep) this.#recalls.cancel(file, index);
    }
    for (const index of [...file.volatile]) {
      if (index >= keep) this.#recalls.forgetVolatile(file, index);
    }
    for (const index of file.touched.keys()) {
      if (index >= keep) file.touched.delete(index);
    }
  }

  /**
   * The last chunk where it is to have fewer valid bytes. A confirmed chunk stays what it is; only its
   * first bytes count.
   */
  #shortened(file: FileState, size: number): { before: MapRow; after: MapRow } | undefined {
    const core = this.#core;
    const index = Math.ceil(size / core.chunkSize) - 1;
    const before = index < 0 ? null : file.row(index);
    const length = size - index * core.chunkSize;
    if (before === null || before.length <= length) return undefined;
    return { before, after: { ...before, length, generation: core.database.nextGeneration() } };
  }

  /** The transaction is done: memory follows. */
  #shorten(file: FileState, { before, after }: { before: MapRow; after: MapRow }): void {
    const core = this.#core;
    const change = core.charge(after.length) - core.charge(before.length);
    if (file.volatile.has(after.index)) core.space.reserved += change;
    const recall = file.recalls.get(after.index);
    if (recall !== undefined && recall.reserved > 0) {
      core.space.reserved += change;
      recall.reserved += change;
    }
    file.putStored(after.index, after);
  }

  /** fallocate(2): reserves nothing, refuses what statfs(2) says there is no room for, extends, or makes zeros. */
  fallocate(handle: Handle, request: FallocateRequest): void | Parked {
    const core = this.#core;
    const file = handle.file;
    if (this.#made.has(request)) return this.#shown(request, file);
    core.requireWritable();
    if (!handle.writes) throw new FsError(Errno.EBADF);
    if (request.length <= 0 || request.offset < 0) throw new FsError(Errno.EINVAL);
    const end = request.offset + request.length;
    if (end > MAXIMUM_FILE_SIZE) throw new FsError(Errno.EFBIG);
    const keepSize = (request.mode & FALLOC.KEEP_SIZE) !== 0;
    const kind = request.mode & ~FALLOC.KEEP_SIZE;
    if (kind !== 0 && kind !== FALLOC.PUNCH_HOLE && kind !== FALLOC.ZERO_RANGE) {
      throw new FsError(Errno.EOPNOTSUPP);
    }
    if (kind === FALLOC.PUNCH_HOLE && !keepSize) throw new FsError(Errno.EOPNOTSUPP);
    if (kind === 0) this.#requireRoom(file.inode, request.length);
    else {
      const parked = this.#zero(file, request, Math.min(end, file.inode.size));
      if (parked !== undefined) return parked;
    }
    if (!keepSize && end > file.inode.size) return this.resize(request, file, end);
    // Linux's own file systems move the times even where nothing had to be done.
    core.changed(file.inode);
    core.inodes.touch(file.inode);
    core.flush(file);
    if (kind === 0) return;
    this.#made.add(request);
    return this.#shown(request, file);
  }

  /** Who asks for room wants to know that it is there. What the file has by now is part of it. */
  #requireRoom(inode: Inode, length: number): void {
    const { freeBlocks, blockSize } = volumeStatistics(this.#core);
    if (length - inode.allocated > freeBlocks * blockSize) throw new FsError(Errno.ENOSPC);
  }

  /** Zeros over [offset, end): whole chunks become holes, parts of chunks are zeroed. */
  #zero(file: FileState, request: FallocateRequest, end: number): Parked | undefined {
    const core = this.#core;
    const inode = file.inode;
    const size = core.chunkSize;
    if (request.offset >= end) return undefined;
    if (inode.deadFrom !== undefined || file.snapshot !== undefined) {
      return core.lot.park(request, { operation: "fallocate", reason: "slices", file });
    }
    core.flush(file);
    const rows = core.maps.range(inode.id, {
      from: Math.floor(request.offset / size),
      until: Math.ceil(end / size),
      limit: ROWS_AT_ONCE,
    });
    const parts: Part[] = [];
    const holes: MapRow[] = [];
    for (const row of rows) {
      const from = Math.max(request.offset - row.index * size, 0);
      const until = Math.min(end - row.index * size, row.length);
      if (until <= from) continue;
      if (from > 0 || until < row.length) {
        const offset = row.index * size + from;
        const parked = this.#writer.prepare(file, { request, offset, length: until - from });
        if (parked !== undefined) return parked;
        parts.push({ index: row.index, offset, length: until - from });
      } else if (file.marking.has(row.index) || file.punching.has(row.index)) {
        return core.lot.park(request, { operation: "fallocate", reason: "sync", file });
      } else holes.push(row);
    }
    this.#applyZeros(file, parts, holes);
    if (core.unseen.outrunsRows(file)) {
      const last = rows.length < ROWS_AT_ONCE ? end : rows[rows.length - 1].index * size;
      zeroBetween(core, inode, { rows, offset: request.offset, end: last });
    }
    if (rows.length < ROWS_AT_ONCE) return undefined;
    // The rest after other requests have had their turn.
    this.#reaper.add(() => {
      core.lot.wake(file, "slices");
      return false;
    });
    return core.lot.park(request, { operation: "fallocate", reason: "slices", file });
  }

  /** Nothing stands in the way: rows first, bytes afterwards. */
  #applyZeros(file: FileState, parts: Part[], holes: MapRow[]): void {
    const core = this.#core;
    const inode = file.inode;
    if (parts.length === 0 && holes.length === 0) return;
    for (const { index } of holes) {
      this.#recalls.cancel(file, index);
      this.#recalls.forgetVolatile(file, index);
    }
    const changed: MapRow[] = [];
    const freed = core.database.transaction(() => {
      const resident = this.#reaper.subtract(inode, holes);
      this.#write(inode, inode.size);
      for (const { index } of holes) core.maps.remove(inode.id, index);
      for (const { index } of parts) {
        const row = { ...file.row(index)!, generation: inode.generation };
        core.maps.put(inode.id, row);
        changed.push(row);
      }
      return resident;
    });
    core.space.resident -= freed;
    for (const row of changed) file.putStored(row.index, row);
    for (const { index } of holes) {
      file.putStored(index, null);
      this.#reaper.punchLater(file, index);
    }
    if (parts.length === 0) return;
    core.markUnsynced(inode.id);
    const content = core.content(inode, true)!;
    for (const { offset, length } of parts) core.store.punch(content, offset, length);
    core.unseen.wrote(inode);
  }

  /** SEEK_DATA and SEEK_HOLE by the working map, and within the chunks that are here by the content file. */
  seek(file: FileState, request: LseekRequest): number {
    const core = this.#core;
    const { inode } = file;
    const { offset, whence } = request;
    if (offset < 0 || offset >= inode.size) throw new FsError(Errno.ENXIO);
    core.flush(file);
    const content = core.content(inode, false);
    // Into holes of what is mapped programs store without a row: there the content file is the file.
    if (content !== undefined && core.unseen.has(inode.id)) {
      return this.#seekContent(content, request, inode.size);
    }
    const extents = this.#extents(inode, { from: offset, content });
    if (whence === SEEK.HOLE) {
      let at = offset;
      for (const data of extents) {
        if (data.offset > at) break;
        at = data.end;
      }
      return Math.min(inode.size, at);
    }
    for (const data of extents) {
      if (data.offset < inode.size) return Math.max(offset, data.offset);
    }
    throw new FsError(Errno.ENXIO);
  }

  #seekContent(content: ContentFile, { offset, whence }: LseekRequest, size: number): number {
    const { store } = this.#core;
    if (whence === SEEK.HOLE) return Math.min(size, store.nextHole(content, offset));
    const data = store.nextData(content, offset);
    if (data === undefined || data >= size) throw new FsError(Errno.ENXIO);
    return data;
  }

  /**
   * Where data lies behind `from`, in order: whole blocks, of which a chunk's last ones may be holes.
   * Of a chunk that is not here nothing more is known.
   */
  *#extents(
    { id }: Inode,
    { from, content }: { from: number; content: ContentFile | undefined },
  ): Iterable<Extent> {
    const core = this.#core;
    const within = content === undefined ? undefined : this.#within(content);
    for (let index = Math.floor(from / core.chunkSize);;) {
      const rows = core.maps.range(id, { from: index, until: Infinity, limit: SEEK_ROWS });
      for (const row of rows) {
        const start = row.index * core.chunkSize;
        const end = start + core.charge(row.length);
        const offset = Math.max(start, from);
        if (end > offset) {
          if (row.resident && within !== undefined) yield* within({ offset, end });
          else yield { offset, end };
        }
        index = row.index + 1;
      }
      if (rows.length < SEEK_ROWS) return;
    }
  }

  /** Finds the data of a content file within extents that come in order. */
  #within(content: ContentFile): (extent: Extent) => Iterable<Extent> {
    const { store, charge } = this.#core;
    // Data that goes on beyond one extent is not looked for again in the next.
    let known = { offset: 0, end: 0 };
    return function* ({ offset, end }) {
      for (let at = offset; at < end; at = known.end) {
        if (at < known.offset || at >= known.end) {
          const data = store.nextData(content, at);
          if (data === undefined) return;
          known = { offset: data, end: charge(store.nextHole(content, data)) };
        }
        if (known.offset >= end) return;
        yield { offset: Math.max(at, known.offset), end: Math.min(end, known.end) };
      }
    };
  }
}
