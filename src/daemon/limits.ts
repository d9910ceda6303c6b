/**
 * Every bound of the daemon and the command line, in one table; the unit is the last word of the
 * name. What a user may choose stands in settings.ts; these are not for choosing.
 */
import { GiB, MiB } from "../domain/units.ts";

export const LIMITS = {
  /** A stop ordered by a signal is over by then, whatever the store does. */
  STOP_MS: 10_000,
  /** `zero mount` gives up waiting for the daemon after this. */
  START_MS: 120_000,
  /** The kernel answers INIT at once; a mount that is not answered by then is broken. */
  MOUNT_READY_MS: 20_000,
  /** How long looking at the bucket may take when a mount could also go on offline. */
  STORE_PROBE_MS: 15_000,
  /** A command on the control socket: its request line. */
  CONTROL_REQUEST_BYTES: 1 * MiB,
  CONTROL_CONNECTIONS: 64,
  /** A client that takes nothing for so long is let go (`zero ls | less` may take its time). */
  CONTROL_STUCK_MS: 600_000,
  /** Answers under way get so long when the daemon ends. */
  CONTROL_GRACE_MS: 1_000,
  /** A client that connects and asks nothing for so long is let go. */
  CONTROL_REQUEST_MS: 10_000,
  /** Given up when the cache's disk is full, so that rows can still be written. */
  BALLAST_BYTES: 64 * MiB,
  LOG_BYTES: 10 * MiB,
  /** Rotated logs that are kept. */
  LOG_FILES: 3,
  /** At most this much of the cache's disk is left to others by default. */
  MIN_FREE_BYTES: 10 * GiB,
  /** Names asked from the filesystem isolate at once while walking a directory. */
  WALK_BATCH_NAMES: 1_000,
  /** Files that one command evicts or recalls in one go. */
  BATCH_FILES: 4_096,
  /** Progress is sent to a client at most so often. */
  PROGRESS_MS: 250,
  /** Giving the lease back while stopping. */
  RELEASE_MS: 3_000,
  /** A store call is tried again for so long before it counts as failed; the engine then waits longer. */
  STORE_CALL_MS: 30_000,
  /** An unmount goes on without the store when it has answered nothing for so long; STOP_MS holds. */
  STORE_ALIVE_MS: 4_000,
  /** sync, evict and recall give up when the store has failed, or kept silent, for so long. */
  STORE_PATIENCE_MS: 30_000,
  /** Room in the connection pool beyond uploads and recalls. */
  OTHER_CALLS: 4,
  /** A filesystem isolate that is silent for so long is given up, and its connection aborted. */
  WEDGED_MS: 120_000,
  /** How often the policy's file is looked at. */
  POLICY_LOOK_MS: 1_000,
  /** How often the ballast is looked at. */
  BALLAST_LOOK_MS: 5_000,
  /** A mount that began offline asks for its bucket again, at first and at most so often. */
  OFFLINE_RETRY_MS: 2_000,
  OFFLINE_RETRY_CAP_MS: 60_000,
  /** The content of one file that a drill checks. */
  DRILL_FILE_MS: 10 * 60_000,
  /** A command that answers a passphrase may ask somebody. */
  PASSPHRASE_COMMAND_MS: 5 * 60_000,
  CHUNK_BYTES: 4 * MiB,
  /** Garbage is first collected so long after a mount; how often it is seen whether it is due. */
  FIRST_COLLECTION_MS: 15 * 60_000,
  COLLECTION_LOOK_MS: 60_000,
  /** After a collection that failed. */
  COLLECTION_AGAIN_MS: 3_600_000,
  /** Packs after which a deep check notes where it is. */
  DEEP_NOTED_PACKS: 16,
} as const;
