/**
 * Access times by the rule of a local disk as it is usually mounted (relatime): reading moves atime
 * where it is not newer than the last change, or is a day old. Decides and sets; the record is written
 * with others later, since an access time that a crash takes back does no harm.
 */
import type { Clock, Timestamp } from "../runtime/clock.ts";
import type { Inode } from "./inode.ts";
import type { InodeCache } from "./inode_cache.ts";

const DAY_S = 86_400;
/** Records that only wait for their access times: above this many, some are written. */
const WAITING = 256;
/** How many: whoever reads next waits for it. */
const AT_ONCE = 16;

/** Whether the next program that reads moves the access time. */
export function accessIsDue(inode: Inode, clock: Clock): boolean {
  return !isAfter(inode.atimeS, inode.atimeNs, inode.mtimeS, inode.mtimeNs) ||
    !isAfter(inode.atimeS, inode.atimeNs, inode.ctimeS, inode.ctimeNs) ||
    clock.wallMs() / 1000 - inode.atimeS >= DAY_S;
}

const isAfter = (aS: number, aNs: number, bS: number, bNs: number) =>
  aS > bS || (aS === bS && aNs > bNs);

/** A program has read content, names or the target of `inode`, at a time. Not in a transaction. */
export function accessed(
  inode: Inode,
  inodes: InodeCache,
  clock: Clock,
  now: Timestamp = clock.now(),
): void {
  if (!accessIsDue(inode, clock)) return;
  inode.atimeS = now.seconds;
  inode.atimeNs = now.nanoseconds;
  inodes.touch(inode);
  if (inodes.unflushed > WAITING) inodes.flush(AT_ONCE);
}
