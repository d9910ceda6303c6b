/** What the filesystem isolate and its disk helpers say to each other. Plain data only. */

export interface DiskHelperStart {
  /** Replies go here; `wake` (an eventfd) is signalled after each. */
  port: MessagePort;
  wake: number;
  /** Directory of metadata.db, and of everything else in the cache. */
  cacheDirectory: string;
}

export type DiskRequest =
  | {
    id: number;
    kind: "sync";
    files: number[];
    folders: string[];
    wal: string | undefined;
    /** Nothing else was asked of this helper that it has not answered. */
    alone: boolean;
  }
  | { id: number; kind: "unlink"; paths: string[] }
  | { id: number; kind: "syncAll" }
  | { id: number; kind: "checkpoint" };

/** `errno` 0: done. */
export interface DiskReply {
  id: number;
  errno: number;
  /** What was thrown, where it was no errno of a system call. */
  message?: string;
}
