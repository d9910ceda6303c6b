/**
 * Frees local space: from the high mark down to the low one, and whatever somebody waits for. Takes
 * files in the order of the policy, through the same planner as a preview; then chunks of open files;
 * then the uploader is told to hurry and this goes on as packs are confirmed. Only confirmed content
 * of verified packs leaves. Never loops without waiting; says what stands in the way of a mark.
 */
import type { QueuePlace } from "../metadata/usage_table.ts";
import type { Eviction, Refusal, SpaceReport } from "../filesystem/protocol.ts";
import { type Choice, printRule, type Reason, REASONS } from "../policy/decision.ts";
import { bytesToFree, isUrgent, type Pressure } from "../policy/marks.ts";
import type { Block } from "../policy/model.ts";
import { judge } from "../policy/judge.ts";
import { type Candidate, Planner } from "../policy/planner.ts";
import type { Limit } from "../policy/run.ts";
import { sleep } from "../runtime/clock.ts";
import type { ActivePolicy } from "./active_policy.ts";
import { describe, type Tiering } from "./context.ts";
import { type Obstacles, obstaclesOf } from "./obstacles.ts";
import type { PackVerifier } from "./pack_verifier.ts";
import { pages } from "./pages.ts";
import { ENGINE_LIMITS } from "./settings.ts";
import type { Sorter } from "./sorter.ts";
import type { Uploader } from "./uploader.ts";
import { Wakeup } from "./wakeup.ts";

export interface EvictorReport {
  evictedFiles: number;
  freedBytes: number;
  spilledBytes: number;
  runs: number;
  /** What ended the last run early. */
  limit: Limit | undefined;
  /** After the breaker: no run before, wall clock, milliseconds. */
  restsUntilMs: number | undefined;
  /** Undefined while the marks are kept. */
  obstacles: Obstacles | undefined;
}

/** What one run has done. */
interface Relief {
  toFree: number;
  freed: number;
  limit: Limit | undefined;
  refused: Record<string, number>;
}

/** What an eviction must still find as it was. */
type Chosen = Pick<Eviction, "generation" | "facts">;

export class Evictor {
  readonly #tiering: Tiering;
  readonly #uploader: Uploader;
  readonly #verifier: PackVerifier;
  readonly #sorter: Sorter;
  readonly #wakeup: Wakeup;
  /** Bytes that somebody waits for, as the last event said. */
  #needed = 0;
  #straining = false;
  /** A run was ended by max_per_run: the next goes on to the low mark. */
  #running = false;
  readonly #report: EvictorReport = {
    evictedFiles: 0,
    freedBytes: 0,
    spilledBytes: 0,
    runs: 0,
    limit: undefined,
    restsUntilMs: undefined,
    obstacles: undefined,
  };

  constructor(
    tiering: Tiering,
    parts: { uploader: Uploader; verifier: PackVerifier; sorter: Sorter },
  ) {
    this.#tiering = tiering;
    this.#uploader = parts.uploader;
    this.#verifier = parts.verifier;
    this.#sorter = parts.sorter;
    this.#wakeup = new Wakeup(tiering.clock);
  }

  /** Works until the engine's signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { signal, clock, log } = this.#tiering;
    while (!signal.aborted) {
      const waitMs = this.#straining || this.#running
        ? ENGINE_LIMITS.EVICT_WAIT_MS
        : ENGINE_LIMITS.PASS_IDLE_MS;
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

  /** Another policy or other marks are in force: what stopped the last run need not stop the next. */
  policyChanged(): void {
    this.#report.restsUntilMs = undefined;
    this.#wakeup.call();
  }

  report(): EvictorReport {
    return { ...this.#report };
  }

  async #relieve(): Promise<void> {
    const told = this.#needed;
    const space = await this.#space();
    const pressure = this.#pressure(space);
    const toFree = space.keepsAll ? 0 : bytesToFree(pressure);
    const run: Relief = { toFree, freed: 0, limit: undefined, refused: {} };
    if (run.toFree > 0 && !this.#rests()) {
      this.#report.runs++;
      await this.#evict(run, isUrgent(pressure));
      if (run.freed < run.toFree && run.limit !== "breaker") await this.#spill(run);
    }
    // What an event has added meanwhile is the next run's.
    this.#needed = Math.max(0, this.#needed - told) +
      Math.max(0, Math.min(told, run.toFree) - run.freed);
    await this.#judge(run, space);
  }

  #rests(): boolean {
    const { restsUntilMs } = this.#report;
    if (restsUntilMs === undefined) return false;
    if (this.#tiering.clock.wallMs() < restsUntilMs) return true;
    this.#report.restsUntilMs = undefined;
    return false;
  }

  #pressure(space: SpaceReport): Pressure {
    // An old need that nobody has any more is forgotten; one that was just told of counts.
    const needed = this.#straining && space.waiting === 0 ? 0 : this.#needed;
    const { target, high, low, hard, minFree = 0, used, diskFree } = space;
    const marks = { target, high, low, hard, minFree };
    return { marks, used, diskFree, running: this.#running, needed };
  }

  /** Evicts whole files until enough is freed, no candidate is left, or the policy's limits end it. */
  async #evict(run: Relief, urgent: boolean): Promise<void> {
    const { signal, clock, policy, chunkSize, log } = this.#tiering;
    await this.#sorter.settle();
    const tally = await this.#tiering.filesystem.call("tally", {});
    const planner = new Planner({
      rules: policy.rules,
      now: () => clock.wallMs(),
      chunkSize,
      toFree: run.toFree,
      urgent,
      residentFiles: tally.reduce((sum, each) => sum + each.files, 0),
    });
    const chosen = new Map<number, Chosen>();
    const queue = (name: "first" | "ranked" | "held") => this.#queue(name, { policy, chosen });
    const decisions = planner.next({
      first: queue("first"),
      ranked: queue("ranked"),
      held: queue("held"),
    });
    // What another policy has sorted is for the next run.
    for (let over = false; !over && !signal.aborted && this.#tiering.policy === policy;) {
      const batch: Choice[] = [];
      while (batch.length < ENGINE_LIMITS.EVICT_BATCH_FILES && planner.left > 0) {
        const next = await decisions.next();
        over = next.done === true;
        if (next.done) break;
        batch.push(next.value);
      }
      if (batch.length > 0) await this.#evictBatch(batch, { planner, chosen, run });
      else over = true;
    }
    run.limit = planner.limit;
    this.#report.limit = planner.limit;
    if (planner.limit !== "breaker") return;
    this.#report.restsUntilMs = clock.wallMs() + ENGINE_LIMITS.BREAKER_MS;
    log("error", "the policy's breaker stopped an eviction; nothing more is evicted for a while", {
      files: planner.run.files,
      errors: planner.run.errors,
    });
  }

  /** A queue of the index, a page at a time, with facts as they are then. */
  async *#queue(
    queue: "first" | "ranked" | "held",
    { policy, chosen }: { policy: ActivePolicy; chosen: Map<number, Chosen> },
  ): AsyncGenerator<Candidate> {
    const { filesystem } = this.#tiering;
    const { SETTLED_PAGE_FILES: limit, CANDIDATE_PAGE_FILES: facts } = ENGINE_LIMITS;
    const { name, needs } = policy;
    const walk = pages(
      `the queue of ${queue}`,
      ({ rank, inode }) => [rank, inode],
      (after: QueuePlace | undefined) =>
        filesystem.call("queue", { queue, limit, facts, after, needs, policy: name }),
    );
    for await (const page of walk) {
      for (const row of page.files) {
        const { stamp, epoch } = row;
        if ("settled" in row) {
          chosen.set(row.inode, { facts: { stamp, epoch } });
          yield policy.settled(row);
          continue;
        }
        const { generation } = row;
        chosen.set(row.inode, { generation, facts: { stamp, epoch } });
        // Packs are verified before the eviction, which is refused where one could not be.
        yield policy.facts({ ...row, confirmed: true });
      }
    }
  }

  async #evictBatch(
    batch: Choice[],
    { planner, chosen, run }: {
      planner: Planner;
      chosen: Map<number, Chosen>;
      run: Relief;
    },
  ): Promise<void> {
    const { filesystem, signal } = this.#tiering;
    await this.#verifier.verifyFor(batch.map(({ inode }) => inode), signal);
    const answers = await filesystem.call("evict", {
      files: batch.map((decision) => ({
        inode: decision.inode,
        ...chosen.get(decision.inode)!,
        keepHead: decision.keepHead,
        why: `${printRule(decision.rule)}: ${REASONS[decision.reason]}`,
      })),
    });
    answers.forEach((answer, place) => {
      if (typeof answer === "string") {
        run.refused[answer] = (run.refused[answer] ?? 0) + 1;
        const error = answer === "unverified";
        planner.refused(batch[place], { reason: BLOCKS[answer], error });
        return;
      }
      run.freed += answer;
      this.#report.evictedFiles++;
      this.#report.freedBytes += answer;
    });
  }

  /** Chunks of open files that the policy lets go. */
  async #spill(run: Relief): Promise<void> {
    const { filesystem, policy, clock, chunkSize } = this.#tiering;
    const rows = await filesystem.call("openFacts", { needs: policy.needs });
    const now = clock.wallMs();
    const inodes = rows.filter((row) => {
      const { class: kind } = judge(policy.rules, policy.facts(row), { now, chunkSize });
      return kind !== "pinned" && kind !== "local";
    }).map((row) => row.inode);
    if (inodes.length === 0) return;
    const bytes = run.toFree - run.freed;
    const spilled = await filesystem.call("spill", { bytes, inodes });
    run.freed += spilled;
    this.#report.spilledBytes += spilled;
  }

  /** Is it enough? If not, the uploader hurries, and status says what stands in the way. */
  async #judge(run: Relief, before: SpaceReport): Promise<void> {
    const { filesystem, log } = this.#tiering;
    const space = await this.#spaceAfter(before.used - run.freed);
    this.#running = run.limit === "max_per_run" && space.used > space.low;
    const missing = run.toFree - run.freed;
    const above = space.used > space.high || space.diskFree < (space.minFree ?? 0);
    const short = missing > 0 && (above || space.waiting > 0);
    // The next run goes on by itself.
    this.#uploader.setPressure(short && !this.#running);
    if (!short) {
      this.#straining = false;
      this.#needed = missing > 0 ? 0 : this.#needed;
      this.#report.obstacles = undefined;
      // Somebody has taken as much again meanwhile: crossing the mark is told once, so nobody will say so.
      if (above && !before.keepsAll) this.#wakeup.call();
      return;
    }
    const statistics = await filesystem.call("statistics", {});
    const tally = await filesystem.call("tally", {});
    const obstacles = obstaclesOf(statistics, { tally, refused: run.refused, missing });
    this.#report.obstacles = obstacles;
    if (!this.#straining && !this.#running) {
      log("warn", "the cache cannot be brought down to its mark yet", {
        used: space.used,
        low: space.low,
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

/** What a refusal means in the words of the policy. */
const BLOCKS: Record<Refusal, Block | Reason> = {
  changed: "dirty",
  open: "open",
  unstaged: "dirty",
  pinned: "pinned",
  dirty: "dirty",
  local: "local",
  unverified: "unconfirmed",
  readOnly: "unconfirmed",
  gone: "evicted",
};
