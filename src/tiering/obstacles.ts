/** What keeps the cache above its mark, by what holds it there: for status and the log. Pure. */
import type { FilesystemReport } from "../filesystem/protocol.ts";
import { UsageClass } from "../metadata/schema.ts";
import type { ClassTally } from "../metadata/usage_table.ts";

/** Bytes of the local disk; all classes but `refused` and `missing` add up to what is used. */
export interface Obstacles {
  /** Bytes that should have been freed and were not. */
  missing: number;
  /** By a rule or by the user. */
  pinned: number;
  /** Never uploaded. */
  local: number;
  /** Not yet in the bucket. */
  dirty: number;
  open: number;
  /** Not here, or not unused, for as long as the rules ask. */
  held: number;
  /** Heads that stay. */
  head: number;
  /** Files that were refused when asked, by reason. */
  refused: Record<string, number>;
}

export function obstaclesOf(
  report: FilesystemReport,
  { tally, refused, missing }: {
    tally: readonly ClassTally[];
    refused: Record<string, number>;
    missing: number;
  },
): Obstacles {
  const bytes = (kind: UsageClass) => tally.find((each) => each.class === kind)?.bytes ?? 0;
  const kept = report.keptBytes ?? 0;
  return {
    missing,
    pinned: bytes(UsageClass.PINNED),
    local: kept + bytes(UsageClass.LOCAL),
    dirty: report.space.local - kept,
    open: report.openBytes,
    held: bytes(UsageClass.HELD),
    head: bytes(UsageClass.HEAD),
    refused,
  };
}
