/**
 * Follows the metadata that another mount ships: looks at the series once in a while, checks the chain of
 * hashes, and hands complete states on, in order. Owns what was read and cannot be shown yet. Reads only:
 * it takes no lease, and writes nothing to the bucket.
 */
import type { MetadataRecord } from "../domain/metadata_rows.ts";
import { decodeRecord, type RawRecord, readRecords } from "../format/metadata_record_reader.ts";
import type { Secrets } from "../format/secrets.ts";
import type { MetadataHead } from "../metadata/change_log.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import type { Clock } from "../runtime/clock.ts";
import { describe, type Log } from "./context.ts";
import { placeBefore } from "./metadata_head.ts";
import {
  type ChainLink,
  claimBases,
  followChain,
  listMetadata,
  readLinks,
} from "./metadata_series.ts";
import { Wakeup } from "./wakeup.ts";

export interface FollowReport {
  /** Time of the last state that is shown, by the writer's clock; undefined: that of the creation. */
  pointMs: number | undefined;
  /** When the bucket last answered, wall clock; undefined: not yet in this mount. */
  lookedMs: number | undefined;
  /** Objects that were shown in this mount, and those that are in the bucket and not shown yet. */
  shown: number;
  waiting: number;
  /** Why it does not go on. */
  trouble: string | undefined;
}

export interface FollowedState {
  /** Each key once. */
  records: MetadataRecord[];
  head: MetadataHead;
  pointMs: number;
}

export interface FollowerOptions {
  store: ObjectStore;
  /** 32 hexadecimal digits. */
  fileSystem: string;
  /** Of an encrypted file system. */
  secrets?: Secrets;
  head: MetadataHead;
  pointMs: number | undefined;
  clock: Clock;
  intervalMs: number;
  /** Shows a state. */
  show: (state: FollowedState) => Promise<void>;
  log: Log;
}

/** Objects that are read before what is complete is shown; more only where one state has more. */
const BATCH_OBJECTS = 16;
/** Looks after which objects that follow from nothing are no late listing any more. */
const PATIENT_LOOKS = 3;

export class MetadataFollower {
  readonly #options: FollowerOptions;
  readonly #ending = new AbortController();
  readonly #links = new Map<string, ChainLink>();
  #head: MetadataHead;
  #looking: Promise<void> | undefined;
  readonly #wakeup: Wakeup;
  #unconnectedLooks = 0;
  #report: FollowReport;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#head = options.head;
    this.#wakeup = new Wakeup(options.clock);
    const { pointMs } = options;
    this.#report = { pointMs, lookedMs: undefined, shown: 0, waiting: 0, trouble: undefined };
  }

  get report(): FollowReport {
    return { ...this.#report };
  }

  /** Looks now, and from then on every `intervalMs`. */
  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#ending.abort(new DOMException("the mount ends", "AbortError"));
  }

  /** Something that is shown is gone from the bucket: looks soon, also where a look is under way. */
  hurry(): void {
    this.#wakeup.call();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { intervalMs } = this.#options;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await this.look();
      await this.#wakeup.wait(intervalMs, signal);
    }
  }

  /** Shows whatever is new. Never rejects; what goes wrong is in the report. */
  look(): Promise<void> {
    return this.#looking ??= this.#look().finally(() => this.#looking = undefined);
  }

  async #look(): Promise<void> {
    const { log, clock } = this.#options;
    try {
      while (await this.#step());
      this.#report.lookedMs = clock.wallMs();
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      if (this.#report.trouble === undefined) {
        log("warn", "the other mount cannot be followed", { error: describe(error) });
      }
      this.#report.trouble = error instanceof Error ? error.message : String(error);
    }
  }

  /** Reads and shows some of what is new. True where more may be there. */
  async #step(): Promise<boolean> {
    const { store, fileSystem, secrets } = this.#options;
    const { signal } = this.#ending;
    const listed = (await listMetadata(store, { signal, startAfter: placeBefore(this.#head) }))
      .filter(({ kind, key, epoch, last }) =>
        kind === "changes" && key !== this.#head.key &&
        (epoch > this.#head.epoch ||
          (epoch === this.#head.epoch && last >= this.#head.sequence))
      ).sort((a, b) => a.epoch - b.epoch || a.first - b.first || a.last - b.last);
    const there = new Set(listed.map(({ key }) => key));
    for (const key of this.#links.keys()) if (!there.has(key)) this.#links.delete(key);
    const fresh = listed.filter(({ key }) => !this.#links.has(key));
    const links = await readLinks(store, fresh.slice(0, BATCH_OBJECTS), {
      fileSystem,
      secrets,
      signal,
    });
    for (const link of links) this.#links.set(link.listed.key, link);
    this.#report.waiting = listed.length;
    if (listed.length === 0) {
      this.#settled();
      return false;
    }
    const shown = await this.#showComplete(await this.#chain());
    if (fresh.length > BATCH_OBJECTS) return true;
    // What was found behind the state that is shown now may be complete, too.
    if (shown > 0) return true;
    this.#judge();
    return false;
  }

  async #chain(): Promise<ChainLink[]> {
    const { store } = this.#options;
    const { signal } = this.#ending;
    const claims = await claimBases(store, { after: this.#head.epoch, signal });
    const chain = followChain(this.#head.hash, { links: [...this.#links.values()], claims });
    const restart = chain.findIndex(({ object }) => object.restart);
    return restart < 0 ? chain : chain.slice(0, restart);
  }

  /** Shows the states that are complete one after another. How many objects that were. */
  async #showComplete(chain: ChainLink[]): Promise<number> {
    let shown = 0;
    for (let at = 0; at < chain.length; at++) {
      if (!chain[at].object.complete) continue;
      const state = chain.slice(shown, at + 1);
      const { listed, hash, object } = chain[at];
      const head = { key: listed.key, hash, epoch: object.epoch, sequence: object.last + 1 };
      const records = newest(state.map((link) => link.object.payload));
      await this.#options.show({ records, head, pointMs: object.timeMs });
      this.#head = head;
      this.#report.pointMs = object.timeMs;
      this.#report.shown += state.length;
      this.#report.waiting -= state.length;
      for (const link of state) this.#links.delete(link.listed.key);
      shown = at + 1;
    }
    if (shown > 0) this.#settled();
    return shown;
  }

  #settled(): void {
    this.#unconnectedLooks = 0;
    this.#report.trouble = undefined;
  }

  /** There are newer objects, and none can be shown: the writer is in the middle, or we have lost it. */
  #judge(): void {
    if (++this.#unconnectedLooks < PATIENT_LOOKS) return;
    this.#report.trouble =
      `${this.#links.size} newer objects of metadata do not follow from what is shown; ` +
      "unmount and mount again to begin with the newest state";
  }
}

/** Of several records of a key, the last one counts. Throws FormatError. */
function newest(payloads: Uint8Array[]): MetadataRecord[] {
  const records = new Map<string, RawRecord>();
  for (const payload of payloads) {
    for (const record of readRecords(payload)) records.set(`${record.table} ${record.key}`, record);
  }
  return [...records.values()].map(decodeRecord);
}
