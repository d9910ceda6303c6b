/**
 * Work on the disk that takes long, done beside the filesystem isolate: it asks, goes on, and is
 * called back from its own loop. Content, folders and WAL of one `sync` become durable together: what
 * they are to say is in the WAL before the content is synced, so a power cut may leave rows without their
 * content in whatever order that is asked for (crash_repair.ts). Syncs of the WAL are shared by all who
 * wait.
 */
import type { ContentFile } from "../content/content_store.ts";
import type { DurableLog } from "./durable_log.ts";

export interface SyncJob {
  files: ContentFile[];
  /** Directories whose entries must be durable. */
  folders: string[];
  /** Afterwards, everything that was committed before is durable. */
  wal: boolean;
}

export interface DiskHelper {
  /** `done(0)`, or an errno: nothing may be promised then. Descriptors are held open meanwhile. */
  sync(job: SyncJob, done: (errno: number) => void): void;
  /** Unlinks content files; absent ones are no error. */
  unlink(paths: string[], done: (errno: number) => void): void;
  /** Writes everything that was written to the cache's disk so far. */
  syncAll(done: (errno: number) => void): void;
  /** Moves what the WAL holds into the database, as far as nobody reads it. */
  checkpoint(done: (errno: number) => void): void;
}

/**
 * The same helper, which has everything that was done so far committed before it makes the WAL or the
 * whole disk durable. Where the disk is full that is tried again; whoever waits, waits.
 */
export function committingHelper(
  helper: DiskHelper,
  { commit, later, log }: {
    /** False: not now. */
    commit: () => boolean;
    later: (again: () => void) => void;
    /** Hears of what becomes durable. */
    log: DurableLog;
  },
): DiskHelper {
  const committed = (then: () => void): void => {
    if (commit()) then();
    else later(() => committed(then));
  };
  return {
    sync: (job, done) => {
      if (!job.wal) return helper.sync(job, done);
      committed(() => {
        const durable = log.beginSync();
        helper.sync(job, (errno) => {
          if (errno === 0) durable();
          done(errno);
        });
      });
    },
    unlink: (paths, done) => helper.unlink(paths, done),
    syncAll: (done) => committed(() => helper.syncAll(done)),
    checkpoint: (done) => helper.checkpoint(done),
  };
}

/** The same helper, whose callbacks run under `guard`: one that throws must not keep others from running. */
export function guardedHelper(
  helper: DiskHelper,
  guard: (action: () => void) => void,
): DiskHelper {
  const guarded = (done: (errno: number) => void) => (errno: number) => guard(() => done(errno));
  return {
    sync: (job, done) => helper.sync(job, guarded(done)),
    unlink: (paths, done) => helper.unlink(paths, guarded(done)),
    syncAll: (done) => helper.syncAll(guarded(done)),
    checkpoint: (done) => helper.checkpoint(guarded(done)),
  };
}
