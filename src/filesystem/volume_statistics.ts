/**
 * What statfs(2) says of a mount: as large as configured, as full as its files are, whether they are
 * here or in the bucket. Free space is what can be written, and never looks small while evicting
 * would make room: installers believe what they see.
 */
import type { FilesystemStatistics } from "../fuse/operations.ts";
import type { Core } from "./core.ts";

const BLOCK = 4096;
/** Free space that is shown at least as long as something could be evicted, bytes. */
const SHOWN_FREE = 1024 ** 3;
const MAXIMUM_NAME_LENGTH = 255;
/** Rows have room for more; programs with 32 bits do not. */
const INODES = 0xffff_ffff;

export function volumeStatistics({ space, settings, database }: Core): FilesystemStatistics {
  const total = database.statement("SELECT files, allocated, resident, local FROM total")
    .get() as { files: number; allocated: number; resident: number; local: number };
  const capacity = Math.max(settings.capacity, total.allocated);
  const evictable = Math.max(0, total.resident - total.local);
  const room = Math.max(0, Math.min(settings.hard - space.used, space.diskRoom) + evictable);
  const free = Math.min(
    capacity,
    Math.max(capacity - total.allocated, evictable > 0 ? SHOWN_FREE : room),
  );
  return {
    blocks: Math.floor(capacity / BLOCK),
    freeBlocks: Math.floor(free / BLOCK),
    availableBlocks: Math.floor(free / BLOCK),
    files: INODES,
    freeFiles: INODES - total.files,
    blockSize: BLOCK,
    maximumNameLength: MAXIMUM_NAME_LENGTH,
  };
}
