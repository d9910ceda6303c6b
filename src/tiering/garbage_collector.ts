/**
 * Removes from the bucket what nothing refers to any more, by law 5: a pack that died before the horizon
 * is condemned (durably), the lease is looked at, the object is deleted by version id, and then its row
 * goes; and what newer metadata has replaced. Owns the order of these steps. Rows change by commands only; an error stops the run, and the
 * next one goes on from there.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import type { PackRow } from "../filesystem/care_protocol.ts";
import type { FilesystemPort } from "../filesystem/port.ts";
import { LEASE_PREFIX, METADATA_PREFIX, packIdOfKey, packKey } from "../format/keys.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import type { Clock } from "../runtime/clock.ts";
import { fromHex, type Random } from "../runtime/random.ts";
import { packRows, type StoredVersion, surveyBucket } from "./bucket_survey.ts";
import {
  type CollectionHorizon,
  collectionHorizon,
  type ShippedHistory,
} from "./collection_horizon.ts";
import { COLLECTION_LIMITS } from "./collection_limits.ts";
import { add, type CollectionReport, emptyReport } from "./collection_report.ts";
import type { Log } from "./context.ts";
import type { Superseded } from "./metadata_retirement.ts";
import type { Repacker } from "./repacker.ts";
import { type ClockWatch, storeTimeMs } from "./store_time.ts";

export interface CollectorOptions {
  filesystem: FilesystemPort;
  store: ObjectStore;
  clock: Clock;
  random: Random;
  log: Log;
  watch: ClockWatch;
  repacker: Repacker;
  /** Law 5 (c): rejects where this mount may not delete (any more). Asked before each deletion. */
  checkLease: (signal: AbortSignal) => Promise<void>;
  /** How far the bucket's own copy of the metadata goes. */
  shippedHistory: (signal: AbortSignal) => Promise<ShippedHistory>;
  /**
   * Which of these metadata objects and claims nobody needs any more, where every state since `beforeMs`
   * (store's clock) has to stay.
   */
  superseded: (
    own: StoredVersion[],
    options: { beforeMs: number; signal: AbortSignal },
  ) => Promise<Superseded>;
  /** Whether a pack is on its way up that no row names yet. */
  uploading: () => Promise<boolean>;
  /** Time in the trash, and time that a dead pack is kept, milliseconds. */
  ages: { trashMs: number; graceMs: number };
}

/** An object to delete. */
interface Victim {
  key: string;
  versionId: string;
  bytes: number;
  /** Row of the pack; undefined for what no row names. */
  pack: number | undefined;
}

interface Findings {
  report: CollectionReport;
  dead: Victim[];
  unknown: Victim[];
  sparse: number[];
  rows: number;
  /** Metadata and claims, all of them. */
  own: StoredVersion[];
  superseded: Victim[][];
}

export class GarbageCollector {
  readonly #options: CollectorOptions;
  #running = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /**
   * Looks at everything; with `apply`, also deletes and repacks. Rejects with UserError where that is
   * refused, with StoreError where the store fails. `force` skips the tripwire, and nothing else.
   */
  async collect(
    options: { apply: boolean; force?: boolean; signal: AbortSignal },
  ): Promise<CollectionReport> {
    if (this.#running) throw new UserError("the bucket is being collected already");
    this.#running = true;
    try {
      return await this.#collect(options);
    } finally {
      this.#running = false;
    }
  }

  async #collect(
    { apply, force = false, signal }: { apply: boolean; force?: boolean; signal: AbortSignal },
  ): Promise<CollectionReport> {
    const { filesystem, ages, watch, checkLease, shippedHistory } = this.#options;
    await checkLease(signal);
    const storeMs = await storeTimeMs({ ...this.#options, signal });
    watch.assertSound(storeMs);
    const { before: [trashBefore, graceBefore] } = await filesystem.call("storeTime", {
      storeMs,
      agesMs: [ages.trashMs, ages.graceMs],
    });
    const horizon = collectionHorizon(await shippedHistory(signal), graceBefore);
    const expiredVersions = apply ? await this.#expireTrash(trashBefore, signal) : 0;
    const findings = await this.#look({ horizon, storeMs, signal });
    const { report } = findings;
    report.expiredVersions = expiredVersions;
    if (horizon.reason !== undefined) {
      report.notes.push(`nothing may be deleted: ${horizon.reason}`);
    }
    report.refused = force ? undefined : await this.#tripwire(findings);
    if (!apply || report.refused !== undefined) return report;
    report.applied = true;
    await this.#deleteDead(findings, { horizon, signal });
    await this.#deleteUnknown(findings, signal);
    await this.#deleteSuperseded(findings, signal);
    await this.#options.repacker.repack(findings.sparse, { report, checkLease, signal });
    return report;
  }

  async #expireTrash(before: number, signal: AbortSignal): Promise<number> {
    const limit = COLLECTION_LIMITS.EXPIRE_VERSIONS;
    for (let all = 0;;) {
      signal.throwIfAborted();
      const expired = await this.#options.filesystem.call("expireTrash", { before, limit });
      all += expired;
      if (expired < limit) return all;
    }
  }

  /** One listing, nothing changed. */
  async #look(
    options: { horizon: CollectionHorizon; storeMs: number; signal: AbortSignal },
  ): Promise<Findings> {
    const { filesystem, store, ages } = this.#options;
    const { horizon, storeMs, signal } = options;
    const report = { ...emptyReport(), storeMs };
    const findings: Findings = {
      report,
      dead: [],
      unknown: [],
      sparse: [],
      rows: 0,
      own: [],
      superseded: [],
    };
    const unknownAgeMs = Math.max(ages.graceMs, COLLECTION_LIMITS.UNKNOWN_AGE_MS);
    let inPlace = 0;
    for await (const found of surveyBucket({ store, rows: packRows(filesystem), signal })) {
      if (found.kind === "pack") {
        this.#lookAtPack(found, { findings, before: horizon.before });
        continue;
      }
      const { version } = found;
      add(report.billed, version.length);
      add(report[found.kind === "probe" ? "unknown" : found.kind], version.length);
      if (found.kind === "unknown" && found.inPlace) {
        inPlace++;
        continue;
      }
      if (isSeries(version) && findings.own.length <= COLLECTION_LIMITS.METADATA_OBJECTS) {
        findings.own.push(version);
      }
      const oldMs = found.kind === "unknown" && horizon.unknownObjects
        ? unknownAgeMs
        : found.kind === "probe"
        ? COLLECTION_LIMITS.PROBE_AGE_MS
        : Infinity;
      if (storeMs - version.modifiedMs < oldMs) continue;
      const { key, versionId, length: bytes } = version;
      if (findings.unknown.length < COLLECTION_LIMITS.CANDIDATES) {
        findings.unknown.push({ key, versionId, bytes, pack: undefined });
        add(report.deletable.unknown, bytes);
      }
    }
    if (inPlace > 0) {
      report.notes.push(
        `${inPlace} objects have the names of packs, and other versions than were stored: a copied ` +
          "bucket? none of them goes",
      );
    }
    if (horizon.reason === undefined) await this.#lookAtOwn(findings, { storeMs, signal });
    return findings;
  }

  async #lookAtOwn(
    findings: Findings,
    { storeMs, signal }: { storeMs: number; signal: AbortSignal },
  ): Promise<void> {
    const { ages, superseded } = this.#options;
    const { report, own } = findings;
    if (own.length > COLLECTION_LIMITS.METADATA_OBJECTS) {
      report.notes.push("there is more metadata than one run looks through; none of it goes");
      return;
    }
    const { groups, notes } = await superseded(own, { beforeMs: storeMs - ages.graceMs, signal });
    report.notes.push(...notes);
    findings.superseded = groups.map((group) =>
      group.map(({ key, versionId, length: bytes }) => ({ key, versionId, bytes, pack: undefined }))
    );
    for (const { bytes } of findings.superseded.flat()) add(report.deletable.superseded, bytes);
  }

  #lookAtPack(
    { row, length }: { row: PackRow; length: number | undefined },
    { findings, before }: { findings: Findings; before: number },
  ): void {
    const { report } = findings;
    findings.rows++;
    if (length !== undefined) add(report.billed, length);
    if (row.liveChunks > 0) {
      if (length === undefined) report.missing++;
      add(report.live, length ?? 0);
      report.live.referencedBytes += row.liveBytes;
      if (length === undefined || !isSparse(row)) return;
      add(report.sparse, row.bytes);
      report.sparse.referencedBytes += row.liveBytes;
      if (findings.sparse.length < COLLECTION_LIMITS.CANDIDATES) findings.sparse.push(row.pack);
      return;
    }
    add(report.dead, length ?? 0);
    // Condemned ones are left over from a run that was cut short.
    if (!row.condemned && (row.deadAt === undefined || row.deadAt >= before)) return;
    if (findings.dead.length >= COLLECTION_LIMITS.CANDIDATES) return;
    findings.dead.push({
      key: packKey(row.name),
      versionId: row.versionId,
      bytes: length ?? 0,
      pack: row.pack,
    });
    add(report.deletable.dead, length ?? 0);
  }

  /** Why deleting all this looks like a mistake; undefined where it does not. */
  async #tripwire({ report, dead, unknown, rows }: Findings): Promise<string | undefined> {
    const wanted = dead.length + unknown.length;
    if (wanted === 0) return undefined;
    const packs = rows + report.unknown.objects;
    const { files, readOnly } = await this.#options.filesystem.call("statistics", {});
    if (readOnly !== undefined) return `the mount is read-only: ${readOnly}`;
    if (rows === 0) return "the database knows no pack at all, and the bucket holds some";
    if (files <= 1) return "the file system is empty, and the bucket is not";
    if (report.missing > 0) {
      return `${report.missing} packs that files need are not in the listing; run zero fsck`;
    }
    if (wanted <= packs * COLLECTION_LIMITS.TRIPWIRE_SHARE) return undefined;
    const percent = Math.round(100 * wanted / packs);
    return `${wanted} of ${packs} objects (${percent} %) would be deleted at once`;
  }

  /** Law 5 (b), (c), (d), batch by batch. */
  async #deleteDead(
    { dead, report }: Findings,
    { horizon, signal }: { horizon: CollectionHorizon; signal: AbortSignal },
  ): Promise<void> {
    const { filesystem } = this.#options;
    for (const batch of batches(dead)) {
      signal.throwIfAborted();
      const packs = batch.map((victim) => victim.pack!);
      const condemned = new Set(
        await filesystem.call("condemn", { packs, before: horizon.before }),
      );
      const victims = batch.filter((victim) => condemned.has(victim.pack!));
      await this.#deleteAll(victims, signal);
      await filesystem.call("forgetPacks", { packs: victims.map((victim) => victim.pack!) });
      for (const { bytes } of victims) add(report.deleted.dead, bytes);
    }
  }

  async #deleteUnknown({ unknown, report }: Findings, signal: AbortSignal): Promise<void> {
    if (unknown.length === 0) return;
    if (await this.#options.uploading()) {
      report.notes.push("unknown objects are left alone while packs are uploaded");
      return;
    }
    for (const batch of batches(unknown)) {
      signal.throwIfAborted();
      const victims = await this.#stillUnknown(batch);
      await this.#deleteAll(victims, signal);
      for (const { bytes } of victims) add(report.deleted.unknown, bytes);
    }
  }

  /** Law 0: where the bucket's metadata is must be durable here before what led there goes. */
  async #deleteSuperseded({ superseded, report }: Findings, signal: AbortSignal): Promise<void> {
    if (superseded.length === 0) return;
    await this.#options.filesystem.call("flush", {});
    for (const group of superseded) {
      for (const batch of batches(group)) {
        signal.throwIfAborted();
        await this.#deleteAll(batch, signal);
        for (const { bytes } of batch) add(report.deleted.superseded, bytes);
      }
    }
  }

  /** The listing is older than the rows: what a row names by now stays. */
  async #stillUnknown(victims: Victim[]): Promise<Victim[]> {
    const ids = victims.map(({ key }) => packIdOfKey(key));
    const names = ids.filter((id) => id !== undefined).map((id) => fromHex(id));
    const versions = await this.#options.filesystem.call("packVersions", { names });
    let at = 0;
    const known = ids.map((id) => id === undefined ? undefined : versions[at++]);
    return victims.filter(({ versionId }, i) => known[i] !== versionId);
  }

  /** Law 5 (c): a batch may take minutes, so the lease is looked at before each of them. */
  async #deleteAll(victims: Victim[], signal: AbortSignal): Promise<void> {
    const { store, checkLease } = this.#options;
    let next = 0;
    const work = async () => {
      for (let victim; (victim = victims[next++]) !== undefined;) {
        await checkLease(signal);
        await store.delete(victim.key, victim.versionId, { signal });
      }
    };
    const workers = Math.min(COLLECTION_LIMITS.DELETE_PARALLEL, victims.length);
    const outcomes = await Promise.allSettled(Array.from({ length: workers }, work));
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") throw outcome.reason;
    }
  }
}

function isSeries({ key }: StoredVersion): boolean {
  return key.startsWith(METADATA_PREFIX) || key.startsWith(LEASE_PREFIX);
}

function isSparse(row: PackRow): boolean {
  const { SPARSE_SHARE, SPARSE_GAIN_BYTES } = COLLECTION_LIMITS;
  return row.liveBytes < SPARSE_SHARE * row.bytes && row.bytes - row.liveBytes >= SPARSE_GAIN_BYTES;
}

function* batches(victims: Victim[]): Iterable<Victim[]> {
  const size = COLLECTION_LIMITS.BATCH_PACKS;
  for (let at = 0; at < victims.length; at += size) yield victims.slice(at, at + size);
}

/** What `zero gc` says where the tripwire holds. */
export function refusal(report: CollectionReport): UserError | undefined {
  if (report.refused === undefined) return undefined;
  return new UserError(`nothing was deleted: ${report.refused}`, {
    hint: "if that is right, zero gc --apply --force",
    exitCode: ExitCode.refused,
  });
}
