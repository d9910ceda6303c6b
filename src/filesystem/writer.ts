/**
 * Writes into regular files, chunk by chunk. Decides first whether the whole write can be done now;
 * if anything is missing (a recall, a durable mark, space) it parks and has changed nothing. Laws 1
 * and 4: the mark clean → dirty is durable before the first byte changes; bytes first, then the row.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { Parked, RequestHeader, WriteRequest } from "../fuse/operations.ts";
import type { MapRow } from "../metadata/map_table.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Recalls } from "./recalls.ts";
import type { SpaceQueue } from "./space_queue.ts";

/** Largest offset that a file may have: what ext4 allows with 4 KiB blocks, and far below 2^53. */
export const MAXIMUM_FILE_SIZE = 16 * 1024 ** 4 - 4096;

/** The part of a write that falls into one chunk. Offsets within the chunk. */
interface Piece {
  index: number;
  from: number;
  until: number;
  row: MapRow | null;
}

/** What stands in the way of a write. */
interface Obstacles {
  absent: number[];
  /** Marks that are being synced, recalled bytes that are not durable, chunks that are being punched. */
  unsettled: number[];
  clean: MapRow[];
  growth: number;
}

export class Writer {
  readonly #core: Core;
  readonly #recalls: Recalls;
  readonly #space: SpaceQueue;

  constructor(core: Core, recalls: Recalls, space: SpaceQueue) {
    this.#core = core;
    this.#recalls = recalls;
    this.#space = space;
  }

  /** Bytes written (all of them), or PARKED. */
  write(file: FileState, request: WriteRequest): number | Parked {
    return this.writeAt(file, request, request);
  }

  /** The same for any request that has bytes for a file. */
  writeAt(
    file: FileState,
    request: RequestHeader,
    { offset, data }: { offset: number; data: Uint8Array },
  ): number | Parked {
    const core = this.#core;
    core.requireWritable();
    if (data.length === 0) return 0;
    if (offset + data.length > MAXIMUM_FILE_SIZE) throw new FsError(Errno.EFBIG);
    const parked = this.prepare(file, { request, offset, length: data.length });
    if (parked !== undefined) return parked;
    const pieces = this.#pieces(file, offset, data.length);
    // Bytes that are there under an old generation could be taken for those that an upload has read.
    core.database.reserveGeneration();
    try {
      core.store.write(core.content(file.inode, true)!, data, offset);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#spoiled(file, pieces);
      if (!isFull(error.errno)) throw error;
      core.space.forgetReading();
      const uses = pieces.map((piece) => piece.index);
      return this.#space.park(request, { file, operation: "write", bytes: data.length, uses });
    }
    const inode = file.inode;
    core.unseen.wrote(inode);
    inode.size = Math.max(inode.size, offset + data.length);
    core.changed(inode);
    this.#rows(file, pieces);
    core.inodes.touch(inode);
    core.markUnsynced(inode.id);
    return data.length;
  }

  /**
   * Makes sure that [offset, offset + length) can be overwritten now. PARKED: not yet, and the
   * request will run again; undefined: go on, in this very call.
   */
  prepare(
    file: FileState,
    options: { request: RequestHeader; offset: number; length: number },
  ): Parked | undefined {
    const core = this.#core;
    const request: RequestHeader & { data?: Uint8Array } = options.request;
    if (request.data !== undefined && !core.lot.admitsWrite(request.data.length)) {
      throw new FsError(Errno.ENOMEM, "too many writes wait already");
    }
    const pieces = this.#pieces(file, options.offset, options.length);
    const last = pieces[pieces.length - 1].index;
    const indices = pieces.map((piece) => piece.index);
    if (file.inode.deadFrom !== undefined && last >= file.inode.deadFrom) {
      return core.lot.park(request, { operation: "write", reason: "slices", file, indices });
    }
    for (const index of indices) file.snapshot?.preserve(index);
    const obstacles = this.#obstacles(file, pieces);
    if (obstacles.absent.length > 0) {
      this.#recalls.want(file, obstacles.absent, "reader");
      // Law 9: a writer that waits for space, even if it is a recall's, gets ENOSPC, and soon.
      const hungry = obstacles.absent.some((index) => file.recalls.get(index)?.announced === false);
      return core.lot.park(request, {
        operation: "write",
        reason: "recall",
        file,
        indices: obstacles.absent,
        uses: indices,
        ...(hungry
          ? { timeoutMs: core.settings.spaceTimeoutMs, lateErrno: Errno.ENOSPC }
          : { timeoutMs: core.settings.recallTimeoutMs }),
      });
    }
    if (obstacles.unsettled.length > 0) {
      this.#recalls.settle(file);
      if (file.leftover) core.hurryTrims();
      return core.lot.park(request, { operation: "write", reason: "sync", file, indices });
    }
    if (obstacles.growth > 0 && !core.space.admits(obstacles.growth)) {
      const bytes = obstacles.growth;
      return this.#space.park(request, { file, operation: "write", bytes, uses: indices });
    }
    if (obstacles.clean.length > 0) {
      this.#markDirty(file, obstacles.clean);
      return core.lot.park(request, { operation: "write", reason: "sync", file, indices });
    }
    const gaps = this.#leftInGaps(file, pieces);
    if (gaps.length > 0) {
      this.#clear(file, gaps);
      return core.lot.park(request, { operation: "write", reason: "sync", file, indices });
    }
    return undefined;
  }

  /**
   * Pieces between whose bytes and the valid ones of their chunk lies what a crash or a failed write has
   * left there: they would become valid with the row. What is lent reads as zeros there, or as what
   * somebody has stored.
   */
  #leftInGaps(file: FileState, pieces: Piece[]): Piece[] {
    const core = this.#core;
    const gaps = pieces.filter(({ from, row }) => from > (row?.length ?? 0));
    if (gaps.length === 0 || core.unseen.outrunsRows(file)) return [];
    const content = core.content(file.inode, false);
    if (content === undefined) return [];
    return gaps.filter(({ index, from, row }) => {
      const start = index * core.chunkSize;
      return !core.store.isZero(content, start + (row?.length ?? 0), start + from);
    });
  }

  /** No row names these bytes. They are gone durably before one does, or a power cut could bring them back. */
  #clear(file: FileState, gaps: Piece[]): void {
    const core = this.#core;
    const content = core.content(file.inode, false)!;
    for (const { index, from, row } of gaps) {
      const valid = row?.length ?? 0;
      core.store.punch(content, index * core.chunkSize + valid, from - valid);
    }
    for (const { index } of gaps) file.marking.add(index);
    file.jobs++;
    core.helper.sync({ files: [content], folders: [], wal: false }, (errno) => {
      file.jobs--;
      for (const { index } of gaps) file.marking.delete(index);
      if (errno !== 0) core.syncFailed(errno, `the content of inode ${file.inode.id}`);
      core.lot.wake(file, "sync");
      core.files.dropIfIdle(file);
    });
  }

  #pieces(file: FileState, offset: number, length: number): Piece[] {
    const size = this.#core.chunkSize;
    const end = offset + length;
    const pieces: Piece[] = [];
    for (let index = Math.floor(offset / size); index * size < end; index++) {
      const start = index * size;
      pieces.push({
        index,
        from: Math.max(offset - start, 0),
        until: Math.min(end - start, size),
        row: file.row(index),
      });
    }
    return pieces;
  }

  #obstacles(file: FileState, pieces: Piece[]): Obstacles {
    const found: Obstacles = { absent: [], unsettled: [], clean: [], growth: 0 };
    for (const { index, from, until, row } of pieces) {
      const grows = until > (row?.length ?? 0);
      if (
        file.punching.has(index) || file.volatile.has(index) || file.marking.has(index) ||
        (grows && file.leftover)
      ) {
        found.unsettled.push(index);
        continue;
      }
      const before = row !== null && row.resident ? this.#core.charge(row.length) : 0;
      found.growth += this.#core.charge(Math.max(row?.length ?? 0, until)) - before;
      if (row === null || row.chunk === 0) continue;
      if (row.resident) found.clean.push(row);
      else if (from > 0 || until < row.length) found.absent.push(index);
    }
    return found;
  }

  /** Law 1. The rows say dirty at once; nobody writes there before that is durable. */
  #markDirty(file: FileState, rows: MapRow[]): void {
    const core = this.#core;
    const inode = file.inode;
    const changed = rows.map((row) => ({
      ...row,
      chunk: 0,
      generation: core.database.nextGeneration(),
    }));
    let bytes = 0;
    for (const row of rows) bytes += core.charge(row.length);
    core.flush(file);
    core.database.transaction(() => {
      for (const row of changed) core.maps.put(inode.id, row);
      inode.local += bytes;
      inode.dirty = true;
      inode.generation = core.database.nextGeneration();
      inode.changedMs = Math.floor(core.clock.wallMs());
      core.inodes.writeContent(inode);
    });
    for (const row of changed) {
      file.putStored(row.index, row);
      file.marking.add(row.index);
    }
    core.emit({ event: "changed", inode: inode.id });
    core.dirtyNews.tell();
    file.jobs++;
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      file.jobs--;
      for (const row of changed) file.marking.delete(row.index);
      if (errno !== 0) core.syncFailed(errno, "the metadata");
      core.lot.wake(file, "sync");
      core.files.dropIfIdle(file);
    });
  }

  /** The disk has failed half way: chunks that are dirty anyway may hold new bytes, so no upload of them fits. */
  #spoiled(file: FileState, pieces: Piece[]): void {
    const core = this.#core;
    core.conformity.forget(file.inode.id);
    if (core.lending.isLent(file)) core.guard(() => this.#takeBack(file, pieces));
    const dirty = pieces.filter(({ row }) => row !== null && row.chunk === 0);
    if (dirty.length === 0) return;
    core.changed(file.inode);
    for (const { row } of dirty) {
      file.putPending({ ...row!, generation: file.inode.generation });
    }
    core.inodes.touch(file.inode);
    core.markUnsynced(file.inode.id);
  }

  /**
   * What no row names must not be seen by those who read the content file by themselves. Where others
   * may have stored there, a part of what was to be written stays rather than that what they stored goes.
   */
  #takeBack(file: FileState, pieces: Piece[]): void {
    const { store, chunkSize } = this.#core;
    const content = this.#core.content(file.inode, false);
    if (content === undefined) return;
    const outrun = this.#core.unseen.outrunsRows(file);
    for (const { index, until, row } of outrun ? [] : pieces) {
      const valid = row?.length ?? 0;
      if (until > valid) store.punch(content, index * chunkSize + valid, until - valid);
    }
    if (store.length(content) > file.inode.size) store.truncate(content, file.inode.size);
    this.#core.unseen.wrote(file.inode);
  }

  /** The rows after the bytes: local only, as long as the write reaches. */
  #rows(file: FileState, pieces: Piece[]): void {
    const core = this.#core;
    const inode = file.inode;
    const hadContent = inode.resident > 0;
    for (const { index, until, row } of pieces) {
      if (row !== null && !row.resident) this.#recalls.cancel(file, index);
      const length = Math.max(row?.length ?? 0, until);
      const charge = core.charge(length);
      const before = row === null ? 0 : core.charge(row.length);
      core.account(inode, {
        allocated: charge - before,
        resident: charge - (row?.resident ? before : 0),
        local: charge - (row?.chunk === 0 ? before : 0),
      });
      file.putPending({ index, chunk: 0, length, resident: true, generation: inode.generation });
      file.touched.set(index, ++core.tick);
    }
    if (!hadContent) core.usage.setResident(inode.id, true);
    else core.uses.write(inode);
  }
}

const isFull = (errno: number) => errno === Errno.ENOSPC || errno === Errno.EDQUOT;
