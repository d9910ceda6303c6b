/**
 * The plan as the engine carries it out: candidates come from an index, a page at a time, and are
 * judged at the head of the queue, with facts as they are at that moment. Takes the same files in the
 * same order as plan.ts would, given the same facts. Holds no more than it still has to look at twice.
 */
import { invariant } from "../domain/errors.ts";
import { type Choice, type Decision, type Reason, stayReason, undecided } from "./decision.ts";
import type { FileFacts } from "./facts.ts";
import { FIRST_YIELDING_TIER, judge, type Judgement } from "./judge.ts";
import type { Block, Rule } from "./model.ts";
import type { Rules } from "./outcome.ts";
import { rankOf } from "./rank.ts";
import { evictReason, type Limit, Run } from "./run.ts";
import type { Tally } from "./plan.ts";

/**
 * A file of which `judge` has said, on facts that still are so and for a time that has not come yet,
 * that it leaves whole in the wave of its queue (0 for `first`, 1 for `ranked`).
 */
export interface Settled {
  settled: true;
  inode: number;
  frees: number;
  rule: Rule | undefined;
}

export type Candidate = FileFacts | Settled;
export type Candidates = Iterable<Candidate> | AsyncIterable<Candidate>;

/** The two queues of an index, see timeline.ts: both in the order of their ranks, ties by inode. */
export interface Queues {
  /** Files whose `firstAtMs` has come. */
  first: Candidates;
  /** Files whose `leavesAtMs` has come; those of `first` may be among them. Read after `first`. */
  ranked: Candidates;
  /** Files whose time has not come, by rank. Read only where writers wait and a `yields` is given. */
  held: Candidates;
}

export interface PlannerOptions {
  rules: Rules;
  /** Wall clock, milliseconds, at each judgement: a run takes time. */
  now: () => number;
  chunkSize: number;
  toFree: number;
  /** Writers wait: see `isUrgent`. */
  urgent: boolean;
  residentFiles: number;
}

/** One run. Not to be used twice. */
export class Planner {
  readonly run: Run;
  /** What was looked at and could not leave, by reason. */
  readonly blocked: Partial<Record<Block | Reason, Tally>> = {};
  readonly #options: PlannerOptions;
  readonly #seen = new Set<number>();
  /** Waves that only leave where writers wait. */
  readonly #yielding: { decision: Decision; judgement: Judgement; rank: number }[][] = [];
  /** What the first of those waves would free. */
  #heldFrees = 0;

  constructor(options: PlannerOptions) {
    this.#options = options;
    const { rules, toFree, residentFiles } = options;
    this.run = new Run({ policy: rules.policy.evict, toFree, residentFiles });
  }

  /** Bytes that the run still has to free. */
  get left(): number {
    return this.run.left;
  }
  get limit(): Limit | undefined {
    return this.run.limit;
  }

  /** Nothing more is wanted, or nothing more may be taken. */
  get done(): boolean {
    return this.left === 0 || this.limit !== undefined;
  }

  /**
   * The next files to evict, one by one, until the run has enough or is stopped. Between two of them
   * the caller may say that one did not leave (`refused`), and the run goes on further.
   */
  async *next(queues: Queues): AsyncGenerator<Choice> {
    for (const name of ["first", "ranked", "held"] as const) {
      if (this.done || (name === "held" && !this.wantsHeld)) break;
      for await (const each of queues[name]) {
        const decision = "settled" in each ? this.#take(name, each) : this.offer(name, each);
        if (decision !== undefined) yield decision;
        if (this.done || (name === "held" && this.heldEnough)) break;
      }
    }
    yield* this.yielding();
  }

  /** Whether what is not old enough may leave, too. */
  get wantsHeld(): boolean {
    const { urgent, rules } = this.#options;
    return urgent && !this.done && rules.policy.evict.yields.length > 0;
  }

  /** Whether what was offered of `held` is enough: what comes later in its order is not needed. */
  get heldEnough(): boolean {
    return this.#heldFrees >= this.left;
  }

  /**
   * The next file of a queue, in the order of `Queues`: its decision where it is to be evicted now.
   * For callers that cannot wait; afterwards they take what `yielding` says.
   */
  offer(queue: keyof Queues, facts: FileFacts): Decision | undefined {
    if (this.done || this.#seen.has(facts.inode)) return undefined;
    const { rules, now, chunkSize } = this.#options;
    const judgement = judge(rules, facts, { now: now(), chunkSize });
    const { tier } = judgement;
    // What may leave, but not before all others, comes again in its turn.
    if (queue === "first" && tier === 1) return undefined;
    this.#seen.add(facts.inode);
    if (tier === undefined) this.#block(stayReason(judgement), facts.resident);
    else if (tier >= FIRST_YIELDING_TIER) this.#remember(facts, judgement);
    else if (this.run.wants(judgement.frees)) {
      return this.#evict(undecided(facts, judgement), judgement);
    }
    return undefined;
  }

  /** The same of a file that is settled. */
  #take(queue: keyof Queues, { inode, frees, rule }: Settled): Choice | undefined {
    invariant(queue !== "held", "a file that is settled is not held");
    if (this.done || this.#seen.has(inode)) return undefined;
    this.#seen.add(inode);
    if (!this.run.wants(frees)) return undefined;
    this.run.take(frees);
    const reason = evictReason(queue === "first" ? 0 : 1, { young: false });
    return { inode, rule, frees, keepHead: 0, verdict: "evict", reason, left: this.run.left };
  }

  /** Of what was offered: the files that leave only because writers wait. */
  *yielding(): Generator<Decision> {
    for (const wave of this.#yielding) {
      // From two queues, so their ranks have to be merged.
      const sorted = (wave ?? []).sort((a, b) =>
        a.rank - b.rank || a.decision.inode - b.decision.inode
      );
      for (const { decision, judgement } of sorted) {
        if (!this.run.wants(judgement.frees)) return;
        yield this.#evict(decision, judgement);
      }
    }
  }

  /** The file of a decision did not leave. `error`: because something failed; it counts for the breaker. */
  refused(decision: Choice, { reason, error }: { reason: Block | Reason; error: boolean }): void {
    this.run.giveBack(decision.frees, { error });
    this.#block(reason, decision.frees);
  }

  #remember(facts: FileFacts, judgement: Judgement): void {
    if (!this.#options.urgent) return this.#block(stayReason(judgement), facts.resident);
    if (judgement.tier === FIRST_YIELDING_TIER) this.#heldFrees += judgement.frees;
    (this.#yielding[judgement.tier!] ??= []).push({
      decision: undecided(facts, judgement),
      judgement,
      rank: rankOf(facts, this.#options.rules.policy.evict.order),
    });
  }

  #evict(decision: Decision, judgement: Judgement): Decision {
    this.run.take(judgement.frees);
    decision.verdict = "evict";
    decision.reason = evictReason(judgement.tier!, { young: judgement.block === "too_young" });
    decision.left = this.run.left;
    return decision;
  }

  #block(reason: Block | Reason, bytes: number): void {
    const tally = this.blocked[reason] ??= { files: 0, bytes: 0 };
    tally.files++;
    tally.bytes += bytes;
  }
}
