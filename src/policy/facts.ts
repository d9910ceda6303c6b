/**
 * What a policy may know of a file, and of the disk: plain data that can be sent between isolates.
 * Whoever has the database fills it in; nothing in this folder reads it from anywhere.
 */
import type { Pressure } from "./marks.ts";

/** A regular file as a policy sees it. Times are wall clock milliseconds, sizes bytes. */
export interface FileFacts {
  inode: number;
  /** Every name, from the root of the mount (`/a/b`), as `printName` writes it. At least one. */
  paths: readonly string[];
  size: number;
  /** Charge (rounded up to 4096) of all its content … */
  allocated: number;
  /** … and of what is on the local disk. */
  resident: number;
  /** The working map differs from the saved version. */
  dirty: boolean;
  /** Since when it is dirty; needed where it is. */
  dirtySinceMs?: number;
  /** Somebody has it open or mapped. */
  open: boolean;
  /** Somebody has it open for writing: it is not saved before its deadline. */
  writing?: boolean;
  /** All that would be dropped is in packs that were looked at in the bucket. */
  confirmed: boolean;
  /** The user's veto; without `untilMs` for ever. */
  pin?: { untilMs?: number };
  /** When it came to be in this file system: never what a program set as a time. */
  createdMs: number;
  /** When it was created or last brought back. */
  residentSinceMs: number;
  /** Last use through the mount by a reader that counts; its creation where there was none. */
  lastUsedMs: number;
  /** Last change of content or size. */
  changedMs: number;
  /** Decayed count of uses at `heatAtMs`, see rank.ts. */
  heat: number;
  heatAtMs: number;
  /** Times of its last uses, oldest first; only where the policy needs them. */
  uses?: readonly number[];
  uid: number;
  gid: number;
  /** Only where the policy needs them. */
  owner?: string;
  group?: string;
  xattrs?: Readonly<Record<string, string>>;
  links: number;
}

/** The state of the disk for one plan. */
export interface Usage extends Omit<Pressure, "used"> {
  /** Promised to recalls that are under way. */
  reserved: number;
  /** No longer resident by its row, not yet off the disk. */
  leaving: number;
  /** Size of a chunk: unit of what is evicted. */
  chunkSize: number;
}

/** The verdict on space that a file's bytes belong to. */
export type ByteClass = "pinned" | "local" | "dirty" | "open" | "clean" | "evicted";

const PAGE = 4096;

/** What stays of a file on the local disk where so many bytes of its start are kept: whole chunks. */
export function headCharge(
  { size, keepHead, chunkSize }: { size: number; keepHead: number; chunkSize: number },
): number {
  if (keepHead <= 0) return 0;
  const kept = Math.min(size, Math.ceil(keepHead / chunkSize) * chunkSize);
  return Math.ceil(kept / PAGE) * PAGE;
}
