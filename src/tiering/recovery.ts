/**
 * Carries out a recovery plan: downloads metadata, and nothing else, and makes a database of it in an
 * empty directory. Everything in it is evicted; the next mount begins a new line of metadata upon it.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import { decodeRecord, readRecords } from "../format/metadata_record_reader.ts";
import type { Secrets } from "../format/secrets.ts";
import { ChangeLog } from "../metadata/change_log.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { type NotNewest, Rebuild, REBUILD_ORDER } from "../metadata/rebuild.ts";
import { Staging } from "../metadata/staging.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import type { Clock } from "../runtime/clock.ts";
import { parallel, readSegment, SegmentError } from "./metadata_series.ts";
import type { RecoveryPlan } from "./recovery_plan.ts";

export interface RecoveryOptions {
  plan: RecoveryPlan;
  store: ObjectStore;
  /** URL without credentials, as the database remembers it. */
  storeUrl: string;
  /** 32 hexadecimal digits. */
  fileSystem: string;
  /** Of an encrypted file system. */
  secrets?: Secrets;
  /** Bytes. */
  chunkSize: number;
  /** Exists and is empty. */
  directory: string;
  clock: Clock;
  /** Owner of the root directory where the bucket does not say. */
  root: { uid: number; gid: number; mode: number };
  signal?: AbortSignal;
  /** Bytes of metadata that were read. */
  onProgress?: (bytes: number) => void;
}

export interface RecoveryResult {
  /** The plan that was carried out: another one than was wanted where its snapshot is damaged. */
  plan: RecoveryPlan;
  files: number;
  notNewest: NotNewest[];
  /** Objects of metadata that were read, and their bytes. */
  objects: number;
  bytes: number;
}

/** Segments in memory at a time. */
const SEGMENTS_AT_ONCE = 16;

/** Rejects with FormatError where the bucket's metadata is damaged, with StoreError. */
export async function recoverMetadata(options: RecoveryOptions): Promise<RecoveryResult> {
  const staging = new Staging(`${options.directory}/staging.db`);
  try {
    const { plan, objects, bytes } = await stage(staging, options);
    return { ...build(staging, { ...options, plan }), plan, objects, bytes };
  } finally {
    staging.close();
  }
}

interface Staged {
  /** What was downloaded in the end. */
  plan: RecoveryPlan;
  objects: number;
  bytes: number;
}

/**
 * Downloads all metadata of a plan, or of the next best one where a segment of its snapshot cannot be
 * used. Rejects with FormatError, StoreError; with UserError where no plan is left.
 */
export async function stage(staging: Staging, options: RecoveryOptions): Promise<Staged> {
  const staged: Staged = { plan: options.plan, objects: 0, bytes: 0 };
  const count = (length: number) => {
    staged.objects++;
    staged.bytes += length;
    options.onProgress?.(staged.bytes);
  };
  for (;;) {
    try {
      await stagePlan(staging, { ...options, plan: staged.plan, count });
      return staged;
    } catch (error) {
      if (!(error instanceof SegmentError)) throw error;
      staging.clear();
      staged.plan = await staged.plan.withoutSnapshot(error.message);
    }
  }
}

async function stagePlan(
  staging: Staging,
  options: RecoveryOptions & { count: (bytes: number) => void },
): Promise<void> {
  const { plan, count } = options;
  const segments = plan.snapshot?.manifest.segments ?? [];
  for (let at = 0; at < segments.length; at += SEGMENTS_AT_ONCE) {
    const some = segments.slice(at, at + SEGMENTS_AT_ONCE);
    for (const payload of await parallel(some, (each) => readSegment(each, options))) {
      staging.apply(readRecords(payload));
    }
    for (const segment of some) count(segment.bytes);
  }
  for (const { object, listed } of plan.links) {
    staging.apply(readRecords(object.payload));
    count(listed.bytes);
  }
}

function build(
  staging: Staging,
  options: RecoveryOptions,
): { files: number; notNewest: NotNewest[] } {
  const { directory, plan, clock } = options;
  const database = MetadataDatabase.create({
    directory,
    fileSystemId: options.fileSystem,
    chunkSize: options.chunkSize,
    store: options.storeUrl,
    clock,
    root: options.root,
  });
  try {
    const result = database.transaction(() => {
      const rebuild = new Rebuild(database);
      database.statement("UPDATE total SET sequence = ?").run(plan.tip.sequence + 1);
      for (const table of REBUILD_ORDER) {
        for (const raw of staging.records(table)) rebuild.add(decodeRecord(raw));
      }
      const notNewest = rebuild.finish({
        nowMs: Math.floor(clock.wallMs()),
        newest: plan.newest,
      });
      const contradictions = database.statement("PRAGMA main.foreign_key_check").all();
      if (contradictions.length > 0) {
        throw new FormatError(
          "corrupt",
          `the metadata contradicts itself: ${JSON.stringify(contradictions[0])}, ` +
            `and ${contradictions.length - 1} more rows refer to what is not there`,
        );
      }
      const log = new ChangeLog(database);
      log.restart();
      log.update({ head: plan.tip });
      database.setSetting("descriptor_published", 1);
      const { files } = database.statement("SELECT files FROM total").get() as { files: number };
      return { files, notNewest };
    });
    database.close({ clean: true });
    return result;
  } catch (error) {
    database.close({ clean: false });
    throw error;
  }
}

/** What a recovery that fails because of the bucket's bytes tells the user. */
export function damagedMetadata(error: FormatError): UserError {
  return new UserError(`the metadata in the bucket cannot be used: ${error.message}`, {
    hint: error.kind === "unknown"
      ? "use the newer zero that wrote it"
      : "--at TIME goes back to a state before it; nothing was changed",
    exitCode: ExitCode.failure,
    cause: error,
  });
}
