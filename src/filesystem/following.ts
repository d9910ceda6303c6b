/**
 * Shows what another mount has shipped: puts its rows into the database in one transaction, and makes
 * everybody in this isolate forget what was shown before. Handles on a content that is not shown any more
 * fail with ESTALE, so that nobody reads parts of two.
 */
import type { MetadataRecord, RecordTable } from "../domain/metadata_rows.ts";
import { invariant } from "../domain/errors.ts";
import { follow } from "../metadata/follow.ts";
import type { ShippedRows } from "../metadata/follow_rows.ts";
import type { Filesystem } from "./filesystem.ts";
import type { Commands } from "./protocol.ts";

/** Either all of it is shown afterwards, or nothing has changed. */
export function applyShipped(filesystem: Filesystem, shipped: Commands["follow"][0]): void {
  const { core, handles, recalls, dropper } = filesystem;
  invariant(core.following, "a mount that writes follows nobody");
  core.flushAll();
  core.inodes.flush(Infinity);
  const left = follow(core.database, {
    rows: byTable(shipped.records),
    head: shipped.head,
    pointMs: shipped.pointMs,
    leaving: (inode) => {
      const file = core.files.peek(inode);
      if (file === undefined) return;
      // First: whoever is woken looks again at once.
      handles.expire(file);
      recalls.forgetAll(file);
      file.forgetRows();
    },
  });
  core.inodes.reloadAll();
  filesystem.namespace.changedElsewhere();
  for (const content of left) dropper.unlinkContent(content);
}

function byTable(records: MetadataRecord[]): ShippedRows {
  const tables = new Map<RecordTable, MetadataRecord[]>();
  for (const record of records) {
    const known = tables.get(record.table);
    if (known === undefined) tables.set(record.table, [record]);
    else known.push(record);
  }
  return { records: (table) => tables.get(table) ?? [] };
}
