/** The part of the conversation (protocol.ts) about the metadata in the bucket. Plain data only. */
import type { MetadataRecord } from "../domain/metadata_rows.ts";
import type { MetadataHead, ShippedChanges, ShippingState } from "../metadata/change_log.ts";

export interface ShippingCommands {
  /**
   * Commits what is only in memory, and separates what has changed so far from what changes later.
   * Undefined while the mount is read-only: then nothing is sent.
   */
  metadataReading: [
    Record<string, never>,
    { readingSequence: number; state: ShippingState } | undefined,
  ];
  /** Objects with these hashes are about to be sent. True once that, and all rows so far, are durable. */
  metadataSending: [{ hashes: string[] }, boolean];
  /** An object is in the bucket. `restarted`: it was the first after `metadataRestart`. */
  metadataShipped: [ShippedChanges & { restarted: boolean }, void];
  /** Gives up the log, which has become too long: a snapshot will follow. */
  metadataRestart: [Record<string, never>, void];
  /**
   * A snapshot is in the bucket: the key of its manifest, the bytes of its segments, and how often the log
   * had been begun anew when it was taken.
   */
  metadataSnapshot: [{ key: string; bytes: number; restarts: number }, void];
  /** Shows what another mount has shipped up to `head`, where its state is complete; each key once. */
  follow: [{ records: MetadataRecord[]; head: MetadataHead; pointMs: number }, void];
}
