/**
 * Checks a cache, and the bucket behind it, against everything that must hold. Works page by page, so
 * that neither memory nor one read grows with the file system. On a cache that is in use it asks only
 * what one statement can answer, asks twice before it complains, and says what it left out. Repairs
 * only what follows from other rows or from the bucket; never deletes what somebody might want.
 */
import { ChangeLog } from "../metadata/change_log.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import {
  IntegrityChecks,
  ROW_CHECKS,
  type RowCheck,
  type RowFault,
} from "../metadata/integrity_checks.ts";
import { IntegrityRepairs } from "../metadata/integrity_repairs.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { checkKeys, type KeyObjects, restoreKey, skipKeys } from "./fsck_keys.ts";
import { checkContent, type ContentFaults } from "./fsck_content.ts";
import { type DeepOptions, verifyPacks } from "./fsck_deep.ts";
import { verifyLocal } from "./fsck_local.ts";
import { type FsckReport, ReportBuilder } from "./fsck_report.ts";
import { checkMetadata, type MetadataFinding } from "./fsck_metadata.ts";
import { checkStore } from "./fsck_store.ts";

export interface FsckOptions {
  /** The cache directory. */
  cache: string;
  /** Open for reading; for writing where `repair`. */
  database: MetadataDatabase;
  /** Somebody serves it meanwhile. */
  mounted: boolean;
  /** Undefined: the bucket is left out, for this reason. */
  store: ObjectStore | { skipped: string };
  /** Undefined: not encrypted. */
  keys?: KeyObjects;
  repair: boolean;
  deep: Omit<DeepOptions, "store" | "database" | "clock" | "signal" | "onProgress"> | undefined;
  clock: Clock;
  signal: AbortSignal;
  onProgress?: (text: string) => void;
}

/** Rows that one question looks at. */
const PAGE_ROWS = 2_000;
/** Rows may be a second behind what is on the disk; what still is wrong after this is wrong. */
const ASK_AGAIN_MS = 2_500;

/** Checks everything; with `repair`, repairs and checks again. Rejects with StoreError, FsError. */
export async function fsck(options: FsckOptions): Promise<FsckReport> {
  const first = await checkOnce(options);
  if (!options.repair || first.builder.report.problems === 0) return first.builder.report;
  const { report } = first.builder;
  report.repaired.push(...repair(options.database, first));
  if (first.keyless) report.repaired.push(...await restoreKey(options.keys!));
  const second = await checkOnce({ ...options, deep: undefined });
  report.left = second.builder.report.problems + (report.deep?.damaged ?? 0) +
    (report.local?.wrong ?? 0);
  report.notices.push(
    ...second.builder.report.findings.map(({ check, path, id, what }) =>
      `left: ${check}: ${path ?? id ?? ""} ${what}`
    ),
  );
  return report;
}

interface Checked {
  builder: ReportBuilder;
  content: ContentFaults;
  metadata: MetadataFinding;
  /** No wrapped key in the bucket can be used. */
  keyless: boolean;
}

async function checkOnce(options: FsckOptions): Promise<Checked> {
  const { database, mounted, store, clock, signal, onProgress } = options;
  const builder = new ReportBuilder(options);
  const checks = new IntegrityChecks(database);
  const asker = { checks, builder, clock, signal, mounted };
  sqlite(asker);
  for (const check of ROW_CHECKS) {
    onProgress?.(check.title);
    await checkRows(check, asker);
  }
  onProgress?.("content files");
  const content = await checkContent({
    ...asker,
    cache: options.cache,
    database,
    askAgainMs: ASK_AGAIN_MS,
  });
  if (options.deep !== undefined) await checkLocal(options.deep, { ...options, checks, builder });
  const { orphans, lost, ...counts } = checks.counts();
  builder.report.counts = { ...counts, contentFiles: content.seen };
  if (orphans > 0) {
    builder.report.notices.push(`${orphans} nameless inodes wait for their deletion`);
  }
  if (lost > 0) builder.report.notices.push(`${lost} chunks are marked as lost by the bucket`);
  if ("skipped" in store) {
    builder.skip("bucket", "every pack that is referred to is in the bucket", store.skipped);
    if (options.keys !== undefined) skipKeys(builder, store.skipped);
    return { builder, content, metadata: "usable", keyless: false };
  }
  onProgress?.("packs in the bucket");
  await checkStore({ store, database, builder, signal });
  onProgress?.("metadata in the bucket");
  const metadata = await checkMetadata({ store, database, builder, deep: options.deep, signal });
  const keyless = options.keys !== undefined && !await checkKeys(options.keys, builder);
  if (options.deep !== undefined) {
    const check = builder.begin("deep", "every chunk in the bucket has the bytes that its id says");
    builder.report.deep = await verifyPacks({
      ...options.deep,
      store,
      database,
      clock,
      signal,
      onProgress,
      onDamage: (chunks, what, pack) => {
        options.deep!.onDamage(chunks, what, pack);
        for (const id of chunks) builder.problem(check, { id, what });
        if (chunks.length === 0) builder.problem(check, { what });
      },
    });
  }
  return { builder, content, metadata, keyless };
}

/** Compares what is here with the ids by which the bucket knows it. */
async function checkLocal(
  deep: NonNullable<FsckOptions["deep"]>,
  options: FsckOptions & Pick<Asker, "checks" | "builder">,
): Promise<void> {
  const { builder, checks, mounted, database } = options;
  const title = "every confirmed chunk has on the local disk the bytes that its id says";
  if (!mounted && !database.wasClean) {
    return builder.skip("local", title, "needs a cache that was unmounted in order");
  }
  const check = builder.begin("local", title);
  builder.report.local = await verifyLocal({
    ...deep,
    ...options,
    askAgainMs: mounted ? ASK_AGAIN_MS : undefined,
    onWrong: (inode, what) => {
      builder.problem(check, { id: inode, path: checks.printedPathOf(inode), what });
    },
  });
}

interface Asker {
  checks: IntegrityChecks;
  builder: ReportBuilder;
  clock: Clock;
  signal: AbortSignal;
  mounted: boolean;
}

const NOT_MOUNTED = "needs a cache that is not mounted";

function sqlite({ checks, builder, mounted }: Asker): void {
  const title = "the database is whole, and its rows refer to rows";
  if (mounted) return builder.skip("database", title, NOT_MOUNTED);
  const check = builder.begin("database", title);
  for (const fault of checks.askSqlite()) builder.problem(check, fault);
}

async function checkRows(check: RowCheck, asker: Asker): Promise<void> {
  const { checks, builder, mounted, signal } = asker;
  if (check.table === undefined && mounted) {
    return builder.skip(check.name, check.title, NOT_MOUNTED);
  }
  const entry = builder.begin(check.name, check.title);
  const highest = check.table === undefined ? 0 : checks.highest(check.table);
  let suspects: RowFault[] = [];
  for (let from = 0; from === 0 || from < highest; from += PAGE_ROWS) {
    signal.throwIfAborted();
    suspects.push(...checks.ask(check, { from, until: from + PAGE_ROWS }));
    // Whoever else lives in this isolate has its turn.
    if (mounted) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  if (mounted && suspects.length > 0) suspects = await stillWrong(check, suspects, asker);
  for (const fault of suspects) {
    builder.problem(entry, { ...fault, path: pathOf(check, fault, checks) });
  }
}

/** Those of which the same is still said some time later. */
async function stillWrong(
  check: RowCheck,
  suspects: RowFault[],
  { checks, clock, signal }: Asker,
): Promise<RowFault[]> {
  await sleep(clock, ASK_AGAIN_MS, signal);
  return suspects.filter(({ id, what }) =>
    checks.ask(check, { from: id! - 1, until: id! }).some((fault) => fault.what === what)
  );
}

function pathOf(check: RowCheck, fault: RowFault, checks: IntegrityChecks): string | undefined {
  if (check.table !== "inode" || fault.id === undefined) return undefined;
  return checks.printedPathOf(fault.id);
}

/** What was done, for people. */
function repair(database: MetadataDatabase, { builder, content, metadata }: Checked): string[] {
  const repairs = new IntegrityRepairs(database);
  const wanted = new Set(
    ROW_CHECKS.filter(({ name, repairable }) =>
      repairable && builder.report.checks.some((check) => check.name === name && check.problems > 0)
    ).map(({ name }) => name),
  );
  let evicted = 0;
  for (const { inode, length } of content.short) evicted += repairs.evictMissing(inode, length);
  const unsaved = wanted.delete("clean") ? [...builder.faulty.get("clean") ?? []] : [];
  const done = repairs.repair(wanted, unsaved);
  if (metadata === "damaged" || metadata === "behind") {
    const lost = metadata === "behind";
    database.transaction(() => new ChangeLog(database).sendAnew({ lost }));
    done.push("metadata: the next mount sends all of it anew");
  }
  if (evicted > 0) done.push(`content: ${evicted} chunks will be recalled from the bucket`);
  for (const path of content.garbage) Deno.removeSync(path);
  if (content.garbage.length > 0) {
    done.push(`content: ${content.garbage.length} files that no row names were removed`);
  }
  return done;
}
