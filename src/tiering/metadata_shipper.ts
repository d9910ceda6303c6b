/**
 * Ships metadata to the bucket, at most `metadata.interval` or 5,000 keys behind. Owns the objects on
 * their way; what has been shipped is the filesystem isolate's to remember. An object whose fate is not
 * known is sent again with the very same bytes before anything else, so that the chain never forks.
 * Asks the bucket nothing while nothing changes.
 */
import { sleep } from "../runtime/clock.ts";
import { fromHex, hex } from "../runtime/random.ts";
import type { MetadataHead, ShippingState } from "../metadata/change_log.ts";
import { describe, type Tiering, untilAborted } from "./context.ts";
import type { ChangesObject, ExportHeader, MetadataExportPort } from "./metadata_exporter.ts";
import { METADATA_LIMITS as LIMITS } from "./metadata_limits.ts";
import { MetadataSender, type WritingRight } from "./metadata_sender.ts";
import { takeSnapshot } from "./metadata_snapshot.ts";
import { StoreTrouble, type TroubleReport } from "./store_trouble.ts";

export interface MetadataReport {
  /** Rows that the bucket does not know as they are now, counted up to 5,000. */
  behindKeys: number;
  /** Wall clock, ms, since when there have been such rows; undefined while there are none. */
  behindSinceMs: number | undefined;
  /** Wall clock, ms, of the last object that was confirmed in this mount. */
  lastShippedMs: number | undefined;
  objects: number;
  bytes: number;
  snapshots: number;
  /** Why it does not go on. */
  trouble: string | undefined;
}

export interface ShipperOptions {
  exporter: MetadataExportPort;
  /** Resolves when this mount may write; rejects when it never may. */
  right: Promise<WritingRight>;
  /** `metadata.interval`. */
  intervalMs: number;
  /** Bytes of changes before a first snapshot is worth it; METADATA_LIMITS.SNAPSHOT_BYTES unless set. */
  snapshotBytes?: number;
}

interface InFlight {
  objects: ChangesObject[];
  header: ExportHeader;
  restart: boolean;
  readingSequence: number;
}

/** Work that is done one after the other. */
class Line {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(action);
    this.#last = result.catch(() => {}); // told to whoever asked
    return result;
  }
}

export class MetadataShipper {
  readonly #tiering: Tiering;
  readonly #options: ShipperOptions;
  readonly #trouble: StoreTrouble;
  #sender: MetadataSender | undefined;
  #right: WritingRight | undefined;
  #inFlight: InFlight | undefined;
  #state: ShippingState | undefined;
  /** Objects are read and sent one group at a time. */
  readonly #shipping = new Line();
  /** The log is not given up while it is read: what went would look shipped. Never waits for the bucket. */
  readonly #reading = new Line();
  /** Snapshots are taken one after the other: one that is under way serves everybody who wants one. */
  readonly #snapshotting = new Line();
  #behindKeys = 0;
  #behindSinceMs: number | undefined;
  #behindSinceMonotonicMs = 0;
  #lastShippedMs: number | undefined;
  #snapshots = 0;
  #failure: string | undefined;
  /** Told once, when somebody else has taken over the bucket. */
  onLost: (reason: string) => void = () => {};

  constructor(tiering: Tiering, options: ShipperOptions) {
    this.#tiering = tiering;
    this.#options = options;
    this.#trouble = new StoreTrouble(tiering);
    options.right.catch(() => {}); // whoever may write awaits it
  }

  /** Works until the engine's signal aborts. Never rejects. */
  async run(): Promise<void> {
    await Promise.all([
      this.#repeat(LIMITS.LOOK_MS, async () => {
        if (await this.#due()) await this.shipAll();
        if (this.#snapshotDue()) await this.#snapshot();
      }),
      // On its own: shipping may wait for the bucket for weeks.
      this.#repeat(LIMITS.BOUND_MS, () => this.#boundLog()),
    ]);
  }

  async #repeat(everyMs: number, action: () => Promise<void>): Promise<void> {
    const { signal, log, clock } = this.#tiering;
    while (!signal.aborted) {
      await sleep(clock, everyMs, signal).catch(() => {}); // aborted: the loop ends
      if (signal.aborted) return;
      try {
        await action();
      } catch (error) {
        if (signal.aborted) return;
        if (this.#failure === undefined) {
          log("error", "metadata could not be shipped", { error: describe(error) });
        }
        this.#failure = describe(error);
      }
    }
  }

  /**
   * Ships everything that has changed so far, and a snapshot where nothing could be rebuilt without.
   * Rejects with the signal's reason; what is under way goes on then.
   */
  async shipAll(signal: AbortSignal = this.#tiering.signal): Promise<void> {
    await untilAborted(this.#shipping.run(() => this.#shipChanges()), signal);
    if (this.#state?.snapshotDue) await untilAborted(this.#snapshot(), signal);
    this.#failure = undefined;
    await this.#look();
  }

  /** True where the bucket lacks something. Asks locally only. */
  async behind(): Promise<boolean> {
    return this.#inFlight !== undefined || await this.#options.exporter.unshipped(1) > 0;
  }

  /** The report, counted anew: shipping may have waited for long. */
  async current(): Promise<MetadataReport> {
    try {
      await this.#look();
    } catch (error) {
      // What was counted last still tells more than no status at all.
      this.#failure = describe(error);
    }
    return this.report();
  }

  report(): MetadataReport {
    return {
      behindKeys: this.#behindKeys,
      behindSinceMs: this.#behindSinceMs,
      lastShippedMs: this.#lastShippedMs,
      objects: this.#sender?.objects ?? 0,
      bytes: this.#sender?.bytes ?? 0,
      snapshots: this.#snapshots,
      trouble: this.trouble?.message ?? this.#failure,
    };
  }

  get trouble(): TroubleReport | undefined {
    return this.#trouble.current;
  }

  /** Asks a store in trouble now, not after its pause. */
  hurry(): void {
    this.#trouble.hurry();
  }

  /** The head as the filesystem isolate last told it, and whether it is known at all. */
  get head(): MetadataHead | undefined {
    return this.#state?.head;
  }

  /** Key of the last snapshot that this cache has taken; undefined where there is none. */
  get snapshot(): string | undefined {
    return this.#state?.snapshot;
  }

  async #look(): Promise<void> {
    const { clock } = this.#tiering;
    this.#behindKeys = await this.#options.exporter.unshipped(LIMITS.OBJECT_KEYS);
    if (this.#behindKeys === 0) {
      this.#behindSinceMs = undefined;
    } else if (this.#behindSinceMs === undefined) {
      this.#behindSinceMs = clock.wallMs();
      this.#behindSinceMonotonicMs = clock.monotonicMs();
    }
  }

  async #due(): Promise<boolean> {
    await this.#look();
    if (this.#behindKeys === 0) return this.#inFlight !== undefined;
    if (this.#behindKeys >= LIMITS.OBJECT_KEYS) return true;
    const behindMs = this.#tiering.clock.monotonicMs() - this.#behindSinceMonotonicMs;
    // It may have been behind since the look before.
    return behindMs + LIMITS.LOOK_MS >= this.#options.intervalMs;
  }

  /** A log that has grown for weeks without a bucket costs more than a snapshot. */
  async #boundLog(): Promise<void> {
    if (await this.#options.exporter.unshipped(LIMITS.LOG_KEYS) < LIMITS.LOG_KEYS) return;
    await this.#reading.run(() => this.#tiering.filesystem.call("metadataRestart", {}));
  }

  #snapshotDue(): boolean {
    if (this.#state === undefined) return false;
    const { snapshotDue, snapshotBytes, changesBytes } = this.#state;
    const least = this.#options.snapshotBytes ?? LIMITS.SNAPSHOT_BYTES;
    return snapshotDue || changesBytes > Math.max(least, snapshotBytes / 2);
  }

  async #shipChanges(): Promise<MetadataHead> {
    const { signal } = this.#tiering;
    if (this.#right === undefined) {
      const { store, random } = this.#tiering;
      const right = await untilAborted(this.#options.right, signal);
      await this.#adopt(right);
      this.#right = { epoch: right.epoch, check: () => this.#check(right) };
      const trouble = this.#trouble;
      this.#sender = new MetadataSender({ store, random, right: this.#right, trouble, signal });
    }
    for (;;) {
      // What an earlier try has left was read before; there may be more by now.
      const left = this.#inFlight !== undefined;
      if (!left && !await this.#reading.run(() => this.#read())) return this.#state!.head;
      if (await this.#send() && !left) return this.#state!.head;
    }
  }

  /** Objects that an earlier mount was sending when it crashed, and that have arrived, are ours. */
  async #adopt({ found }: WritingRight): Promise<void> {
    if (found === undefined || found.adoptedBytes === 0) return;
    const { head, adoptedBytes: bytes } = found;
    const restarted = false;
    await this.#tiering.filesystem.call("metadataShipped", {
      head,
      range: undefined,
      readingSequence: 0,
      bytes,
      restarted,
    });
  }

  async #check(right: WritingRight): Promise<void> {
    try {
      await right.check(this.#tiering.signal);
    } catch (error) {
      if (error instanceof Error && error.name === "UserError") this.onLost(error.message);
      throw error;
    }
  }

  #header(options: { state: ShippingState; readingSequence: number }): ExportHeader {
    return {
      fileSystem: this.#tiering.fileSystem,
      epoch: this.#right!.epoch,
      first: options.state.head.sequence,
      last: options.readingSequence - 1,
    };
  }

  /** Reads what has changed. False where nothing has. */
  async #read(): Promise<boolean> {
    const { filesystem } = this.#tiering;
    const reading = await filesystem.call("metadataReading", {});
    if (reading === undefined) {
      throw new Error("the mount is read-only; its metadata stays as it is");
    }
    const { state, readingSequence } = reading;
    this.#state = state;
    const header = this.#header(reading);
    const previous = fromHex(state.head.hash);
    const restart = state.restart;
    const objects = await this.#options.exporter.changes({ ...header, previous, restart });
    if (objects.length === 0) return false;
    const hashes = objects.map(({ hash }) => hex(hash));
    if (!await filesystem.call("metadataSending", { hashes })) {
      throw new Error("the metadata could not be made durable here, so it is not sent");
    }
    this.#inFlight = { objects, header, restart, readingSequence };
    return true;
  }

  /** Sends what was read. True where everything that had changed is in the bucket then. */
  async #send(): Promise<boolean> {
    const { filesystem, clock } = this.#tiering;
    const { objects, header, readingSequence } = this.#inFlight!;
    const { epoch, first, last } = header;
    for (;;) {
      const object = objects[0];
      const key = await this.#sender!.put({ kind: "changes", epoch, first, last }, object.bytes);
      const sequence = object.complete ? readingSequence : this.#state!.head.sequence;
      const head = { key, hash: hex(object.hash), epoch, sequence };
      const restarted = this.#inFlight!.restart;
      await filesystem.call("metadataShipped", {
        head,
        range: object.range,
        readingSequence,
        bytes: object.bytes.length,
        restarted,
      });
      this.#inFlight!.restart = false;
      this.#lastShippedMs = clock.wallMs();
      this.#state!.head = head;
      this.#state!.changesBytes += object.bytes.length;
      objects.shift();
      if (objects.length > 0) continue;
      this.#inFlight = undefined;
      return object.complete;
    }
  }

  /** Takes a snapshot where one is due, and another one where the log was given up in the meantime. */
  #snapshot(): Promise<void> {
    return this.#snapshotting.run(async () => {
      while (this.#snapshotDue() && !await this.#trySnapshot()) {
        this.#tiering.log(
          "info",
          "the log was given up while a snapshot was taken; it begins anew",
        );
      }
    });
  }

  async #trySnapshot(): Promise<boolean> {
    const { filesystem, log, clock, random, secrets } = this.#tiering;
    const startedMs = clock.monotonicMs();
    const { state, header } = await this.#shipping.run(async () => {
      await this.#shipChanges();
      const state = { ...this.#state! };
      return { state, header: this.#header({ state, readingSequence: state.head.sequence + 1 }) };
    });
    const result = await takeSnapshot({
      sender: this.#sender!,
      exporter: this.#options.exporter,
      header,
      secrets: secrets && { secrets, random },
      state,
      timeMs: Math.floor(clock.wallMs()),
      catchUp: async () => {
        const head = await this.#shipping.run(() => this.#shipChanges());
        return this.#state!.restarts === state.restarts ? head : undefined;
      },
    });
    if (result === undefined) return false;
    const { key, bytes } = result;
    await filesystem.call("metadataSnapshot", { key, bytes, restarts: state.restarts });
    this.#snapshots++;
    // Due again where the log was given up since, as the next reading of changes tells.
    Object.assign(this.#state!, {
      snapshot: key,
      snapshotBytes: bytes,
      changesBytes: 0,
      snapshotDue: false,
    });
    log("info", "took a snapshot of the metadata", {
      segments: result.segments,
      bytes: result.bytes,
      sentBytes: result.sentBytes,
      milliseconds: Math.round(clock.monotonicMs() - startedMs),
    });
    return true;
  }
}
