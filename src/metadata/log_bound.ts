/**
 * Keeps write-ahead logs from growing for ever. A log begins anew once all of it has been copied, and a
 * helper never copies what is written while it copies: under steady writing there is always a rest.
 */
import * as libc from "../runtime/libc.ts";
import { historyPath, LOG_BYTES, metadataPath } from "./connection.ts";
import { ROOM_BYTES } from "./log_room.ts";
import type { MetadataDatabase } from "./database.ts";

/**
 * After a helper's checkpoint, by who writes: where a log has become long, copies the rest, which is short,
 * so that the next commit begins it anew. Syncs then: one or two milliseconds on a quick disk. `busy`: so
 * many commits have come that it is worth that to stay within the room that was made for the log. Throws
 * FsError where the disk fails.
 */
export function boundLogs(
  database: MetadataDatabase,
  directory: string,
  { busy }: { busy: boolean },
): void {
  const bound = busy ? ROOM_BYTES : LOG_BYTES;
  const isLong = [metadataPath(directory), historyPath(directory)].some((path) => {
    const status = libc.lstat(`${path}-wal`);
    return typeof status !== "number" && status.size > bound;
  });
  if (isLong) database.checkpoint("passive");
}
