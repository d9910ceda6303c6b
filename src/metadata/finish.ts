/**
 * What a killed daemon did last and had not committed stands in the redo log only. Owns how a cache that
 * nobody serves is brought to that state for those who then only read it.
 */
import { openMetadata, redoPath } from "./connection.ts";
import { isUnfinished, recover } from "./group_commit.ts";

/**
 * Commits what the redo log of an existing cache `directory` holds. Changes nothing where that is
 * nothing. Throws UserError where it cannot be done again, FsError where the disk does not take it.
 */
export function finish(directory: string): void {
  const path = redoPath(directory);
  const reader = openMetadata(directory, { readOnly: true });
  const unfinished = isUnfinished(reader, { path });
  reader.close();
  if (!unfinished) return;
  const connection = openMetadata(directory);
  try {
    recover(connection, { path });
  } finally {
    connection.close();
  }
}
