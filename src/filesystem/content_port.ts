/**
 * What the namespace half asks of the content half. Methods marked "in transaction" are called while
 * the caller's transaction is open and must not park.
 */
import type { Parked, RequestHeader } from "../fuse/operations.ts";
import type { Inode } from "./inode.ts";

export interface ContentPort {
  /**
   * Sets the size of a regular file (truncate or extend with a hole), its mtime and ctime, and marks
   * it dirty. Opens its own transactions. Parked: nothing has changed yet, the request will run again.
   */
  resize(request: RequestHeader, inode: Inode, size: number): void | Parked;
  /**
   * Before a rename over an existing name: content of `source` that was never synced must be durable
   * first (law 7). Parked: the request will run again.
   */
  beforeReplace(request: RequestHeader, source: Inode): void | Parked;
  /**
   * In transaction: the name of `victim` now names `source` (law 6: victim's saved version becomes
   * source's predecessor where this was the victim's last name).
   */
  replaced(source: Inode, victim: Inode, name: Uint8Array): void;
  /**
   * In transaction: the last name of `inode`, in directory `parent`, went away (nlink is 0); its row
   * stays until `discard`.
   */
  unlinked(inode: Inode, name: Uint8Array, parent: number): void;
  /**
   * Nobody can reach this nameless inode any more (no name, handle or lookup): delete its content,
   * rows and xattrs, in slices, in the background. Not in a transaction.
   */
  discard(inode: Inode): void;
  /**
   * Brings times up to date that may move without a request. False: they may move again at any
   * moment, so nobody must believe them for long.
   */
  refresh(inode: number): boolean;
  /** st_blocks: content, not residency (a non-empty evicted file never reports 0). */
  blocks(inode: Pick<Inode, "id" | "size" | "allocated">): number;
  /** True while a handle of this inode is open for writing, whose close writes the record down. */
  isBeingWritten(inode: number): boolean;
  /** True while a handle of this inode is open. */
  isOpen(inode: number): boolean;
  /** Perhaps in transaction: name, owner, mode or attributes of `inode` have changed. */
  changed(inode: Inode): void;
  /** Perhaps in transaction: a directory has another name. */
  moved(directory: Inode): void;
  /** Read-only names such as `user.zero.state`; undefined for other names. */
  virtualXattr(inode: Inode, name: string): string | undefined;
  /** `user.zero.pin` is set to this text, or removed (undefined). Throws FsError for what means nothing. */
  setPin(inode: Inode, text: string | undefined): void;
}
