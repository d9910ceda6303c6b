/** What the engine says of itself to status, sync and unmount. Plain data. */
import type { FilesystemReport } from "../filesystem/protocol.ts";
import type { EvictorReport } from "./evictor.ts";
import type { MetadataReport } from "./metadata_shipper.ts";
import type { RecallerReport } from "./recaller.ts";

export interface UploaderReport {
  /** Tries under way. */
  filesUnderWay: number;
  packsUnderWay: number;
  memoryBytes: number;
  peakMemoryBytes: number;
  filesSaved: number;
  packsStored: number;
  bytesStored: number;
  puts: number;
  heads: number;
  /** File content confirmed per second, lately. */
  bytesPerSecond: number;
  paused: boolean;
}

/** The store's trouble, if it has any now. */
export interface EngineTrouble {
  /** `StoreErrorKind`, or "lease" where this mount may not write. */
  kind: string;
  message: string;
  /** Wall clock, milliseconds. */
  sinceMs: number;
}

export interface EngineStatus {
  /** Files and bytes that are only here … */
  unsafeFiles: number;
  unsafeBytes: number;
  /** … but for those that a policy keeps out of the bucket: they are lost with the disk. */
  localFiles: number;
  localBytes: number;
  upload: UploaderReport;
  recall: RecallerReport;
  eviction: EvictorReport;
  /** How far names and attributes in the bucket are; undefined where none are shipped. */
  metadata: MetadataReport | undefined;
  /** Until everything is safe at the present speed; undefined where that cannot be said. */
  etaMs: number | undefined;
  /** The last error while it lasts. */
  trouble: EngineTrouble | undefined;
  /** Calls to the store since the start, as the engine counts them. */
  storeCalls: { put: number; get: number; head: number };
  /** Why something is not going on, for people. */
  waiting: string[];
}

/** Puts the parts together. */
export function composeStatus(parts: {
  filesystem: FilesystemReport;
  upload: UploaderReport;
  recall: RecallerReport;
  eviction: EvictorReport;
  verifyHeads: number;
  uploadTrouble: EngineTrouble | undefined;
  leaseTrouble: EngineTrouble | undefined;
  leasePending: boolean;
  metadata: MetadataReport | undefined;
}): EngineStatus {
  const { filesystem, upload, recall, eviction } = parts;
  // Local bytes of removed files that are still open are nobody's to lose.
  const { keptFiles = 0, keptBytes = 0 } = filesystem;
  const unsafeFiles = filesystem.dirtyFiles - keptFiles;
  const unsafeBytes = unsafeFiles === 0 ? 0 : filesystem.space.local - keptBytes;
  const trouble = parts.leaseTrouble ?? parts.uploadTrouble ?? recall.trouble;
  const speed = upload.bytesPerSecond;
  const waiting: string[] = [];
  if (parts.leasePending) waiting.push("uploads wait until the claim on the bucket has settled");
  if (parts.leaseTrouble) waiting.push(`uploads have stopped: ${parts.leaseTrouble.message}`);
  if (parts.uploadTrouble) {
    waiting.push(`uploads wait for the store: ${parts.uploadTrouble.message}`);
  }
  if (recall.trouble) waiting.push(`recalls wait for the store: ${recall.trouble.message}`);
  const { metadata } = parts;
  if (metadata?.trouble !== undefined) {
    waiting.push(`names and attributes do not reach the bucket: ${metadata.trouble}`);
  }
  if (upload.paused) waiting.push("uploads are paused");
  if (eviction.obstacles) waiting.push("the cache is above its mark: see eviction");
  return {
    unsafeFiles,
    unsafeBytes,
    localFiles: keptFiles,
    localBytes: keptBytes,
    upload,
    recall,
    eviction,
    metadata,
    etaMs: unsafeBytes === 0 ? 0 : speed > 0 ? (unsafeBytes / speed) * 1000 : undefined,
    trouble,
    storeCalls: {
      put: upload.puts,
      get: recall.gets,
      head: upload.heads + parts.verifyHeads,
    },
    waiting,
  };
}
