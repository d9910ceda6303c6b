/**
 * Brings dirty files into the bucket at its own pace. Owns the tries under way and when the next one
 * is due; keeps everything local until it is confirmed, retries for ever, never drops anything.
 * State changes are asked of the filesystem isolate, with the generation that was read.
 */
import type { DirtyFile } from "../filesystem/protocol.ts";
import { BoundedQueue } from "../runtime/bounded_queue.ts";
import { sleep } from "../runtime/clock.ts";
import { Gathered } from "../runtime/gathered.ts";
import { Budget } from "./budget.ts";
import { describe, type Tiering, untilAborted } from "./context.ts";
import { anythingDirty, dirtyPages } from "./dirty_pages.ts";
import type { UploaderReport } from "./engine_status.ts";
import { FileJob, type FileOutcome, type Saves } from "./file_job.ts";
import { PackBuilder } from "./pack_builder.ts";
import { PackUploader } from "./pack_uploader.ts";
import { ProgressMeter } from "./progress_meter.ts";
import { ENGINE_LIMITS } from "./settings.ts";
import { Resaves } from "./resaves.ts";
import type { Sorter } from "./sorter.ts";
import { StoreTrouble } from "./store_trouble.ts";
import {
  firstSeen,
  snapshotIsDue,
  type Tries,
  triesAfter,
  waitBeforeUpload,
} from "./upload_schedule.ts";
import { Wakeup } from "./wakeup.ts";

export class Uploader {
  readonly #tiering: Tiering;
  readonly #allowed: Promise<void>;
  readonly #sorter: Sorter;
  readonly trouble: StoreTrouble;
  readonly #packs: PackUploader;
  readonly #builder: PackBuilder;
  readonly #memory: Budget;
  readonly #saves: Saves;
  /** Files that wait to be read. Those of several chunks take turns, a page of chunks each. */
  readonly #queues = {
    small: new BoundedQueue<FileJob>(ENGINE_LIMITS.FEEDING_FILES),
    large: new BoundedQueue<FileJob>(ENGINE_LIMITS.WAITING_FILES),
  };
  readonly #waiting = new Budget(ENGINE_LIMITS.WAITING_FILES);
  readonly #jobs = new Map<number, FileJob>();
  readonly #tries = new Map<number, Tries>();
  readonly #resaves = new Resaves();
  readonly #wakeup: Wakeup;
  readonly #progress: ProgressMeter;
  /** Files in each line or being read. */
  readonly #feeding = { small: 0, large: 0 };
  /** Who is still going through lists of files: packs are not closed early meanwhile. */
  #listing = 0;
  #urgentJobs = 0;
  #nextDueMs = Infinity;
  #pressure = false;
  #paused = false;
  #saved = 0;
  /** Told after a file was saved or chunks were confirmed: space may be freed now. */
  onConfirmed: () => void = () => {};

  /** Nothing is sent before `allowed` resolves; if it rejects, nothing ever is. */
  constructor(tiering: Tiering, { allowed, sorter }: { allowed: Promise<void>; sorter: Sorter }) {
    this.#tiering = tiering;
    this.#allowed = allowed;
    this.#sorter = sorter;
    allowed.catch(() => {}); // told to those who ask for an upload
    this.trouble = new StoreTrouble(tiering);
    this.#packs = new PackUploader(tiering, this.trouble);
    this.#builder = new PackBuilder(tiering, this.#packs);
    this.#builder.onPackDone = (recorded) => {
      if (recorded) this.onConfirmed();
    };
    this.#memory = new Budget(tiering.settings.uploadMemoryBytes);
    // Memory held by a pack that waits for more chunks must not keep those chunks waiting.
    const letGo = () => this.#builder.closeIfStuck();
    this.#memory.onScarce = letGo;
    this.#waiting.onScarce = letGo;
    const most = ENGINE_LIMITS.SAVE_FILES;
    this.#saves = new Gathered((files) => tiering.filesystem.call("save", { files }), { most });
    this.#wakeup = new Wakeup(tiering.clock);
    this.#progress = new ProgressMeter(tiering.clock);
  }

  /** Works until the engine's signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { signal, log } = this.#tiering;
    try {
      await this.#whenAllowed();
    } catch (error) {
      if (!signal.aborted) log("error", "nothing will be uploaded", { error: describe(error) });
      return;
    }
    const feeders = Array.from({ length: ENGINE_LIMITS.FEEDING_FILES }, () => this.#feedSmall());
    feeders.push(this.#feedLarge());
    while (!signal.aborted) {
      const waitMs = await this.#passSafely();
      await this.#wakeup.wait(waitMs, signal);
      // Many small reasons to look again cost one look.
      await sleep(this.#tiering.clock, ENGINE_LIMITS.PASS_GAP_MS, signal).catch(() => {});
    }
    this.#queues.small.close();
    this.#queues.large.close();
    await Promise.all(feeders);
  }

  /** Something may be dirty, or closed. */
  look(): void {
    this.#wakeup.call();
  }

  /** A program writes to this file: what is not on its way yet is not sent. */
  changed(inode: number): void {
    const job = this.#jobs.get(inode);
    // Under pressure and for a sync each confirmed chunk counts, and the generations tell which do.
    if (job !== undefined && !job.urgent && !job.snapshot && !this.#pressure) job.abandon();
  }

  /** Space is short: chunks of everything that is dirty go up now, without quiet time. */
  setPressure(pressure: boolean): void {
    if (pressure === this.#pressure) return;
    this.#pressure = pressure;
    if (pressure) {
      // Copies are in the way, however long a store that fails would have kept them.
      for (const job of this.#jobs.values()) if (job.snapshot) job.abandon();
      this.look();
    }
    this.#closeIfIdle();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.look();
  }

  configure(): void {
    this.#builder.configure();
    this.#memory.resize(this.#tiering.settings.uploadMemoryBytes);
    this.look();
  }

  /**
   * Tries one file now, whatever the schedule says. `admitted` settles when there is room for the
   * next one, and never rejects; `outcome` rejects where nothing may be uploaded at all.
   */
  tryNow(inode: number): { admitted: Promise<void>; outcome: Promise<FileOutcome> } {
    const admitted = Promise.withResolvers<void>();
    return { admitted: admitted.promise, outcome: this.#tryNow(inode, admitted.resolve) };
  }

  async #tryNow(inode: number, admitted: () => void): Promise<FileOutcome> {
    try {
      await this.#whenAllowed();
      const joined = this.#jobs.get(inode);
      const job = joined ?? await this.#start(inode, { urgent: true, snapshot: false });
      if (!job.urgent) {
        job.urgent = true;
        this.#urgentJobs++;
      }
      this.#closeIfIdle();
      admitted();
      const outcome = await job.done;
      if (joined === undefined || outcome !== "saved") return outcome;
      // It was saved as it was when that try began, perhaps before the caller's last write.
      const again = await this.#tryNow(inode, admitted);
      return again === "gone" ? "saved" : again;
    } finally {
      admitted();
    }
  }

  /** Runs `list`, which calls `tryNow` for many files, so that these share packs. */
  async together<T>(list: () => Promise<T>): Promise<T> {
    this.#listing++;
    try {
      return await list();
    } finally {
      this.#listing--;
      this.#closeIfIdle();
    }
  }

  report(): UploaderReport {
    const { puts, heads, packs, bytes } = this.#packs.counts;
    return {
      filesUnderWay: this.#jobs.size,
      packsUnderWay: this.#builder.uploading,
      memoryBytes: this.#memory.used,
      peakMemoryBytes: this.#memory.peak,
      filesSaved: this.#saved,
      packsStored: packs,
      bytesStored: bytes,
      puts,
      heads,
      bytesPerSecond: this.#progress.perSecond,
      paused: this.#paused,
    };
  }

  #whenAllowed(): Promise<void> {
    return untilAborted(this.#allowed, this.#tiering.signal);
  }

  async #passSafely(): Promise<number> {
    try {
      return await this.together(() => this.#pass());
    } catch (error) {
      const { signal, log, settings } = this.#tiering;
      if (!signal.aborted) {
        log("error", "dirty files could not be looked through", { error: describe(error) });
      }
      return settings.uploadAfterMs;
    }
  }

  /** Starts a try of every file that is due. Answers when to look again, milliseconds. */
  async #pass(): Promise<number> {
    const { signal, clock, settings } = this.#tiering;
    const limit = ENGINE_LIMITS.DIRTY_PAGE_FILES;
    let dueMs = Infinity;
    let dirty = this.#jobs.size > 0;
    const stopped = () => this.#paused || signal.aborted;
    for await (const files of stopped() ? [] : dirtyPages(this.#tiering)) {
      dirty ||= files.length > 0;
      let started = 0;
      const due = new Map<number, { snapshot: boolean }>();
      for (const file of files) {
        if (this.#jobs.has(file.inode)) continue;
        const { waitMs, snapshot } = this.#when(file);
        if (waitMs > 0) dueMs = Math.min(dueMs, waitMs);
        else if (!snapshot || this.#admitsSnapshot(due)) due.set(file.inode, { snapshot });
      }
      // Files that a policy keeps out of the bucket are not listed any more from then on.
      for (const inode of await this.#sorter.uploadable([...due.keys()])) {
        await this.#start(inode, { urgent: false, ...due.get(inode)! });
        started++;
        if (stopped()) break;
      }
      const last = files.at(-1);
      if (stopped()) break;
      if (last === undefined || files.length < limit) continue;
      // They come in order of change: behind a page of files that are not quiet come only such.
      const quietMs = clock.wallMs() - last.changedMs;
      if (started === 0 && !this.#pressure && quietMs < settings.uploadAfterMs) break;
    }
    this.#nextDueMs = clock.monotonicMs() + dueMs;
    // What changes meanwhile again and again is in no page.
    dirty ||= !stopped() && await anythingDirty(this.#tiering);
    // While anything is dirty nobody tells of what becomes quiet.
    return Math.min(dueMs, dirty ? ENGINE_LIMITS.PASS_POLL_MS : ENGINE_LIMITS.PASS_IDLE_MS);
  }

  /** Snapshots hold copies on the disk: few at a time. */
  #admitsSnapshot(due: ReadonlyMap<number, { snapshot: boolean }>): boolean {
    const jobs = [...this.#jobs.values(), ...due.values()];
    return jobs.filter(({ snapshot }) => snapshot).length < ENGINE_LIMITS.SNAPSHOTS;
  }

  #when(file: DirtyFile): { waitMs: number; snapshot: boolean } {
    const { clock, settings } = this.#tiering;
    const tries = this.#tries.get(file.inode);
    const monotonicMs = clock.monotonicMs();
    const { uploadDeadlineMs: deadlineMs } = settings;
    // Everything is saved: the deadline runs from the next change on.
    if (tries?.snapshotGeneration === file.generation) tries.sinceMs = monotonicMs;
    const mode = {
      tries,
      wallMs: clock.wallMs(),
      monotonicMs,
      afterMs: settings.uploadAfterMs,
      deadlineMs,
      pressure: this.#pressure,
    };
    const quietMs = waitBeforeUpload(file, mode);
    // While space is short each confirmed file counts.
    const pauseMs = this.#pressure
      ? 0
      : this.#resaves.waitMs(file.inode, { nowMs: monotonicMs, deadlineMs });
    const waitMs = Math.max(quietMs, pauseMs);
    if (waitMs > 0 && tries === undefined) this.#remember(file.inode, firstSeen(monotonicMs));
    return { waitMs, snapshot: snapshotIsDue(file, mode) };
  }

  /** Puts a file in the line of those that are read. */
  async #start(
    inode: number,
    options: { urgent: boolean; snapshot: boolean },
  ): Promise<FileJob> {
    const { signal } = this.#tiering;
    const share = await this.#waiting.acquire(1, signal);
    const known = this.#jobs.get(inode);
    if (known !== undefined) {
      share.release();
      return known;
    }
    const job = new FileJob(inode, {
      tiering: this.#tiering,
      builder: this.#builder,
      memory: this.#memory,
      saves: this.#saves,
      ...options,
    });
    this.#jobs.set(inode, job);
    if (options.urgent) this.#urgentJobs++;
    this.#feeding.small++;
    job.done.then((outcome) => {
      share.release();
      this.#ended(job, outcome);
    });
    // Turned away only when the engine stops; then nobody is left to feed it.
    const taken = await this.#queues.small.put(job, signal).catch(() => false);
    if (!taken) job.abandon();
    return job;
  }

  async #feedSmall(): Promise<void> {
    const { small, large } = this.#queues;
    for (let job = await small.take(); job; job = await small.take()) {
      if (await job.feed("small") === "large") {
        this.#feeding.large++;
        // Has room for all that may wait; turned away only when the engine stops.
        if (!await large.put(job)) job.abandon();
      }
      this.#feeding.small--;
      this.#closeIfIdle();
    }
  }

  /** One at a time, so that chunks of a file lie together; in turns, so that none waits for a huge one. */
  async #feedLarge(): Promise<void> {
    const { large } = this.#queues;
    for (let job = await large.take(); job; job = await large.take()) {
      if (await job.feed("large") === "more" && await large.put(job)) continue;
      this.#feeding.large--;
      this.#closeIfIdle();
    }
  }

  #ended(job: FileJob, outcome: FileOutcome): void {
    if (this.#jobs.get(job.inode) === job) this.#jobs.delete(job.inode);
    if (job.urgent) this.#urgentJobs--;
    this.#progress.add(job.placedBytes);
    const { clock, settings } = this.#tiering;
    const tries = triesAfter(outcome, {
      tries: this.#tries.get(job.inode),
      monotonicMs: clock.monotonicMs(),
      afterMs: settings.uploadAfterMs,
      deadlineMs: settings.uploadDeadlineMs,
      progress: job.placedBytes > 0,
      generation: job.generation,
      takenMs: job.takenMs,
    });
    this.#remember(job.inode, tries);
    if (outcome === "saved") {
      this.#saved++;
      if (!job.snapshot) {
        this.#resaves.saved(job.inode, {
          nowMs: clock.monotonicMs(),
          deadlineMs: settings.uploadDeadlineMs,
        });
      }
      this.onConfirmed();
    } else if (outcome !== "gone") {
      this.look();
    }
  }

  #remember(inode: number, tries: Tries | undefined): void {
    this.#tries.delete(inode);
    if (tries === undefined) return;
    this.#tries.set(inode, tries);
    if (this.#tries.size <= ENGINE_LIMITS.REMEMBERED_TRIES) return;
    // The oldest is forgotten: at worst it is tried sooner than it had to be.
    for (const oldest of this.#tries.keys()) {
      this.#tries.delete(oldest);
      break;
    }
  }

  /** Nothing more is being read: packs that somebody waits for, or that nothing will join, go now. */
  #closeIfIdle(): void {
    if (this.#listing > 0) return;
    const hurry = this.#urgentJobs > 0 || this.#pressure;
    for (const lane of ["small", "large"] as const) {
      // A file in the small line may still turn out to be large.
      const coming = this.#feeding.small + (lane === "large" ? this.#feeding.large : 0);
      const dueMs = this.#builder.dueMs(lane);
      if (coming > 0 || dueMs === undefined) continue;
      if (hurry || this.#nextDueMs > dueMs) this.#builder.close(lane);
    }
  }
}
