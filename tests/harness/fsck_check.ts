/** A check of a cache that nobody serves, as `zero fsck` makes it; a deep one reads all there is. */
import { MetadataDatabase } from "../../src/metadata/database.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { fsck } from "../../src/tiering/fsck.ts";
import type { FsckReport } from "../../src/tiering/fsck_report.ts";

export interface FsckCheckOptions {
  repair?: boolean;
  deep?: boolean;
  onDamage?: (chunks: number[]) => void;
}

export async function checkCache(
  { cache, bucket: store }: { cache: string; bucket: ObjectStore },
  { repair = false, deep = false, onDamage = () => {} }: FsckCheckOptions = {},
): Promise<FsckReport> {
  const database = MetadataDatabase.open({ directory: cache, readOnly: !repair });
  const everything = {
    secrets: undefined,
    share: 1,
    pick: () => 0,
    bytesPerSecond: undefined,
    after: 0,
    onVerified: () => {},
    onDamage,
  };
  try {
    return await fsck({
      cache,
      database,
      mounted: false,
      store,
      repair,
      deep: deep ? everything : undefined,
      clock: systemClock,
      signal: new AbortController().signal,
    });
  } finally {
    database.close({ clean: repair });
  }
}
