/**
 * The engine: hears what the filesystem isolate tells, lets uploader, recaller and evictor work, and
 * answers what commands ask. Never changes state itself. Everything it does ends with `stop`.
 */
import { unreachable } from "../domain/errors.ts";
import type { FilesystemPort } from "../filesystem/port.ts";
import type { FilesystemEvent } from "../filesystem/protocol.ts";
import type { Secrets } from "../format/secrets.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { fromHex, type Random } from "../runtime/random.ts";
import { ActivePolicy } from "./active_policy.ts";
import type { ComputePort } from "./compute_port.ts";
import { describe, type Log, type Tiering } from "./context.ts";
import { builtInPolicy } from "./default_policy.ts";
import { composeStatus, type EngineStatus, type EngineTrouble } from "./engine_status.ts";
import { Evictor } from "./evictor.ts";
import {
  type CountProgress,
  evictFiles,
  type EvictResult,
  recallFiles,
  type RecallResult,
} from "./file_commands.ts";
import { MetadataShipper, type ShipperOptions } from "./metadata_shipper.ts";
import { PackVerifier } from "./pack_verifier.ts";
import { Recaller } from "./recaller.ts";
import { ENGINE_LIMITS, type EngineSettings } from "./settings.ts";
import { Sorter } from "./sorter.ts";
import { type SyncOptions, type SyncResult, SyncRun } from "./sync_run.ts";
import { Uploader } from "./uploader.ts";

export interface EngineOptions {
  filesystem: FilesystemPort;
  store: ObjectStore;
  /** Closed by the caller, after `stop`. */
  compute: ComputePort;
  clock: Clock;
  random: Random;
  settings: EngineSettings;
  /** By default the built-in one. */
  policy?: ActivePolicy;
  log: Log;
  /** 32 hexadecimal digits. */
  fileSystemId: string;
  /** Of an encrypted file system; `compute` has the same. */
  secrets?: Secrets;
  /** Bytes. */
  chunkSize: number;
  /**
   * Uploads wait until it resolves; if it rejects, nothing is uploaded. `Lease.settled`, or the
   * reason why this mount may only read.
   */
  mayWrite: Promise<void>;
  /** Another mount's metadata is followed: told where it has deleted what is shown here. */
  onMissing?: () => void;
  /** How metadata is shipped; undefined: it is not (tests of other parts). */
  metadata?: ShipperOptions;
}

export class Engine {
  readonly #tiering: Tiering;
  readonly #stopping = new AbortController();
  readonly #sorter: Sorter;
  readonly #uploader: Uploader;
  readonly #recaller: Recaller;
  readonly #evictor: Evictor;
  readonly #verifier: PackVerifier;
  /** Undefined where no metadata is shipped. */
  readonly shipper: MetadataShipper | undefined;
  #unsubscribe: (() => void) | undefined;
  #working: Promise<unknown> = Promise.resolve();
  #leasePending = true;
  #leaseTrouble: EngineTrouble | undefined;

  constructor(options: EngineOptions) {
    const { filesystem, store, compute, clock, random, settings, log, chunkSize } = options;
    this.#tiering = {
      filesystem,
      store,
      compute,
      clock,
      random,
      settings,
      policy: options.policy ?? new ActivePolicy(builtInPolicy()),
      log,
      chunkSize,
      fileSystem: fromHex(options.fileSystemId),
      secrets: options.secrets,
      signal: this.#stopping.signal,
      onMissing: options.onMissing,
    };
    this.#sorter = new Sorter(this.#tiering);
    this.#uploader = new Uploader(this.#tiering, {
      allowed: options.mayWrite,
      sorter: this.#sorter,
    });
    this.#recaller = new Recaller(this.#tiering);
    this.#verifier = new PackVerifier(this.#tiering);
    this.#evictor = new Evictor(this.#tiering, {
      uploader: this.#uploader,
      verifier: this.#verifier,
      sorter: this.#sorter,
    });
    if (options.metadata !== undefined) {
      this.shipper = new MetadataShipper(this.#tiering, options.metadata);
    }
    this.#uploader.onConfirmed = () => this.#evictor.confirmed();
    this.#uploader.trouble.onChange = (trouble) => {
      if (trouble === undefined) log("info", "the store works again");
      else log("warn", "the store fails; uploads are tried again for ever", { ...trouble });
    };
    options.mayWrite.then(() => this.#leasePending = false, (error) => {
      this.#leasePending = false;
      this.#leaseTrouble = { kind: "lease", message: describe(error), sinceMs: clock.wallMs() };
    });
  }

  /** Begins to work. Recalls are served at once. */
  start(): void {
    this.#unsubscribe = this.#tiering.filesystem.subscribe((event) => this.#hear(event));
    this.#sorter.policyChanged();
    this.#working = Promise.all([
      this.#sorter.run(),
      this.#uploader.run(),
      this.#evictor.run(),
      this.shipper?.run(),
    ]);
  }

  /** Takes no more work and aborts what is under way; resolves within 5 seconds. Nothing is lost by it. */
  async stop(): Promise<void> {
    const { clock, log } = this.#tiering;
    this.#unsubscribe?.();
    this.#stopping.abort(new DOMException("the engine stops", "AbortError"));
    this.#recaller.stop();
    const timeout = new AbortController();
    const late = sleep(clock, ENGINE_LIMITS.STOP_MS, timeout.signal).then(() => {
      log("warn", "work was still under way when the engine stopped");
    }, () => {});
    await Promise.race([this.#working, late]);
    timeout.abort();
  }

  /**
   * Uploads what is dirty now, or these files, and then the metadata, and waits until it is safe. Rejects
   * with the signal's reason, or with the reason why nothing may be uploaded.
   */
  async sync(options: SyncOptions): Promise<SyncResult> {
    const signal = this.#with(options.signal);
    const result = await this.#upload({ ...options, signal });
    await options.onUploaded?.();
    if (this.shipper !== undefined) await this.#ship(this.shipper, { ...options, signal });
    return result;
  }

  /** Ships metadata, and tells the caller now and then why it takes so long. */
  async #ship(shipper: MetadataShipper, { signal, onProgress }: SyncOptions): Promise<void> {
    const { clock } = this.#tiering;
    let cancel = () => {};
    const tell = () => {
      onProgress?.({ saved: 0, waiting: 0, trouble: shipper.report().trouble });
      cancel = clock.after(ENGINE_LIMITS.PROGRESS_MS, tell);
    };
    cancel = clock.after(ENGINE_LIMITS.PROGRESS_MS, tell);
    try {
      await shipper.shipAll(signal);
    } finally {
      cancel();
    }
  }

  async #upload(options: SyncOptions): Promise<SyncResult> {
    this.#uploader.trouble.hurry();
    this.shipper?.hurry();
    // What a policy keeps out of the bucket must be known before anybody waits for the rest.
    await this.#sorter.settle();
    const parts = { uploader: this.#uploader, sorter: this.#sorter };
    return await new SyncRun(this.#tiering, parts, options).run();
  }

  /** Uploads these files where they are dirty, then drops their bytes. `force`: although pinned. */
  async evictFiles(
    inodes: number[],
    options: { force?: boolean; signal?: AbortSignal; onProgress?: CountProgress } = {},
  ): Promise<EvictResult> {
    const signal = this.#with(options.signal);
    const dirty: number[] = [];
    for (let at = 0; at < inodes.length; at += ENGINE_LIMITS.EVICT_BATCH_FILES) {
      const batch = inodes.slice(at, at + ENGINE_LIMITS.EVICT_BATCH_FILES);
      const asked = batch.map((inode) => this.#tiering.filesystem.call("residency", { inode }));
      for (const file of await Promise.all(asked)) if (file?.dirty) dirty.push(file.inode);
    }
    if (dirty.length > 0) await this.#upload({ inodes: dirty, signal });
    const { onProgress, force = false } = options;
    const verifier = this.#verifier;
    return await evictFiles(this.#tiering, { inodes, force, verifier, signal, onProgress });
  }

  /** Brings these files back, and waits until they are resident. `onDone`: files done so far. */
  recallFiles(
    batches: Iterable<number[]> | AsyncIterable<number[]>,
    options: { signal?: AbortSignal; onDone?: (done: number) => void } = {},
  ): Promise<RecallResult> {
    const signal = this.#with(options.signal);
    return recallFiles(this.#tiering, { batches, signal, onDone: options.onDone });
  }

  /** Exact where it speaks of files and bytes; rejects when the filesystem isolate is gone. */
  async status(): Promise<EngineStatus> {
    const trouble = this.#uploader.trouble.current;
    return composeStatus({
      filesystem: await this.#tiering.filesystem.call("statistics", {}),
      upload: this.#uploader.report(),
      recall: this.#recaller.report(),
      eviction: this.#evictor.report(),
      verifyHeads: this.#verifier.heads,
      uploadTrouble: trouble,
      leaseTrouble: this.#leaseTrouble,
      leasePending: this.#leasePending,
      metadata: await this.shipper?.current(),
    });
  }

  /** No file is uploaded of the engine's own accord until `resumeUploads`; a sync goes on. */
  pauseUploads(): void {
    this.#uploader.pause();
  }

  resumeUploads(): void {
    this.#uploader.resume();
  }

  /** New settings, and another policy, from now on. */
  configure(settings: EngineSettings, policy?: ActivePolicy): void {
    this.#tiering.settings = settings;
    if (policy !== undefined) {
      this.#tiering.policy = policy;
      this.#sorter.policyChanged();
    }
    this.#evictor.policyChanged();
    this.#uploader.configure();
  }

  #hear(event: FilesystemEvent): void {
    switch (event.event) {
      case "dirty":
        return this.#uploader.look();
      case "changed":
        return this.#uploader.changed(event.inode);
      case "unsorted":
        return this.#sorter.look();
      case "recall":
        return this.#recaller.want(event);
      case "recallUrgent":
        return this.#recaller.hurry(event);
      case "recallCancelled":
        return this.#recaller.cancel(event);
      case "pressure":
        return this.#evictor.pressure(event.needed);
      case "ready":
      case "readOnly":
      case "scanner":
      case "defect":
      case "ended":
        // The daemon's business.
        return;
      default:
        unreachable(event);
    }
  }

  /** Aborts with either. */
  #with(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined
      ? this.#stopping.signal
      : AbortSignal.any([signal, this.#stopping.signal]);
  }
}
