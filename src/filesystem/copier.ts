/**
 * copy_file_range(2). Whole aligned chunks that the bucket holds are shared: the target's row names the
 * same chunk, and nothing is read, recalled or uploaded again; what of them lies here is copied on this
 * disk, so that a copy of what can be read offline can be read offline too. Everything else is copied
 * as bytes, one bounded slice a request: callers ask again for the rest, as copy_file_range(2) says.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { type CopyFileRangeRequest, PARKED, type Parked } from "../fuse/operations.ts";
import type { MapRow } from "../metadata/map_table.ts";
import { O } from "../runtime/libc_constants.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Handle } from "./handle_table.ts";
import type { Reader } from "./reader.ts";
import { programOf } from "./reader_rules.ts";
import type { Reaper } from "./reaper.ts";
import type { Recalls } from "./recalls.ts";
import { MAXIMUM_FILE_SIZE, type Writer } from "./writer.ts";

/** Bytes that one request copies as bytes, at most. */
const SLICE_BYTES = 1 << 20;
/** Chunks that one request shares, at most. */
const SHARED_CHUNKS = 256;
/** Bytes of shared chunks that one request copies on this disk before it stops sharing. */
const LOCAL_BYTES = 4 << 20;

/** Where the copy stands: offsets in both files, bytes that are left. */
interface Range {
  from: number;
  to: number;
  length: number;
}

/** What becomes of one chunk of the target. null: a hole. */
interface Share {
  index: number;
  bytes: number;
  before: MapRow | null;
  after: MapRow | null;
  /** The source's chunk lies here and is copied. */
  local: boolean;
}

export class Copier {
  readonly #core: Core;
  readonly #parts: { reader: Reader; writer: Writer; recalls: Recalls; reaper: Reaper };
  readonly #slice = new Uint8Array(SLICE_BYTES);

  constructor(
    core: Core,
    parts: { reader: Reader; writer: Writer; recalls: Recalls; reaper: Reaper },
  ) {
    this.#core = core;
    this.#parts = parts;
  }

  /** Bytes copied, fewer than asked for where there is more to do; 0 at the source's end. */
  copy(
    request: CopyFileRangeRequest,
    { source, target }: { source: Handle; target: Handle },
  ): number | Parked {
    const core = this.#core;
    core.requireWritable();
    if (!target.writes) throw new FsError(Errno.EBADF);
    const length = Math.min(request.length, source.file.inode.size - request.offset);
    if (length <= 0) return 0;
    if (request.targetOffset + length > MAXIMUM_FILE_SIZE) throw new FsError(Errno.EFBIG);
    const range = { from: request.offset, to: request.targetOffset, length };
    const shares = this.#shares(source.file, target.file, range);
    if (shares.length === 0) return this.#copyBytes(request, { source, target }, range);
    if ((source.flags & O.NOATIME) === 0) core.accessed(source.file.inode);
    return this.#share(request, { source: source.file, target: target.file }, { range, shares });
  }

  /** The chunks from the beginning of the range on that can be shared. */
  #shares(source: FileState, target: FileState, range: Range): Share[] {
    const core = this.#core;
    const { chunkSize } = core;
    const shares: Share[] = [];
    if (range.from % chunkSize !== 0 || range.to % chunkSize !== 0) return shares;
    if (source.inode.deadFrom !== undefined || target.inode.deadFrom !== undefined) return shares;
    if (target.snapshot !== undefined) return shares;
    // Chunks of what may be changing unseen are not what rows say; what is lent must stay here.
    if (core.unseen.has(source.inode.id) || core.lending.isLent(target)) return shares;
    let local = 0;
    for (let done = 0; done < range.length && shares.length < SHARED_CHUNKS;) {
      const bytes = Math.min(chunkSize, range.length - done);
      const from = source.row((range.from + done) / chunkSize);
      const share = this.#shareOf(source, target, {
        from,
        index: (range.to + done) / chunkSize,
        bytes,
      });
      if (share === undefined) break;
      shares.push(share);
      done += bytes;
      if (share.local && (local += share.after!.length) >= LOCAL_BYTES) break;
    }
    return shares;
  }

  /** Undefined: the bytes have to be copied. */
  #shareOf(
    source: FileState,
    target: FileState,
    { from, index, bytes }: { from: MapRow | null; index: number; bytes: number },
  ): Share | undefined {
    const core = this.#core;
    const before = target.row(index);
    // What the target has behind the range in this chunk stays.
    if (before !== null && before.length > bytes) return undefined;
    if (target.marking.has(index) || target.punching.has(index)) return undefined;
    if (from === null) return { index, bytes, before, after: null, local: false };
    if (from.chunk === 0 || core.chunks.usable(from.chunk) === undefined) return undefined;
    const length = Math.min(from.length, bytes);
    const after = { index, chunk: from.chunk, length, resident: false, generation: 0 };
    if (!source.readable(from)) return { index, bytes, before, after, local: false };
    // Over bytes that a row on the disk may still name, only the writer's way is safe.
    const free = before === null && !target.leftover && !target.volatile.has(index);
    if (!free || !core.space.admits(core.charge(length))) return undefined;
    return { index, bytes, before, after, local: true };
  }

  /** Rows first, in one transaction; bytes that are no longer named go once that is durable. */
  #share(
    request: CopyFileRangeRequest,
    { source, target }: { source: FileState; target: FileState },
    { range, shares }: { range: Range; shares: Share[] },
  ): number {
    const core = this.#core;
    const { recalls, reaper } = this.#parts;
    const inode = target.inode;
    core.flush(target);
    for (const { index } of shares) {
      recalls.cancel(target, index);
      recalls.forgetVolatile(target, index);
    }
    const done = shares.reduce((sum, { bytes }) => sum + bytes, 0);
    const wasClean = !inode.dirty;
    const freed = core.database.transaction(() => {
      const replaced = shares.flatMap(({ before }) => before === null ? [] : [before]);
      const resident = reaper.subtract(inode, replaced);
      core.changed(inode);
      inode.size = Math.max(inode.size, range.to + done);
      for (const { index, after } of shares) {
        if (after === null) core.maps.remove(inode.id, index);
        else {
          after.generation = inode.generation;
          inode.allocated += core.charge(after.length);
          core.maps.put(inode.id, after);
        }
      }
      core.inodes.write(inode);
      core.inodes.writeContent(inode);
      return resident;
    });
    core.space.resident -= freed;
    if (wasClean) core.emit({ event: "changed", inode: inode.id });
    for (const { index, before, after } of shares) {
      target.putStored(index, after);
      target.touched.delete(index);
      if (before !== null) reaper.punchLater(target, index);
    }
    const local = shares.filter((share) => share.local);
    if (local.length > 0) target.recalledBy = programOf(request.pid);
    const distance = range.from - range.to;
    for (const share of local) {
      if (!this.#copyHere(source, target, { after: share.after!, distance })) break;
    }
    return done;
  }

  /** The bytes of a shared chunk, from one content file into the other. False: they stay in the bucket only. */
  #copyHere(
    source: FileState,
    target: FileState,
    { after, distance }: { after: MapRow; distance: number },
  ): boolean {
    const core = this.#core;
    const from = core.content(source.inode, false);
    if (from === undefined) return false;
    const start = after.index * core.chunkSize;
    try {
      core.store.hold(from);
      const to = core.content(target.inode, true)!;
      for (let done = 0; done < after.length;) {
        const part = this.#slice.subarray(0, Math.min(SLICE_BYTES, after.length - done));
        // Bytes that the content file has lost are brought back by whoever reads them.
        if (core.store.read(from, part, start + distance + done) < part.length) return false;
        core.store.write(to, part, start + done);
        done += part.length;
      }
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      core.space.forgetReading();
      return false;
    } finally {
      core.store.release(from);
    }
    this.#parts.recalls.adopt(target, after);
    return true;
  }

  #copyBytes(
    request: CopyFileRangeRequest,
    { source, target }: { source: Handle; target: Handle },
    range: Range,
  ): number | Parked {
    const { reader, writer } = this.#parts;
    const data = this.#slice.subarray(0, this.#bytesAtOnce(source.file, target.file, range));
    const read = reader.readAt(source, { request, offset: range.from, into: data });
    if (read === PARKED) return PARKED;
    return writer.writeAt(target.file, request, {
      offset: range.to,
      data: data.subarray(0, read),
    });
  }

  /** As much as one slice takes, but not into chunks that can be shared. */
  #bytesAtOnce(source: FileState, target: FileState, range: Range): number {
    const { chunkSize } = this.#core;
    const length = Math.min(range.length, SLICE_BYTES);
    if ((range.from - range.to) % chunkSize !== 0) return length;
    for (let border = chunkSize - range.from % chunkSize; border < length; border += chunkSize) {
      const rest = {
        from: range.from + border,
        to: range.to + border,
        length: Math.min(chunkSize, range.length - border),
      };
      if (this.#shares(source, target, rest).length > 0) return border;
    }
    return length;
  }
}
