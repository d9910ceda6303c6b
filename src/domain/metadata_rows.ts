/**
 * Rows of the metadata as the bucket keeps them: those of `src/metadata/schema.ts`, without what only
 * a cache knows. Shared by whoever reads rows, writes records of them, and rebuilds them.
 */

/**
 * What a row or record speaks of. The numbers stand in `changes.tbl` and in the bucket. The lists are
 * keyed by the version or pack that they belong to and hardly ever change once it is there, so that a
 * change of a version or pack does not send them again.
 */
export const RecordTable = {
  INODE: 1,
  DENTRY: 2,
  XATTR: 3,
  VERSION: 4,
  /** All chunks of a version. */
  VERSION_LIST: 5,
  PACK: 6,
  /** All chunks in a pack. */
  PACK_LIST: 7,
} as const;
export type RecordTable = (typeof RecordTable)[keyof typeof RecordTable];

/** Seconds since 1970 (may be negative), and nanoseconds. */
export type RecordTime = [seconds: number, nanoseconds: number];

export interface InodeRecord {
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  /** The working map differed from the saved version. */
  dirty: boolean;
  pinned: boolean;
  /** Of the working map, bytes. */
  size: number;
  generation: number;
  /** Wall clock of the last change of content, ms. */
  changedMs: number;
  atime: RecordTime;
  mtime: RecordTime;
  ctime: RecordTime;
  btime: RecordTime;
  /** Symlinks only. */
  target: Uint8Array | undefined;
}

export interface DentryRecord {
  parent: number;
  inode: number;
  name: Uint8Array;
}

export interface XattrRecord {
  inode: number;
  name: Uint8Array;
  value: Uint8Array;
}

export interface VersionRecord {
  inode: number;
  /** 1 saved, 2 predecessor, 3 trash. */
  kind: number;
  generation: number;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: RecordTime;
  savedMs: number;
  trashedMs: number | undefined;
  path: Uint8Array | undefined;
}

/** `count` chunks with consecutive places and ids, and the same length. */
export interface ChunkRun {
  index: number;
  chunk: number;
  count: number;
  length: number;
}

export interface PackRecord {
  name: Uint8Array;
  versionId: string;
  bytes: number;
  verified: boolean;
  condemned: boolean;
  createdMs: number;
}

export interface PackChunk {
  id: number;
  hash: Uint8Array;
  ordinal: number;
  offset: number;
  stored: number;
  length: number;
  codec: number;
  lost: boolean;
}

/** `row` undefined: there is no such row (any more). */
export type MetadataRecord =
  & { key: number }
  & (
    | { table: typeof RecordTable.INODE; row: InodeRecord | undefined }
    | { table: typeof RecordTable.DENTRY; row: DentryRecord | undefined }
    | { table: typeof RecordTable.XATTR; row: XattrRecord | undefined }
    | { table: typeof RecordTable.VERSION; row: VersionRecord | undefined }
    | { table: typeof RecordTable.VERSION_LIST; row: ChunkRun[] | undefined }
    | { table: typeof RecordTable.PACK; row: PackRecord | undefined }
    | { table: typeof RecordTable.PACK_LIST; row: PackChunk[] | undefined }
  );
