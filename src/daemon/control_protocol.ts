/**
 * What command line and daemon say to each other on control.sock: one request line of JSON, then any
 * number of progress lines, then one line with the result or the error, then the end.
 * Plain data only. Paths are lists of names below the mount, in hexadecimal, because names are bytes.
 */
import type { FilesystemReport } from "../filesystem/protocol.ts";
import type { FollowReport } from "../tiering/metadata_follower.ts";
import type { EngineStatus } from "../tiering/engine_status.ts";
import type { PolicyReport } from "./policy_in_force.ts";
import type { CareRequest } from "./care_requests.ts";
import type { ExplainedSetting } from "./resolve_settings.ts";

/** Names from the root of the mount down; `[]` is the root itself. */
export type WirePath = string[];

export type ControlRequest =
  | { command: "status"; path?: WirePath }
  | { command: "sync"; path?: WirePath }
  | { command: "evict"; paths: WirePath[] }
  | { command: "recall"; paths: WirePath[] }
  | { command: "pin"; paths: WirePath[]; pinned: boolean; untilMs?: number }
  | { command: "policyState" }
  | { command: "list"; path: WirePath; recursive: boolean }
  | { command: "unmount"; flush: boolean; timeoutMs?: number }
  | CareRequest;

/** Bytes by class; each byte is in the first class that fits, so they add up to `total`. */
export interface ByteClasses {
  pinned: number;
  /** Kept out of the bucket by a policy. */
  local: number;
  dirty: number;
  open: number;
  /** Room kept for recalls under way, and bytes not yet unlinked. */
  reserved: number;
  clean: number;
  evicted: number;
  total: number;
}

/** What stands between now and everything being in the bucket. */
export interface UnsafeReport {
  files: number;
  bytes: number;
  /** Estimate in milliseconds; undefined while nothing has been uploaded yet to judge by. */
  etaMs: number | undefined;
}

export interface StatusReport {
  version: string;
  pid: number;
  mountpoint: string;
  cache: string;
  store: string;
  fileSystem: string;
  /** The bucket shows neither names nor content. */
  encrypted: boolean;
  sinceMs: number;
  /** Whether the kernel reads wholly local files by itself, why not, and how many it has open like this. */
  serving: { passthrough: boolean; reason: string | undefined; lent: number };
  state: "mounted" | "read-only" | "offline";
  stateReason: string | undefined;
  /** How far a mount that only follows another one has come; undefined: it writes. */
  following: FollowReport | undefined;
  classes: ByteClasses;
  unsafe: UnsafeReport;
  filesystem: FilesystemReport;
  /** Names behind the inodes of `filesystem.waiting`, for people. */
  waiting: { path: string; operation: string; pid: number; sinceMs: number; reason: string }[];
  /** Files that are open for writing, and since when, with names for people. */
  writing: { path: string; sinceMs: number; savedMs: number | undefined }[];
  engine: EngineStatus;
  lastStoreError: { message: string; atMs: number } | undefined;
  policy: PolicyReport;
  settings: ExplainedSetting[];
}

/** A file or directory, as `zero ls` and `zero status PATH` show it. */
export interface FileReport {
  /** For people; `\xNN` for bytes that are not text. */
  path: string;
  type: "file" | "directory" | "link" | "other";
  size: number;
  /** Charge of its content, of that what is on the local disk, and of that what is nowhere else. */
  allocatedBytes: number;
  residentBytes: number;
  localBytes: number;
  dirty: boolean;
  /** Itself, or by a directory above it. */
  pinned: boolean;
  /** A policy keeps it out of the bucket. */
  local?: boolean;
  openHandles: number;
  lastUsedMs: number | undefined;
}

export interface SyncResult {
  unsafe: UnsafeReport;
}

export interface EvictResult {
  files: number;
  bytes: number;
  /** Files that stayed, at most 100, and why. */
  stayed: { path: string; reason: string }[];
  stayedFiles: number;
}

export interface RecallResult {
  files: number;
  chunks: number;
  failed: { path: string; reason: string }[];
  failedFiles: number;
}

/** What a preview has to ask the daemon for. */
export interface PolicyState {
  /** Files with confirmed content that somebody has open. */
  open: { inode: number; writing: boolean }[];
  /** Bytes promised to recalls, and of those whose rows are gone but that are still on the disk. */
  reserved: number;
  leaving: number;
}

export interface PinResult {
  done: string[];
  /** Unpinned, but a directory above is pinned. */
  stillPinned: string[];
}

export interface ListResult {
  entries: number;
}

export interface UnmountResult {
  unsafe: UnsafeReport;
  /** Why uploading stopped before everything was in the bucket; undefined where nothing stopped it. */
  stopped: string | undefined;
}

/** What goes on, for people who wait. */
export type ControlProgress =
  | { kind: "upload"; saved: number; waiting: number; trouble: string | undefined }
  | { kind: "count"; done: number; all: number }
  | { kind: "text"; text: string }
  | { kind: "entry"; entry: FileReport };

export type ControlReply =
  | { progress: ControlProgress }
  | { result: unknown }
  | { error: { message: string; hint: string | undefined; exitCode: number } };
