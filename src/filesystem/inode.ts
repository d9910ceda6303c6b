/**
 * The in-memory record of an inode, shared by the namespace half (names, attributes) and the content
 * half (bytes, maps) of the filesystem isolate. There is at most one record per inode (InodeCache).
 */

/** One inode. Field meanings and units: `inode` table in src/metadata/schema.ts. */
export interface Inode {
  readonly id: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  readonly rdev: number;
  size: number;
  atimeS: number;
  atimeNs: number;
  mtimeS: number;
  mtimeNs: number;
  ctimeS: number;
  ctimeNs: number;
  readonly btimeS: number;
  readonly btimeNs: number;
  readonly target: Uint8Array | undefined;
  generation: number;
  incarnation: number;
  allocated: number;
  resident: number;
  local: number;
  dirty: boolean;
  changedMs: number;
  deadFrom: number | undefined;
  pinned: boolean;
  /**
   * Fields are newer than their row, and are written with the next flush of this inode; set by
   * `InodeCache.touch` only. Files that are open also have pending map rows (FileState).
   */
  pending: boolean;
  /** Open handles plus whatever else keeps the record from being dropped from the cache. */
  holds: number;
}

export const FileType = {
  MASK: 0o170000,
  SOCKET: 0o140000,
  SYMLINK: 0o120000,
  REGULAR: 0o100000,
  BLOCK: 0o060000,
  DIRECTORY: 0o040000,
  CHARACTER: 0o020000,
  FIFO: 0o010000,
} as const;

export const isDirectory = (inode: Pick<Inode, "mode">) =>
  (inode.mode & FileType.MASK) === FileType.DIRECTORY;
export const isRegular = (inode: Pick<Inode, "mode">) =>
  (inode.mode & FileType.MASK) === FileType.REGULAR;

/** The root directory's inode number, as FUSE fixes it. */
export const ROOT_INODE = 1;
