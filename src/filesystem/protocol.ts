/**
 * What the engine and the filesystem isolate say to each other. Plain data only (structured clone).
 * The engine asks with the generation it acted on; the filesystem isolate re-checks and answers.
 * Nothing here changes state but the filesystem isolate.
 */
import type { CareCommands } from "./care_protocol.ts";
import type { PolicyCommands, ReaderRule } from "./policy_protocol.ts";
import type { ScannerReport } from "./scanners.ts";
import type { ShippingCommands } from "./shipping_protocol.ts";
import type { TraceReport } from "./trace_file.ts";

/** Where a confirmed chunk lies in the bucket. */
export interface ChunkLocation {
  /** Row id of the chunk. */
  chunk: number;
  /** SHA-256 of the plain bytes (HMAC when encrypted). */
  hash: Uint8Array;
  /** Pack id, 16 bytes. */
  pack: Uint8Array;
  packVersion: string;
  ordinal: number;
  /** Of the stored bytes within the pack object. */
  offset: number;
  stored: number;
  /** Plain bytes. */
  length: number;
  codec: number;
}

/** A file that waits to be saved. */
export interface DirtyFile {
  inode: number;
  generation: number;
  size: number;
  /** Wall clock, milliseconds, of its last change. */
  changedMs: number;
  /** Handles that may write. A version is saved only when there are none. */
  writers: number;
  /** Charge of its local-only chunks, bytes. */
  localBytes: number;
}

/** A local-only chunk of a file. */
export interface DirtyChunk {
  index: number;
  /** Valid bytes from the chunk's start. */
  length: number;
  /** Generation of its last write; `stage` is refused where it has moved. */
  generation: number;
}

/** What an uploaded pack holds, in ordinal order. */
export interface StagedPack {
  name: Uint8Array;
  versionId: string;
  /** Length of the object. */
  bytes: number;
  /** True when a HEAD by version id has found that length. */
  verified: boolean;
  chunks: { hash: Uint8Array; offset: number; stored: number; length: number; codec: number }[];
}

/** Binds one dirty chunk of a file to confirmed bytes. */
export interface Placement {
  inode: number;
  index: number;
  generation: number;
  length: number;
  source:
    /** Ordinal in the pack of the same `stage`. */
    | { kind: "pack"; ordinal: number }
    /** A chunk that the bucket held already (dedupe). */
    | { kind: "chunk"; chunk: number }
    /** All zeros: becomes a hole. */
    | { kind: "zero" };
}

export type Refusal =
  /** The generation moved: somebody wrote. */
  | "changed"
  /** A handle that could write is open, or, for an eviction, any handle; or a program has it mapped. */
  | "open"
  /** Chunks are not staged yet. */
  | "unstaged"
  | "pinned"
  /** Local-only bytes: they are nowhere else. */
  | "dirty"
  /** The same, and a policy keeps it out of the bucket. */
  | "local"
  | "unverified"
  /** Nothing may be changed any more, so nothing is dropped either. */
  | "readOnly"
  | "gone";

/** Why there is no snapshot of a file. */
export type SnapshotRefusal =
  | Refusal
  /** There is no room for the copy. */
  | "full";

/** A file to evict. */
export interface Eviction {
  inode: number;
  /** On which it was decided; refused where it has moved. Needed where no facts say as much. */
  generation?: number;
  /** Facts on which a policy decided: refused where the file, or a directory, has changed since. */
  facts?: { stamp: number; epoch: number };
  /** Bytes at its start that stay, as whole chunks. */
  keepHead?: number;
  /** The rule that decided, for the journal. */
  why?: string;
}

export interface SpaceReport {
  /** Bytes the cache aims to occupy and its marks, as configured. */
  target: number;
  high: number;
  low: number;
  hard: number;
  /** Bytes of the cache's disk that are left to others. */
  minFree?: number;
  /** Charge of all resident bytes plus what is reserved for recalls and not yet unlinked. */
  used: number;
  reserved: number;
  /** No longer resident by their rows, not yet off the disk. */
  leaving?: number;
  local: number;
  allocated: number;
  /** Of the cache's own disk, as statvfs sees it. */
  diskFree: number;
  /** Writers and recalls that are parked for space. */
  waiting: number;
  /** Nothing leaves this cache, however full it is. */
  keepsAll?: true;
}

/** Commands: name → [arguments, result]. */
export interface Commands extends PolicyCommands, CareCommands, ShippingCommands {
  /**
   * Dirty files in order of last change, changed at or before `changedBefore` (wall ms). `future`: only
   * those that changed later than it is now, because the clock was set back since.
   */
  dirtyFiles: [
    {
      changedBefore: number;
      limit: number;
      after?: { changedMs: number; inode: number };
      future?: boolean;
    },
    DirtyFile[],
  ];
  /** One file's local-only chunks from `from` on, and the content file that holds them. Undefined: gone or clean. */
  dirtyChunks: [
    { inode: number; from: number; limit: number },
    | { generation: number; writers: number; size: number; path: string; chunks: DirtyChunk[] }
    | undefined,
  ];
  /** Row ids of chunks that the bucket holds, for dedupe; undefined where it does not. */
  matchChunks: [{ hashes: Uint8Array[] }, (number | undefined)[]];
  /** Records a confirmed pack and binds chunks to it. One answer per placement. */
  stage: [{ pack?: StagedPack; placements: Placement[] }, { placed: (true | Refusal)[] }];
  /**
   * Makes the staged maps of files their saved versions, of each whose generation has not moved. That of a
   * snapshot becomes its file's, which stays dirty; "gone" where the file has a newer one by now.
   */
  save: [{ files: { inode: number; generation: number }[] }, (true | Refusal)[]];
  /**
   * Takes the state that a dirty file has between two operations, whoever writes to it: `shadow` is a
   * nameless inode to be uploaded and saved like a file nobody has open, and then ended.
   */
  snapshot: [{ inode: number }, { shadow: number } | SnapshotRefusal];
  endSnapshot: [{ shadow: number }, void];
  /** Packs that hold chunks of these inodes and were never verified. */
  unverifiedPacks: [
    { inodes: number[] },
    { pack: number; name: Uint8Array; versionId: string; bytes: number }[],
  ];
  verified: [{ packs: number[] }, void];
  /** Drops resident bytes of whole files. Answers bytes freed, or why not, each. Rows are durable, then bytes go. */
  evict: [
    { files: Eviction[]; force?: boolean },
    (number | Refusal)[],
  ];
  /** Drops about `bytes` of confirmed chunks of open files (or of these only), coldest first. Answers bytes freed. */
  spill: [{ bytes: number; inodes?: number[] }, number];
  /** Recalls every absent chunk of a file; answers when all are resident, or why not. */
  recallFile: [{ inode: number }, { recalled: number } | { failed: string }];
  /** Bytes that were asked for by a `recall` event, verified. They must not change until this is answered. */
  install: [
    { inode: number; incarnation: number; index: number; chunk: number; bytes: Uint8Array },
    boolean,
  ];
  /**
   * What readers were given so far becomes resident before this answers (or is forgotten), so that it is
   * seen by an eviction; what was asked for ahead of readers who have closed their files does not come.
   */
  settleRecalls: [Record<string, never>, void];
  /**
   * A recall will not come (now). Parked readers get EIO; `lost` marks the chunk, unless it lies in another
   * pack than `pack` by now: then it is asked for there.
   */
  recallFailed: [
    {
      inode: number;
      incarnation: number;
      index: number;
      chunk: number;
      /** Name of the pack that was asked. */
      pack: Uint8Array;
      lost: boolean;
      reason: string;
    },
    void,
  ];
  space: [Record<string, never>, SpaceReport];
  /** Marks and limits. Takes effect at once. */
  configure: [FilesystemSettings, void];
  /** Commits what is only in memory, syncs the WAL; everything before is durable afterwards. */
  flush: [Record<string, never>, void];
  /** Residency of one inode, exact to this moment. */
  residency: [{ inode: number }, FileResidency | undefined];
  /** Inode at a path below the root, given as names; undefined where there is none. No symlinks are followed. */
  resolve: [{ names: Uint8Array[] }, number | undefined];
  /** Names in a directory, after a cookie, each with how much content there is, and is here (as `residency`). */
  children: [
    { inode: number; after: number; limit: number },
    {
      name: Uint8Array;
      inode: number;
      type: number;
      cookie: number;
      allocatedBytes: number;
      residentBytes: number;
      dirty: boolean;
    }[],
  ];
  pathOf: [{ inode: number }, Uint8Array[] | undefined];
  statistics: [Record<string, never>, FilesystemReport];
  /** Refuses new writes with EROFS (lost the lease, failed fsync, broken invariant). */
  readOnly: [{ reason: string }, void];
  /** Ends the loop after answering everything parked with EIO, and closes the databases. */
  stop: [{ reason: string }, void];
}

export interface FilesystemSettings {
  target: number;
  high: number;
  low: number;
  hard: number;
  /** Bytes of the cache's disk that are left to others. */
  minFree: number;
  /** Milliseconds that a read of absent content may wait. */
  recallTimeoutMs: number;
  /** Milliseconds that a writer may wait for space before ENOSPC. */
  spaceTimeoutMs: number;
  /** What statfs shows as capacity, bytes. */
  capacity: number;
  /** In which heat halves, milliseconds; undefined: seven days. */
  halfLifeMs?: number;
  /** The first that matches the name of a program decides what its reading means. */
  readers?: ReaderRule[];
}

export interface FileResidency {
  inode: number;
  /** For `evict` and `save`, which are refused where it has moved. */
  generation: number;
  type: number;
  size: number;
  allocatedBytes: number;
  residentBytes: number;
  localBytes: number;
  dirty: boolean;
  pinned: boolean;
  /** Pinned by the user, itself or by a directory above it: until when; Infinity: for ever; undefined: not. */
  pinnedUntilMs?: number;
  /** Class local: a policy keeps it out of the bucket. */
  kept?: boolean;
  openHandles: number;
  writers: number;
  changedMs: number;
  lastUsedMs: number | undefined;
}

/** A file that is never closed, and so gets its versions by the upload deadline only; times are wall clock, milliseconds. */
export interface LongWriter {
  inode: number;
  sinceMs: number;
  /** Of the version that the bucket can restore; undefined: none. */
  savedMs: number | undefined;
}

export interface FilesystemReport {
  files: number;
  dirtyFiles: number;
  /** Of these, files that a policy keeps out of the bucket (class local), and their bytes. */
  keptFiles?: number;
  keptBytes?: number;
  openHandles: number;
  /** Files whose content is lent to the kernel now. */
  lentFiles: number;
  /** Charge of clean resident bytes of files that are open. */
  openBytes: number;
  pinnedBytes: number;
  parked: number;
  /** Who waits for what, at most 100. */
  waiting: {
    operation: string;
    inode: number;
    pid: number;
    sinceMs: number;
    reason: "recall" | "space" | "sync";
  }[];
  space: SpaceReport;
  /** Why the mount is read-only; undefined while it is not. */
  readOnly: string | undefined;
  /** Files that somebody has had open for writing for a while, at most 10, the longest first. */
  writing?: LongWriter[];
  /** What is recorded of accesses; undefined: nothing. */
  trace?: TraceReport;
  /** Programs that go through many cold files, at most 20. */
  scanners?: ScannerReport[];
  lostChunks: number;
  served: number;
  defects: number;
}

/** Events: things the engine wants to know at once. Lossless, in order. */
export type FilesystemEvent =
  /** The kernel has answered INIT: the mount works. */
  | {
    event: "ready";
    protocol: string;
    /** Why content cannot be lent to the kernel (passthrough); undefined where it can. */
    passthroughObstacle: string | undefined;
  }
  /** There is something dirty (edge: nothing was before, or pressure began). */
  | { event: "dirty" }
  /** A chunk is wanted. Answer with `install` or `recallFailed`. Asked once per (inode, incarnation, index). */
  | {
    event: "recall";
    inode: number;
    incarnation: number;
    index: number;
    /** Valid bytes wanted from the chunk's start (it may have been truncated since). */
    length: number;
    location: ChunkLocation;
    /** reader: somebody waits; ahead: nobody yet; bulk: `zero recall`. */
    urgency: "reader" | "ahead" | "bulk";
  }
  /** Nobody waits for it any more. It may still be installed. */
  | { event: "recallCancelled"; inode: number; incarnation: number; index: number }
  /** An `ahead` or `bulk` recall now has a reader. */
  | { event: "recallUrgent"; inode: number; incarnation: number; index: number }
  /** Above the high mark, or somebody is parked for space. `needed`: bytes to free so that all can go on. */
  | { event: "pressure"; used: number; needed: number; waiting: number }
  /** Files have changed, or a policy has: `unsorted` has work. At most once a second. */
  | { event: "unsorted" }
  /** A program opened this file for writing, or changed it: an upload of it is in vain. */
  | { event: "changed"; inode: number }
  /** A program goes through many cold files: its reads count no longer and keep nothing. Or it has stopped to. */
  | ({ event: "scanner"; scans: boolean } & ScannerReport)
  | { event: "readOnly"; reason: string }
  | { event: "defect"; message: string }
  /** The loop has ended: unmounted from outside, aborted, or stopped. */
  | { event: "ended"; how: "unmounted" | "aborted" | "stopped"; error?: string };
