/** How much lies in the bucket, by its packs, and how much is still to come. Reads only. */
import type { MetadataDatabase } from "./database.ts";
import { TotalTable } from "./total_table.ts";

/** `sinceMs`: wall clock, milliseconds. Bytes: of packs as stored, of what waits as charged. */
export function readBucketUse(
  database: MetadataDatabase,
  { sinceMs }: { sinceMs: number },
): { bytes: number; recentBytes: number; waitingBytes: number } {
  const row = database.arrayStatement(
    `SELECT coalesce(sum(bytes), 0), coalesce(sum(CASE WHEN created_ms >= ? THEN bytes END), 0)
     FROM main.pack`,
  ).get(Math.floor(sinceMs)) as unknown as [number, number];
  const { local, keptBytes } = new TotalTable(database).read();
  return { bytes: row[0], recentBytes: row[1], waitingBytes: Math.max(0, local - keptBytes) };
}
