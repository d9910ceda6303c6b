/**
 * Rows of packs against one listing of the bucket. A pack that the listing does not show is asked for by
 * version id before anything is said: errors and stale listings are not absence (law 8).
 */
import { formatBytes } from "../domain/units.ts";
import type { PackRow } from "../filesystem/care_protocol.ts";
import { packKey } from "../format/keys.ts";
import { CollectionTable } from "../metadata/collection_table.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { surveyBucket } from "./bucket_survey.ts";
import { COLLECTION_LIMITS } from "./collection_limits.ts";
import type { FsckCheck, ReportBuilder } from "./fsck_report.ts";

/** Rejects with StoreError where the store cannot be asked. */
export async function checkStore(
  options: {
    store: ObjectStore;
    database: MetadataDatabase;
    builder: ReportBuilder;
    signal: AbortSignal;
  },
): Promise<void> {
  const { store, database, builder, signal } = options;
  const check = builder.begin("bucket", "every pack that is referred to is in the bucket");
  const unknown = { objects: 0, bytes: 0 };
  for await (const found of surveyBucket({ store, rows: packRows(database), signal })) {
    if (found.kind === "unknown") {
      unknown.objects++;
      unknown.bytes += found.version.length;
    }
    if (found.kind !== "pack" || found.row.liveChunks === 0) continue;
    if (found.length === found.row.bytes) continue;
    if (found.length === undefined) await lookUp(found.row, { store, builder, check, signal });
    else builder.problem(check, wrongLength(found.row, found.length));
  }
  if (unknown.objects > 0) {
    builder.report.notices.push(
      `${unknown.objects} objects (${formatBytes(unknown.bytes)}) that no row names: zero gc`,
    );
  }
}

async function lookUp(
  row: PackRow,
  options: { store: ObjectStore; builder: ReportBuilder; check: FsckCheck; signal: AbortSignal },
): Promise<void> {
  const { store, builder, check, signal } = options;
  const key = packKey(row.name);
  try {
    const { length } = await store.head(key, { versionId: row.versionId, signal });
    if (length !== row.bytes) builder.problem(check, wrongLength(row, length));
    else builder.report.notices.push(`${key} is there, but the listing does not show it`);
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== "missing") throw error;
    builder.problem(check, {
      id: row.pack,
      what: `${key} is not in the bucket, and ${row.liveChunks} chunks need it`,
    });
  }
}

function wrongLength(row: PackRow, length: number) {
  return {
    id: row.pack,
    what: `${packKey(row.name)} has ${length} bytes, ${row.bytes} were stored`,
  };
}

async function* packRows(database: MetadataDatabase): AsyncIterable<PackRow> {
  const table = new CollectionTable(database);
  const limit = COLLECTION_LIMITS.PAGE_PACKS;
  let after = new Uint8Array(0);
  while (true) {
    const page = table.packs({ after, limit });
    yield* page;
    if (page.length < limit) return;
    after = page[page.length - 1].name as Uint8Array<ArrayBuffer>;
  }
}
