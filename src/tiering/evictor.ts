/**
 * Frees local space: from the high mark down to the low one, and whatever somebody waits for. Only
 * confirmed content of verified packs leaves, least recently used first; then chunks of open files;
 * then the uploader is told to hurry and this goes on as packs are confirmed. Never loops without
 * waiting; says which kinds of content stand in the way when a mark cannot be reached.
 */
import type { Candidate, FilesystemReport, SpaceReport } from "../filesystem/protocol.ts";
import { sleep } from "../runtime/clock.ts";
import { describe, type Tiering } from "./context.ts";
import { chooseEvictions } from "./default_policy.ts";
import type { PackVerifier } from "./pack_verifier.ts";
import { ENGINE_LIMITS } from "./settings.ts";
import type { Uploader } from "./uploader.ts";
import { Wakeup } from "./wakeup.ts";

/** What keeps the cache above its mark, bytes. */
export interface Obstacles {
  /** Not yet in the bucket. */
  local: number;
  pinned: number;
  open: number;
  /** Refused when asked, by reason: files. */
  refused: Record<string, number>;
}

export interface EvictorReport {
  evictedFiles: number;
  freedBytes: number;
  spilledBytes: number;
  runs: number;
  /** Undefined while the marks are kept. */
  obstacles: Obstacles | undefined;
}

/** What one run has done. */
interface Run {
  toFree: number;
  freed: number;
  refused: Record<string, number>;
}

export class Evictor {
  readonly #tiering: Tiering;
  readonly #uploader: Uploader;
  readonly #verifier: PackVerifier;
  readonly #wakeup: Wakeup;
  /** Bytes that somebody waits for, as the last event said. */
  #needed = 0;
  #straining = false;
  readonly #report: EvictorReport = {
    evictedFiles: 0,
    freedBytes: 0,
    spilledBytes: 0,
    runs: 0,
    obstacles: undefined,
  };

  constructor(tiering: Tiering, uploader: Uploader, options: { verifier: PackVerifier }) {
    this.#tiering = tiering;
    this.#uploader = uploader;
    this.#verifier = options.verifier;
    this.#wakeup = new Wakeup(tiering.clock);
  }

  /** Works until the engine's signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { signal, clock, log } = this.#tiering;
    while (!signal.aborted) {
      const waitMs = this.#straining ? ENGINE_LIMITS.EVICT_WAIT_MS : ENGINE_LIMITS.PASS_IDLE_MS;
      await this.#wakeup.wait(waitMs, signal);
      if (signal.aborted) return;
      try {
        await this.#relieve();
      } catch (error) {
        if (!signal.aborted) log("error", "space could not be freed", { error: describe(error) });
      }
      await sleep(clock, ENGINE_LIMITS.EVICT_GAP_MS, signal).catch(() => {});
    }
  }

  /** The filesystem isolate is above its high mark, or somebody waits for space. */
  pressure(needed: number): void {
    this.#needed = Math.max(this.#needed, needed);
    this.#wakeup.call();
  }

  /** Something was confirmed that may be evicted now. */
  confirmed(): void {
    if (this.#straining) this.#wakeup.call();
  }

  report(): EvictorReport {
    return { ...this.#report };
  }

  async #relieve(): Promise<void> {
    const told = this.#needed;
    const space = await this.#space();
    const run: Run = { toFree: this.#bytesToFree(space), freed: 0, refused: {} };
    if (run.toFree > 0) {
      this.#report.runs++;
      await this.#evict(run);
      if (run.freed < run.toFree) await this.#spill(run);
    }
    // What an event has added meanwhile is the next run's.
    this.#needed = Math.max(0, this.#needed - told) +
      Math.max(0, Math.min(told, run.toFree) - run.freed);
    await this.#judge(run, space);
  }

  /** From above high down to low; and what writers and recalls wait for, wherever the marks are. */
  #bytesToFree(space: SpaceReport): number {
    const toLow = space.used > space.high ? space.used - space.low : 0;
    // An old need that nobody has any more is forgotten; one that was just told of counts.
    const needed = this.#straining && space.waiting === 0 ? 0 : this.#needed;
    return Math.max(toLow, needed);
  }

  /** Evicts whole files until enough is freed or no candidate is left. A refusal is not asked again. */
  async #evict(run: Run): Promise<void> {
    const { filesystem, signal } = this.#tiering;
    const limit = ENGINE_LIMITS.CANDIDATE_PAGE_FILES;
    let after: { lastUsedMs: number; inode: number } | undefined;
    while (run.freed < run.toFree && !signal.aborted) {
      const page = await filesystem.call("candidates", { limit, after });
      let rest = page;
      while (rest.length > 0 && run.freed < run.toFree && !signal.aborted) {
        const chosen = chooseEvictions(rest, run.toFree - run.freed)
          .slice(0, ENGINE_LIMITS.EVICT_BATCH_FILES);
        if (chosen.length === 0) break;
        rest = rest.slice(rest.indexOf(chosen[chosen.length - 1]) + 1);
        await this.#evictBatch(chosen, run);
      }
      const last = page.at(-1);
      if (page.length < limit || last === undefined) return;
      after = { lastUsedMs: last.lastUsedMs, inode: last.inode };
    }
  }

  async #evictBatch(files: Candidate[], run: Run): Promise<void> {
    const { filesystem, signal } = this.#tiering;
    await this.#verifier.verifyFor(files.map((file) => file.inode), signal);
    const answers = await filesystem.call("evict", {
      files: files.map(({ inode, generation }) => ({ inode, generation })),
    });
    for (const answer of answers) {
      if (typeof answer === "string") {
        run.refused[answer] = (run.refused[answer] ?? 0) + 1;
        continue;
      }
      run.freed += answer;
      this.#report.evictedFiles++;
      this.#report.freedBytes += answer;
    }
  }

  async #spill(run: Run): Promise<void> {
    const spilled = await this.#tiering.filesystem.call("spill", { bytes: run.toFree - run.freed });
    run.freed += spilled;
    this.#report.spilledBytes += spilled;
  }

  /** Is it enough? If not, the uploader hurries, and status says what stands in the way. */
  async #judge(run: Run, before: SpaceReport): Promise<void> {
    const { filesystem, log } = this.#tiering;
    const space = await this.#spaceAfter(before.used - run.freed);
    const short = run.freed < run.toFree && (space.used > space.high || space.waiting > 0);
    this.#uploader.setPressure(short);
    if (!short) {
      this.#straining = false;
      this.#needed = run.freed < run.toFree ? 0 : this.#needed;
      this.#report.obstacles = undefined;
      return;
    }
    const statistics = await filesystem.call("statistics", {});
    const obstacles = obstaclesOf(statistics, run.refused);
    this.#report.obstacles = obstacles;
    if (!this.#straining) {
      log("warn", "the cache cannot be brought down to its mark yet", {
        used: space.used,
        low: space.low,
        missing: run.toFree - run.freed,
        ...obstacles,
      });
    }
    this.#straining = true;
  }

  /** Space once evicted files have really left the disk, so that nothing is evicted twice over. */
  async #spaceAfter(expectedUsed: number): Promise<SpaceReport> {
    const { clock, signal } = this.#tiering;
    const { EVICT_GAP_MS, EVICT_WAIT_MS } = ENGINE_LIMITS;
    for (let waitedMs = 0;; waitedMs += EVICT_GAP_MS) {
      const space = await this.#space();
      if (space.used <= expectedUsed || waitedMs >= EVICT_WAIT_MS) return space;
      await sleep(clock, EVICT_GAP_MS, signal);
    }
  }

  #space(): Promise<SpaceReport> {
    return this.#tiering.filesystem.call("space", {});
  }
}

function obstaclesOf(statistics: FilesystemReport, refused: Record<string, number>): Obstacles {
  return {
    local: statistics.space.local,
    pinned: statistics.pinnedBytes,
    open: statistics.openBytes,
    refused,
  };
}
