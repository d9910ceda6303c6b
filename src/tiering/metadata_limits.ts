/** Every bound of shipping metadata, in one table. */
import { RecordTable } from "../domain/metadata_rows.ts";
import { MiB } from "../domain/units.ts";

export const METADATA_LIMITS = {
  /** Keys in one object of changes; so many that wait are sent before their time. */
  OBJECT_KEYS: 5_000,
  /** Plain bytes at which an object or a segment is closed. */
  OBJECT_BYTES: 8 * MiB,
  SEGMENT_BYTES: 8 * MiB,
  /** What is read in one read transaction. */
  GROUP_KEYS: 50_000,
  READ_MS: 400,
  /** A segment has at most so many times its usual number of keys. */
  SEGMENT_STRETCH: 4,
  /** Longer than this the log is given up for a snapshot. */
  LOG_KEYS: 2_000_000,
  /** How often the log is looked at, locally. */
  LOOK_MS: 2_000,
  /** How often its length is looked at. */
  BOUND_MS: 60_000,
  /** A first snapshot is not worth it before so many bytes of changes. */
  SNAPSHOT_BYTES: 4 * MiB,
} as const;

/** Keys of a segment, on average. */
export const SEGMENT_KEYS: Record<RecordTable, number> = {
  [RecordTable.INODE]: 4096,
  [RecordTable.DENTRY]: 8192,
  [RecordTable.XATTR]: 4096,
  [RecordTable.VERSION]: 8192,
  [RecordTable.VERSION_LIST]: 4096,
  [RecordTable.PACK]: 4096,
  [RecordTable.PACK_LIST]: 64,
};
