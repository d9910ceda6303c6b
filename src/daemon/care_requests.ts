/** The part of what command line and daemon say to each other that cares for bucket, cache and trash. Plain data only. */
import type { CollectionReport } from "../tiering/collection_report.ts";
import type { WirePath } from "./control_protocol.ts";

export type CareRequest =
  | { command: "gc"; apply: boolean; force: boolean }
  | { command: "fsck"; deep: DeepRequest | undefined }
  /** What is in the trash (below a path). */
  | { command: "trash"; path?: WirePath }
  /** Gives a version to the empty file at a path. */
  | { command: "undelete"; version: number; path: WirePath }
  | { command: "purge"; olderThanMs: number; apply: boolean };

export interface DeepRequest {
  /** Share of the packs, 0 to 1. */
  share: number;
  bytesPerSecond: number | undefined;
  /** From the start, not from where the last run stopped. */
  restart: boolean;
}

export interface GcResult {
  report: CollectionReport;
  money: {
    /** For everything that the store keeps, a month; of that what the trash and garbage cost. */
    perMonth: number;
    trashPerMonth: number;
    garbagePerMonth: number;
    /** Reading everything that is referenced, once. */
    egressOfAll: number;
    /** When the prices were true. */
    date: string;
  };
}

/** A version in the trash. */
export interface TrashEntry {
  version: number;
  /** From the root of the mount, for people; undefined where it is not known any more. */
  path: string | undefined;
  /** The same as names. */
  names: WirePath | undefined;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  /** Milliseconds since 1970. */
  mtimeMs: number;
  savedMs: number;
  trashedMs: number;
}

export interface PurgeResult {
  versions: number;
  bytes: number;
  applied: boolean;
}
