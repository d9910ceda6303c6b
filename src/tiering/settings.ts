/** What the engine is given to work with, and every bound it keeps, in one table. */
import { MiB } from "../domain/units.ts";
import { PACK_TARGET_BYTES, PACK_TARGET_CHUNKS } from "../format/limits.ts";

/** May change while the engine runs (`Engine.configure`). */
export interface EngineSettings {
  /** A file is uploaded when it has not changed for so long. */
  uploadAfterMs: number;
  /** A file that is never quiet, or never closed, is saved by then; also the longest pause between two tries. */
  uploadDeadlineMs: number;
  /** Packs that are uploaded at a time. */
  uploadParallel: number;
  /** Chunks and packs in memory on their way up. */
  uploadMemoryBytes: number;
  /** A pack is closed at this payload … */
  packBytes: number;
  /** … at so many chunks … */
  packChunks: number;
  /** … or so long after its first chunk. */
  packAgeMs: number;
  /** Downloads at a time … */
  recallParallel: number;
  /** … of which at most so many that nobody waits for yet. */
  recallAheadParallel: number;
  /** Chunks that lie next to each other are fetched together up to this. */
  recallRangeBytes: number;
  /** Stored bytes on their way down; what a reader waits for may go beyond by one chunk each. */
  recallMemoryBytes: number;
}

export const DEFAULT_ENGINE_SETTINGS: EngineSettings = {
  uploadAfterMs: 5_000,
  uploadDeadlineMs: 15 * 60_000,
  uploadParallel: 4,
  uploadMemoryBytes: 64 * MiB,
  packBytes: PACK_TARGET_BYTES,
  packChunks: PACK_TARGET_CHUNKS,
  packAgeMs: 10_000,
  recallParallel: 8,
  recallAheadParallel: 4,
  recallRangeBytes: 8 * MiB,
  recallMemoryBytes: 32 * MiB,
};

export const ENGINE_LIMITS = {
  /** Files asked for at once. */
  DIRTY_PAGE_FILES: 256,
  /** Chunks of one file asked for at once. */
  DIRTY_PAGE_CHUNKS: 128,
  /** Files whose chunks are being read at a time: small ones go through each step together. */
  FEEDING_FILES: 64,
  /** Chunks of one file that are being read and compressed at a time. */
  FEEDING_CHUNKS: 4,
  /** Files that wait for their pack. More than a pack holds, or packs of small files stay small. */
  WAITING_FILES: 8_192,
  /** Placements in one `stage`. */
  STAGE_PLACEMENTS: 1_000,
  /** Files in one `save`. */
  SAVE_FILES: 64,
  /** Hashes in one `matchChunks`. */
  MATCH_HASHES: 256,
  /** First pause before a file that keeps changing is tried again; doubles up to the deadline. */
  RESTLESS_MS: 30_000,
  /** The same while space is short; doubles up to PRESSURE_RETRY_CAP_MS. */
  PRESSURE_RETRY_MS: 250,
  PRESSURE_RETRY_CAP_MS: 5_000,
  /** Snapshots of files that are never quiet that are uploaded at a time: each holds a copy on the disk. */
  SNAPSHOTS: 2,
  /** Files whose failed tries are remembered. */
  REMEMBERED_TRIES: 10_000,
  /** Passes over the dirty files are at least so far apart … */
  PASS_GAP_MS: 50,
  /** … at most so far while anything is dirty, since only the first dirty file is told of … */
  PASS_POLL_MS: 2_000,
  /** … and otherwise, in case an event was missed. */
  PASS_IDLE_MS: 60_000,
  /** The store fails: pauses double from the one to the other, for ever. */
  STORE_RETRY_MS: 1_000,
  STORE_RETRY_CAP_MS: 5 * 60_000,
  /** The store refuses us: only somebody's action helps, so ask at this pace. */
  STORE_DENIED_MS: 60_000,
  /** Pauses of a recall that somebody waits for. */
  RECALL_RETRY_MS: 500,
  RECALL_RETRY_CAP_MS: 15_000,
  /** Downloads of a chunk whose bytes were wrong, in all. */
  RECALL_CORRUPT_TRIES: 3,
  /** Recalls that nobody waits for are collected for so long, so that neighbours go together. */
  RECALL_GATHER_MS: 2,
  /** Files per `evict`: one transaction, for which requests wait. */
  EVICT_BATCH_FILES: 64,
  /** Candidates asked for at once: some milliseconds of the filesystem isolate, likewise. */
  CANDIDATE_PAGE_FILES: 128,
  /** The same of those that need no look at their facts: a tenth of the time. */
  SETTLED_PAGE_FILES: 1_000,
  /** Files that are sorted at once; passes are at least so far apart, and at most so while nothing is told. */
  SORT_PAGE_FILES: 64,
  SORT_GAP_MS: 1_000,
  SORT_IDLE_MS: 60_000,
  /** After the policy's breaker nothing is evicted for so long, or until the policy changes. */
  BREAKER_MS: 10 * 60_000,
  /** A pack that could not be verified is asked for again after this; one that is wrong, after that. */
  VERIFY_AGAIN_MS: 5_000,
  VERIFY_WRONG_AGAIN_MS: 10 * 60_000,
  /** HEADs at a time while packs are verified before an eviction. */
  VERIFY_PARALLEL: 8,
  /** Runs of the evictor are at least so far apart; also how often it looks while it must wait. */
  EVICT_GAP_MS: 200,
  EVICT_WAIT_MS: 1_000,
  /** Tries of a file that keeps changing, before a sync reports it and goes on. */
  SYNC_TRIES: 3,
  SYNC_RETRY_MS: 200,
  PROGRESS_MS: 250,
  /** A stop takes at most so long. */
  STOP_MS: 5_000,
  /** Between two looks at the claims when writing; two claimants see each other after the wait. */
  LEASE_LOOK_MS: 60_000,
  LEASE_WAIT_MS: 5_000,
} as const;
