/**
 * Which chunks of a file that was lent its content file has bytes of. While it is lent the content file
 * is the file, byte for byte; programs that have mapped it store where no row is yet: in holes, and
 * behind the valid bytes of a chunk. Changes no rows.
 */
import type { ContentFile } from "../content/content_store.ts";
import type { MapRow } from "../metadata/map_table.ts";
import type { Core } from "./core.ts";
import type { Inode } from "./inode.ts";

export interface StoredChunk {
  index: number;
  /** Undefined: a hole, as far as rows know. */
  row: MapRow | undefined;
  /** Bytes from the chunk's start that are valid. */
  length: number;
}

/**
 * Resident chunks and those with data, from chunk `from` on, at most about `limit`. `next`: where to go
 * on; undefined at the end of the file. Zeros that were written count as data.
 */
export function storedChunks(
  core: Core,
  inode: Inode,
  { from, limit }: { from: number; limit: number },
): { chunks: StoredChunk[]; next: number | undefined } {
  const size = core.chunkSize;
  const end = Math.ceil(inode.size / size);
  const content = core.content(inode, false);
  const rows = core.maps.range(inode.id, { from, until: end, limit });
  const chunks: StoredChunk[] = [];
  // A crash may have come between the file's growing and its content file's: what is behind is a hole.
  const stored = Math.min(inode.size, content === undefined ? 0 : core.store.length(content));
  const bound = (index: number) => Math.min(size, stored - index * size);
  let index = from;
  for (const row of rows) {
    index = addHoles(index, row.index);
    if (index < row.index) return { chunks, next: index };
    if (row.resident) chunks.push({ index, row, length: validLength(row) });
    index++;
  }
  if (rows.length < limit) index = addHoles(index, end);
  return { chunks, next: index < end ? index : undefined };

  /** Those of [at, until) that hold data. Answers how far it came. */
  function addHoles(at: number, until: number): number {
    while (content !== undefined && at < until && chunks.length < limit) {
      const found = chunkOfNextData(content, at);
      if (found >= until) return until;
      chunks.push({ index: found, row: undefined, length: bound(found) });
      at = found + 1;
    }
    return content === undefined ? until : at;
  }

  function chunkOfNextData(file: ContentFile, at: number): number {
    const offset = core.store.nextData(file, at * size);
    return offset === undefined ? Infinity : Math.floor(offset / size);
  }

  function validLength(row: MapRow): number {
    const most = bound(row.index);
    if (content === undefined || row.length >= most) return row.length;
    const start = row.index * size;
    return core.store.hasData(content, start + row.length, start + most) ? most : row.length;
  }
}

/** Zeros over what was stored in [offset, end) where `rows`, those of that range in order, name nothing. */
export function zeroBetween(
  core: Core,
  inode: Inode,
  { rows, offset, end }: { rows: readonly MapRow[]; offset: number; end: number },
): void {
  const content = core.content(inode, false);
  if (content === undefined) return;
  let at = offset;
  const punch = (until: number) => {
    if (until > at) core.store.punch(content, at, until - at);
  };
  for (const { index, length } of rows) {
    const start = index * core.chunkSize;
    punch(Math.min(start, end));
    at = Math.max(at, start + length);
  }
  punch(end);
  core.unseen.wrote(inode);
  core.markUnsynced(inode.id);
}
