/**
 * Whether a recovery could use the metadata in the bucket, and would come to what this cache has sent.
 * Reads only; errors and stale listings are not absence (law 8).
 */
import { UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import type { Secrets } from "../format/secrets.ts";
import { ChangeLog } from "../metadata/change_log.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import type { FsckCheck, ReportBuilder } from "./fsck_report.ts";
import { parallel, readSegment, SegmentError } from "./metadata_series.ts";
import { planRecovery } from "./recovery_plan.ts";

export const METADATA_CHECK = "metadata";
const TITLE = "the metadata in the bucket leads to what this cache has sent";

/** Reads all of it where `deep` says with what. Rejects with StoreError where the store cannot be asked. */
export async function checkMetadata(options: {
  store: ObjectStore;
  database: MetadataDatabase;
  builder: ReportBuilder;
  deep: { secrets: Secrets | undefined } | undefined;
  signal: AbortSignal;
}): Promise<void> {
  const { store, database, builder, deep, signal } = options;
  const { head, snapshot, restart } = new ChangeLog(database).state();
  if (head.key === "") return builder.skip(METADATA_CHECK, TITLE, "nothing has been sent yet");
  if (restart) return builder.skip(METADATA_CHECK, TITLE, "the next mount sends all of it anew");
  const check = builder.begin(METADATA_CHECK, TITLE);
  for (const key of [head.key, snapshot]) {
    if (key === undefined || await isThere(key, { store, signal })) continue;
    builder.problem(check, { what: `${key} is not in the bucket` });
  }
  if (deep === undefined || check.problems > 0) return;
  await readAll(check, { ...options, deep, head });
}

async function isThere(
  key: string,
  { store, signal }: { store: ObjectStore; signal: AbortSignal },
): Promise<boolean> {
  try {
    await store.head(key, { signal });
    return true;
  } catch (error) {
    if (error instanceof StoreError && error.kind === "missing") return false;
    throw error;
  }
}

/** As a recovery would, but that nothing is kept. */
async function readAll(
  check: FsckCheck,
  options: {
    store: ObjectStore;
    database: MetadataDatabase;
    builder: ReportBuilder;
    deep: { secrets: Secrets | undefined };
    head: { epoch: number; sequence: number };
    signal: AbortSignal;
  },
): Promise<void> {
  const { store, database, builder, deep, head, signal } = options;
  const source = {
    store,
    fileSystem: String(database.setting("file_system_id")),
    secrets: deep.secrets,
    signal,
  };
  try {
    const { snapshot, tip, notes } = await planRecovery(source);
    for (const what of notes) builder.problem(check, { what });
    // A mount goes on sending meanwhile: it may lead further.
    if (tip.epoch < head.epoch || (tip.epoch === head.epoch && tip.sequence < head.sequence)) {
      builder.problem(check, {
        what: `a recovery would end at ${tip.key}, before what was sent last`,
      });
    }
    await parallel(snapshot?.manifest.segments ?? [], async (segment) => {
      try {
        await readSegment(segment, source);
      } catch (error) {
        if (!(error instanceof SegmentError)) throw error;
        builder.problem(check, { what: error.message });
      }
    });
  } catch (error) {
    const damaged = error instanceof FormatError || error instanceof UserError ||
      (error instanceof StoreError && error.kind === "missing");
    if (!damaged) throw error;
    builder.problem(check, { what: error.message });
  }
}
