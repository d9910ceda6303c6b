/**
 * Cares for the bucket of a mount: collects garbage when asked and once a day when nothing else goes on,
 * and checks cache and bucket while they are in use. Owns the collector and its schedule.
 */
import { UserError } from "../domain/errors.ts";
import type { FilesystemPort } from "../filesystem/port.ts";
import type { Secrets } from "../format/secrets.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { TrashTable } from "../metadata/trash_table.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { fromHex, systemRandom } from "../runtime/random.ts";
import type { StoredVersion } from "../tiering/bucket_survey.ts";
import type { ShippedHistory } from "../tiering/collection_horizon.ts";
import type { Amount } from "../tiering/collection_report.ts";
import type { ComputePort } from "../tiering/compute_port.ts";
import { untilAborted } from "../tiering/context.ts";
import type { Engine } from "../tiering/engine.ts";
import type { FsckReport } from "../tiering/fsck_report.ts";
import { GarbageCollector } from "../tiering/garbage_collector.ts";
import { type Superseded, supersededMetadata } from "../tiering/metadata_retirement.ts";
import { Repacker } from "../tiering/repacker.ts";
import { ClockWatch } from "../tiering/store_time.ts";
import type { DeepRequest, GcResult } from "./care_requests.ts";
import { moneyOf } from "./collection_money.ts";
import { runFsck } from "./fsck_run.ts";
import { LIMITS } from "./limits.ts";
import type { LogFile } from "./log_file.ts";
import type { SettingValues } from "./settings.ts";
import type { HeldRight } from "./write_right.ts";

export interface CareParts {
  cache: string;
  /** 32 hexadecimal digits. */
  fileSystem: string;
  filesystem: FilesystemPort;
  store: ObjectStore;
  compute: ComputePort;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  engine: Engine;
  right: Promise<HeldRight>;
  values: SettingValues;
  log: LogFile;
}

export class Care {
  readonly #parts: CareParts;
  readonly #collector: GarbageCollector;
  readonly #ending = new AbortController();
  #cancelTimer: () => void;
  /** Monotonic milliseconds. */
  #dueMs = systemClock.monotonicMs() + LIMITS.FIRST_COLLECTION_MS;

  constructor(parts: CareParts) {
    this.#parts = parts;
    const { filesystem, store, compute, engine, right, values, fileSystem } = parts;
    const log = (
      level: "debug" | "info" | "warn" | "error",
      message: string,
      fields?: Record<string, unknown>,
    ) => {
      const more = fields === undefined ? "" : ` ${JSON.stringify(fields)}`;
      if (level !== "debug") parts.log.write(level, `collection: ${message}${more}`);
    };
    const shared = { filesystem, store, random: systemRandom, log };
    this.#collector = new GarbageCollector({
      ...shared,
      clock: systemClock,
      watch: new ClockWatch(systemClock, () => Deno.osUptime() * 1000),
      repacker: new Repacker({ ...shared, compute, fileSystem: fromHex(fileSystem) }),
      checkLease: async (signal) => await (await untilAborted(right, signal)).checkToDelete(signal),
      shippedHistory: (signal) => this.#shippedHistory(signal),
      superseded: (own, options) => this.#superseded(own, options),
      uploading: async () => (await engine.status()).upload.packsUnderWay > 0,
      ages: { trashMs: values["trash.keep"]!, graceMs: values["gc.grace"]! },
    });
    this.#cancelTimer = this.#lookLater();
  }

  /** Heads agree where this mount may write at all; recovery reaches back as far as the grace does. */
  async #shippedHistory(signal: AbortSignal): Promise<ShippedHistory> {
    const { shipper } = this.#parts.engine;
    if (shipper === undefined) return { kind: "unknown", reason: "no metadata is shipped" };
    await shipper.shipAll(signal);
    const head = shipper.head?.sequence ?? 0;
    if (head === 0) return { kind: "unknown", reason: "the bucket holds no metadata yet" };
    return { kind: "shipped", head, oldestRecoveryPoint: head };
  }

  async #superseded(
    own: StoredVersion[],
    options: { beforeMs: number; signal: AbortSignal },
  ): Promise<Superseded> {
    const { engine, right } = this.#parts;
    const { shipper } = engine;
    if (shipper?.head === undefined) return { groups: [], notes: ["no metadata is shipped"] };
    const { head, snapshot } = shipper;
    const { epoch } = await untilAborted(right, options.signal);
    return await supersededMetadata(own, { ...this.#parts, ...options, epoch, head, snapshot });
  }

  /** Rejects with UserError, StoreError, or the signal's reason. */
  async collect(
    options: { apply: boolean; force: boolean; signal: AbortSignal },
  ): Promise<GcResult> {
    const signal = AbortSignal.any([options.signal, this.#ending.signal]);
    const report = await this.#collector.collect({ ...options, signal });
    report.trashBytes = this.#read((database) => new TrashTable(database).bytesOnlyThere());
    return { report, money: moneyOf(report, this.#parts.values) };
  }

  /** Checks while the cache is served; what is damaged in the bucket is marked as lost. */
  fsck(
    options: {
      deep: DeepRequest | undefined;
      signal: AbortSignal;
      onProgress: (text: string) => void;
    },
  ): Promise<FsckReport> {
    const { cache, store, secrets, filesystem } = this.#parts;
    const signal = AbortSignal.any([options.signal, this.#ending.signal]);
    return this.#read((database) =>
      runFsck({
        ...options,
        signal,
        cache,
        database,
        store,
        secrets,
        mounted: true,
        repair: false,
        markLost: (damage) => filesystem.call("markLost", damage),
      })
    );
  }

  #read<T>(body: (database: MetadataDatabase) => T): T {
    const database = MetadataDatabase.open({ directory: this.#parts.cache, readOnly: true });
    const close = () => database.close({ clean: false });
    let result: T;
    try {
      result = body(database);
    } catch (error) {
      close();
      throw error;
    }
    if (result instanceof Promise) return result.finally(close) as T;
    close();
    return result;
  }

  #lookLater(): () => void {
    return systemClock.after(LIMITS.COLLECTION_LOOK_MS, () => {
      this.#collectWhenIdle().finally(() => {
        if (!this.#ending.signal.aborted) this.#cancelTimer = this.#lookLater();
      });
    });
  }

  /** Never rejects. */
  async #collectWhenIdle(): Promise<void> {
    const { engine, log, values } = this.#parts;
    const { signal } = this.#ending;
    if (systemClock.monotonicMs() < this.#dueMs) return;
    try {
      const { upload, recall, trouble, waiting } = await engine.status();
      const busy = upload.filesUnderWay + upload.packsUnderWay + recall.fetching + recall.waiting;
      if (busy > 0 || trouble !== undefined || waiting.length > 0) return;
      this.#dueMs = systemClock.monotonicMs() + values["gc.every"]!;
      const { report } = await this.collect({ apply: true, force: false, signal });
      const all = Object.values(report.deleted) as Amount[];
      const objects = all.reduce((sum, each) => sum + each.objects, 0);
      const bytes = all.reduce((sum, each) => sum + each.bytes, 0);
      log.info(`collected garbage: ${objects} objects, ${bytes} bytes`);
      if (report.refused !== undefined) {
        log.warn(`garbage is not collected: ${report.refused}; see zero gc`);
      }
    } catch (error) {
      if (signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      log.warn(`garbage is not collected: ${message}`);
      if (!(error instanceof UserError)) {
        this.#dueMs = systemClock.monotonicMs() + LIMITS.COLLECTION_AGAIN_MS;
      }
    }
  }

  /** Aborts what is under way, and begins nothing more. */
  stop(): void {
    this.#ending.abort(new DOMException("the mount ends", "AbortError"));
    this.#cancelTimer();
  }
}
