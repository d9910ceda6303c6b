/**
 * Whether a recovery could use the metadata in the bucket, and would come to what this cache has sent.
 * Reads only; errors and stale listings are not absence (law 8).
 */
import { UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import type { Secrets } from "../format/secrets.ts";
import { ChangeLog, type MetadataHead } from "../metadata/change_log.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import type { FsckCheck, ReportBuilder } from "./fsck_report.ts";
import {
  claimBases,
  listMetadata,
  parallel,
  readSegment,
  SegmentError,
} from "./metadata_series.ts";
import { planRecovery } from "./recovery_plan.ts";

const METADATA_CHECK = "metadata";
const TITLE = "the metadata in the bucket leads to what this cache has sent";

/**
 * What the bucket's metadata is to this cache. `damaged`: a recovery cannot use all of it. `behind`: what
 * was sent last is gone, and nothing is there that came later. `elsewhere`: it is gone, and something came
 * later, so this cache may be an old copy.
 */
export type MetadataFinding = "usable" | "damaged" | "behind" | "elsewhere";

/** Reads all of it where `deep` says with what. Rejects with StoreError where the store cannot be asked. */
export async function checkMetadata(options: {
  store: ObjectStore;
  database: MetadataDatabase;
  builder: ReportBuilder;
  deep: { secrets: Secrets | undefined } | undefined;
  signal: AbortSignal;
}): Promise<MetadataFinding> {
  const { store, database, builder, deep, signal } = options;
  const { head, snapshot, restart } = new ChangeLog(database).state();
  const skipped = restart
    ? "the next mount sends all of it anew"
    : head.key === ""
    ? "nothing has been sent yet"
    : undefined;
  if (skipped !== undefined) {
    builder.skip(METADATA_CHECK, TITLE, skipped);
    return "usable";
  }
  const check = builder.begin(METADATA_CHECK, TITLE);
  if (!await isThere(head.key, { store, signal })) {
    const later = await foreignAfter(head, { store, signal });
    builder.problem(check, {
      what: `${head.key} is not in the bucket, ` +
        (later === undefined ? "and nothing later is" : `but ${later}: this may be an old copy`),
    });
    return later === undefined ? "behind" : "elsewhere";
  }
  if (snapshot !== undefined && !await isThere(snapshot, { store, signal })) {
    builder.problem(check, { what: `${snapshot} is not in the bucket` });
  } else if (deep !== undefined) {
    await readAll(check, { ...options, deep, head });
  }
  return check.problems > 0 ? "damaged" : "usable";
}

/** What somebody else has added after `head`, for people; undefined: nothing. */
async function foreignAfter(
  head: MetadataHead,
  { store, signal }: { store: ObjectStore; signal: AbortSignal },
): Promise<string | undefined> {
  const later = (await listMetadata(store, { signal })).find(({ epoch, last }) =>
    epoch > head.epoch || (epoch === head.epoch && last >= head.sequence)
  );
  if (later !== undefined) return `${later.key} is`;
  const claims = await claimBases(store, { after: head.epoch, signal });
  const other = claims.find(({ base }) => base !== head.hash);
  return other && `epoch ${other.epoch} has been claimed upon something else`;
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
    head: MetadataHead;
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
