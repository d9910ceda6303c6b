/**
 * Changes of size and shape: truncate, extend, fallocate, SEEK_DATA and SEEK_HOLE. Rows first and
 * durable, bytes afterwards: content that goes away is trimmed in the background once the rows that
 * name it are gone for good, so that no crash shows zeros where data was.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { FallocateRequest, LseekRequest, Parked, RequestHeader } from "../fuse/operations.ts";
import { FALLOC, SEEK } from "../runtime/libc_constants.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Handle } from "./handle_table.ts";
import type { Reaper } from "./reaper.ts";
import type { Recalls } from "./recalls.ts";
import { MAXIMUM_FILE_SIZE, type Writer } from "./writer.ts";

/** Rows that one transaction deletes at most; more are left to the reaper. */
const ROWS_AT_ONCE = 1000;
/** Rows that SEEK_DATA and SEEK_HOLE look at in one step. */
const SEEK_ROWS = 1000;

export class Resizer {
  readonly #core: Core;
  readonly #recalls: Recalls;
  readonly #writer: Writer;
  readonly #reaper: Reaper;

  constructor(core: Core, parts: { recalls: Recalls; writer: Writer; reaper: Reaper }) {
    this.#core = core;
    this.#recalls = parts.recalls;
    this.#writer = parts.writer;
    this.#reaper = parts.reaper;
  }

  /** Sets the size. PARKED: nothing has changed, and the request will run again. */
  resize(request: RequestHeader, file: FileState, size: number): void | Parked {
    const core = this.#core;
    const inode = file.inode;
    core.requireWritable();
    if (size > MAXIMUM_FILE_SIZE) throw new FsError(Errno.EFBIG);
    if (inode.deadFrom !== undefined) {
      return core.lot.park(request, { operation: "truncate", reason: "slices", file });
    }
    if (size < inode.size) return this.#shrink(file, size);
    inode.size = size;
    core.changed(inode);
    core.inodes.touch(inode);
    core.flush(file);
  }

  #shrink(file: FileState, size: number): void {
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
    const border = keep > 0 ? file.row(keep - 1) : null;
    const valid = size - (keep - 1) * core.chunkSize;
    const { incarnation, resident } = inode;
    // Emptied, a file gets new content: what it had stays whole until the rows that say so are durable.
    const renewed = keep === 0 && incarnation > 0;
    core.changed(inode);
    inode.size = size;
    if (renewed) inode.incarnation++;
    if (border !== null && border.length > valid) this.#shorten(file, keep - 1, valid);
    if (few) this.#reaper.forgetSums(inode, rows);
    core.database.transaction(() => {
      for (const row of file.pending()) core.maps.put(inode.id, row);
      if (few) {
        for (const row of rows) core.maps.remove(inode.id, row.index);
      } else {
        inode.deadFrom = keep;
      }
      core.inodes.write(inode);
      core.inodes.writeContent(inode);
    });
    file.pendingRows.clear();
    file.forgetRows(keep);
    if (size === 0) file.truncated = true;
    core.emit({ event: "changed", inode: inode.id });
    if (renewed) {
      core.store.close(inode.id, incarnation);
      core.store.remove(inode.id, inode.incarnation);
      this.#reaper.unlink(core.store.path(inode.id, incarnation), resident - inode.resident);
    } else if (incarnation > 0) {
      file.leftover++;
    }
    if (!few) this.#reaper.deleteDeadRows(file);
    else if (!renewed) this.#reaper.trimLater(file);
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

  /** Fewer valid bytes in a chunk. A confirmed chunk stays what it is; only its first bytes count. */
  #shorten(file: FileState, index: number, valid: number): void {
    const core = this.#core;
    const inode = file.inode;
    const row = file.row(index)!;
    const change = core.charge(valid) - core.charge(row.length);
    if (file.volatile.has(index)) core.space.reserved += change;
    const recall = file.recalls.get(index);
    if (recall !== undefined && recall.reserved > 0) {
      core.space.reserved += change;
      recall.reserved += change;
    }
    core.account(inode, {
      allocated: change,
      resident: row.resident ? change : 0,
      local: row.chunk === 0 ? change : 0,
    });
    file.putPending({ ...row, length: valid, generation: inode.generation });
  }

  /** fallocate(2): reserves nothing (the disk never fills up), extends, or makes zeros. */
  fallocate(handle: Handle, request: FallocateRequest): void | Parked {
    const core = this.#core;
    const file = handle.file;
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
    if (kind !== 0) {
      const parked = this.#zero(file, request, Math.min(end, file.inode.size));
      if (parked !== undefined) return parked;
    }
    if (!keepSize && end > file.inode.size) return this.resize(request, file, end);
    // Linux's own file systems move the times even where nothing had to be done.
    core.changed(file.inode);
    core.inodes.touch(file.inode);
    core.flush(file);
  }

  /** Zeros over [offset, end): whole chunks become holes, parts are overwritten. */
  #zero(file: FileState, request: FallocateRequest, end: number): Parked | undefined {
    const core = this.#core;
    const inode = file.inode;
    const size = core.chunkSize;
    const zeros = new Uint8Array(Math.min(size, 1 << 20));
    if (request.offset >= end) return undefined;
    if (inode.deadFrom !== undefined) {
      return core.lot.park(request, { operation: "fallocate", reason: "slices", file });
    }
    core.flush(file);
    const touched = core.maps.range(inode.id, {
      from: Math.floor(request.offset / size),
      until: Math.ceil(end / size),
      limit: ROWS_AT_ONCE,
    });
    for (const row of touched) {
      const start = row.index * size;
      const from = Math.max(request.offset, start) - start;
      const until = Math.min(end - start, row.length);
      if (until <= from) continue;
      if (from === 0 && until >= row.length) {
        if (file.marking.has(row.index) || file.punching.has(row.index)) {
          return core.lot.park(request, { operation: "fallocate", reason: "sync", file });
        }
        this.#makeHole(file, row.index);
        continue;
      }
      const length = until - from;
      const parked = this.#writer.prepare(file, { request, offset: start + from, length });
      if (parked !== undefined) return parked;
      const content = core.content(inode, true)!;
      for (let done = 0; done < length; done += zeros.length) {
        const part = zeros.subarray(0, Math.min(zeros.length, length - done));
        core.store.write(content, part, start + from + done);
      }
      core.changed(inode);
      file.putPending({ ...file.row(row.index)!, generation: inode.generation });
      core.inodes.touch(inode);
      core.markUnsynced(inode.id);
    }
    if (touched.length === ROWS_AT_ONCE) return this.#zero(file, request, end);
    core.flush(file);
    this.#reaper.trimLater(file);
    return undefined;
  }

  #makeHole(file: FileState, index: number): void {
    const core = this.#core;
    const inode = file.inode;
    this.#recalls.cancel(file, index);
    this.#recalls.forgetVolatile(file, index);
    const row = file.row(index);
    if (row === null) return;
    core.changed(inode);
    this.#reaper.forgetSums(inode, [row]);
    core.database.transaction(() => {
      core.maps.remove(inode.id, index);
      core.inodes.write(inode);
      core.inodes.writeContent(inode);
    });
    file.putStored(index, null);
    file.leftover++;
    this.#reaper.punchLater(file, index);
  }

  /** SEEK_DATA and SEEK_HOLE by the working map: residency plays no part. */
  seek(file: FileState, request: LseekRequest): number {
    const core = this.#core;
    const { size, id } = file.inode;
    if (request.offset < 0 || request.offset >= size) throw new FsError(Errno.ENXIO);
    core.flush(file);
    const chunk = core.chunkSize;
    let index = Math.floor(request.offset / chunk);
    for (;;) {
      const rows = core.maps.range(id, { from: index, until: Infinity, limit: SEEK_ROWS });
      if (request.whence === SEEK.DATA) {
        if (rows.length === 0 || rows[0].index * chunk >= size) throw new FsError(Errno.ENXIO);
        return Math.max(request.offset, rows[0].index * chunk);
      }
      for (const row of rows) {
        if (row.index !== index) return Math.min(size, Math.max(request.offset, index * chunk));
        index++;
      }
      if (rows.length < SEEK_ROWS) return Math.min(size, Math.max(request.offset, index * chunk));
    }
  }
}
