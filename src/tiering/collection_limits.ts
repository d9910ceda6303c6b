/** Every bound of garbage collection, in one table; the unit is the last word of the name. */
import { GiB, MiB } from "../domain/units.ts";

const DAY_MS = 86_400_000;

export const COLLECTION_LIMITS = {
  /** Rows of packs asked for at once. */
  PAGE_PACKS: 500,
  /** Packs condemned in one transaction, and deleted after one look at the lease. */
  BATCH_PACKS: 64,
  /** Deletions at a time. */
  DELETE_PARALLEL: 4,
  /** Trashed versions that one command turns into garbage. */
  EXPIRE_VERSIONS: 1_000,
  /** Things to delete that one run keeps in memory; what is beyond waits for the next run. */
  CANDIDATES: 50_000,
  /** Metadata objects and claims that one run looks through; where there are more, none of them goes. */
  METADATA_OBJECTS: 200_000,
  /** An object that the database does not know is garbage at this age at the earliest. */
  UNKNOWN_AGE_MS: 7 * DAY_MS,
  /** Probes of the store that were not removed. */
  PROBE_AGE_MS: DAY_MS,
  /** Nothing is deleted where this share of the packs, or more, would go at once. */
  TRIPWIRE_SHARE: 0.2,
  /** Local clock, store's clock and time since boot may differ by so much. */
  CLOCK_SKEW_MS: 3_600_000,
  /** A pack is repacked when less than this share of it is referenced … */
  SPARSE_SHARE: 0.5,
  /** … and so much would be gained, bytes. */
  SPARSE_GAIN_BYTES: 64 * 1024,
  /** Live bytes that one run copies. */
  REPACK_BYTES: 1 * GiB,
  /** Neighbouring chunks are read together up to this. */
  REPACK_RANGE_BYTES: 16 * MiB,
} as const;
