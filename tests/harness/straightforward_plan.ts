/**
 * A plan made in the plainest way, one object a file: what src/policy/plan.ts, which works on columns,
 * has to agree with decision by decision.
 */
import { type Decision, type Reason, undecided } from "../../src/policy/decision.ts";
import type { FileFacts, Usage } from "../../src/policy/facts.ts";
import { Heap } from "../../src/policy/heap.ts";
import { FIRST_YIELDING_TIER, judge, type Judgement } from "../../src/policy/judge.ts";
import { bytesToFree, isUrgent } from "../../src/policy/marks.ts";
import { type Block, BLOCKS } from "../../src/policy/model.ts";
import { moneyOf } from "../../src/policy/money.ts";
import { Rules } from "../../src/policy/outcome.ts";
import type { PlanInput, Totals } from "../../src/policy/plan.ts";
import { rankOf } from "../../src/policy/rank.ts";
import { evictReason, type Limit, Run } from "../../src/policy/run.ts";
import { noTotals } from "../../src/policy/survey.ts";
import { type Holder, holderOf, Obstacles, type Unmet } from "../../src/policy/unmet.ts";

export interface StraightforwardPlan {
  decisions: Decision[];
  totals: Totals;
  unmet: Unmet | undefined;
}

/** Quiet time and deadline where neither policy nor caller say otherwise. */
const UPLOAD = { afterMs: 5_000, deadlineMs: 900_000 };

/** Plans. See above. */
export function straightforwardPlan(
  { facts, usage, policy, now, prices }: PlanInput,
): StraightforwardPlan {
  const rules = policy instanceof Rules ? policy : new Rules(policy);
  const survey = new Survey(rules, { usage, now });
  for (const file of facts) survey.add(file);
  const { totals } = survey;
  const pressure = { ...usage, used: totals.used };
  totals.toFree = bytesToFree(pressure);
  totals.urgent = isUrgent(pressure);
  const run = new Run({
    policy: rules.policy.evict,
    toFree: totals.toFree,
    residentFiles: survey.residentFiles,
  });
  const evicted = choose(survey, { run, urgent: totals.urgent });
  totals.freed = run.freed;
  totals.evict = { files: run.files, bytes: run.freed };
  const groups: Decision[][] = [evicted, [], [], []];
  for (const decision of survey.decisions) {
    const { verdict } = decision;
    if (verdict === "blocked") groups[1].push(decision);
    else if (verdict === "upload") groups[2].push(decision);
    else if (verdict === "keep") groups[3].push(decision);
  }
  const decisions = groups.flat();
  if (prices !== undefined) totals.money = moneyOf(totals, prices);
  return { decisions, totals, unmet: unmetBy(survey, run) };
}

/** `#waves` of files that no run takes. */
const NO_WAVE = -1;

/**
 * Everything that is known after one look at every file. Columns instead of objects: there may be
 * millions of files, and 300 MiB for all of them.
 */
class Survey {
  readonly decisions: Decision[] = [];
  /** Of each decision: the wave in which it would leave if nothing blocked it. */
  readonly waves: number[] = [];
  readonly ranks: number[] = [];
  /** Of each decision: whether it may leave in its wave. */
  readonly free: boolean[] = [];
  /** Of each decision: what holds it here. */
  readonly holders: (Holder | undefined)[] = [];
  residentFiles = 0;
  readonly totals: Totals;
  readonly #rules: Rules;
  readonly #usage: Usage;
  readonly #now: number;

  constructor(rules: Rules, { usage, now }: { usage: Usage; now: number }) {
    this.#rules = rules;
    this.#usage = usage;
    this.#now = now;
    this.totals = noTotals(usage);
  }

  add(facts: FileFacts): void {
    const { chunkSize } = this.#usage;
    const judgement = judge(this.#rules, facts, { now: this.#now, chunkSize });
    this.#count(facts, judgement);
    if (judgement.class === "evicted") return;
    this.residentFiles++;
    const decision = undecided(facts, judgement);
    this.#considerUpload(facts, { decision, judgement });
    const { tier, block, outcome } = judgement;
    const wave = tier ?? (block === undefined ? NO_WAVE : outcome.first ? 0 : 1);
    this.decisions.push(decision);
    this.waves.push(wave);
    this.ranks.push(wave === NO_WAVE ? 0 : rankOf(facts, this.#rules.policy.evict.order));
    this.free.push(tier !== undefined);
    this.holders.push(holderOf(judgement));
  }

  #count(facts: FileFacts, judgement: Judgement): void {
    const { classes } = this.totals;
    const tally = classes[judgement.class];
    tally.files++;
    if (judgement.class !== "evicted") tally.bytes += facts.resident;
    classes.evicted.bytes += facts.allocated - facts.resident;
    this.totals.used += facts.resident;
    const { rule } = judgement.outcome;
    if (rule !== undefined) (this.totals.rules as Set<string>).add(rule.name);
  }

  #considerUpload(
    facts: FileFacts,
    { decision, judgement }: { decision: Decision; judgement: Judgement },
  ): void {
    if (!facts.dirty || judgement.outcome.local) return;
    const { upload } = this.#rules.policy;
    const quietAt = facts.changedMs + (upload.afterMs ?? UPLOAD.afterMs);
    const deadlineAt = (facts.dirtySinceMs ?? facts.changedMs) +
      (upload.deadlineMs ?? UPLOAD.deadlineMs);
    const quiet = this.#now >= quietAt && facts.writing !== true;
    if (quiet || this.#now >= deadlineAt) {
      decision.verdict = "upload";
      decision.reason = quiet ? "quiet" : "deadline";
      this.totals.upload.files++;
      this.totals.upload.bytes += facts.resident;
    } else if (judgement.class === "dirty") {
      decision.reason = "waits_for_quiet";
      decision.untilMs = facts.writing === true ? deadlineAt : Math.min(quietAt, deadlineAt);
    }
  }
}

/** What is left on the disk after the run, by what holds it there; undefined: nothing is missing. */
function unmetBy({ decisions, holders, totals }: Survey, run: Run): Unmet | undefined {
  if (run.left === 0) return undefined;
  const obstacles = new Obstacles(totals);
  decisions.forEach((decision, index) => obstacles.add(decision, holders[index]));
  return obstacles.unmet(run, totals);
}

/** Takes files in their order until the run has enough; says of the others why they stay. */
function choose(survey: Survey, { run, urgent }: { run: Run; urgent: boolean }): Decision[] {
  if (run.toFree === 0) return [];
  const { decisions, waves, free, holders } = survey;
  const evicted: Decision[] = [];
  const heap = queueOf(survey);
  while (run.left > 0 && run.limit === undefined) {
    const index = heap.pop();
    if (index === undefined) break;
    const decision = decisions[index];
    const wave = waves[index];
    if (!free[index] || (wave >= FIRST_YIELDING_TIER && !urgent)) {
      block(decision, holders[index]);
      continue;
    }
    if (!run.wants(decision.frees)) {
      heap.push(index);
      break;
    }
    run.take(decision.frees);
    decision.verdict = "evict";
    decision.reason = evictReason(wave, { young: holders[index] === "too_young" });
    decision.left = run.left;
    evicted.push(decision);
  }
  explainRest(survey, { rest: heap.items(), limit: run.limit });
  return evicted;
}

/** The order in which files leave: wave, rank, then inode, so that it is the same every time. */
function queueOf({ decisions, waves, ranks }: Survey): Heap<number> {
  const indexes: number[] = [];
  for (let index = 0; index < waves.length; index++) {
    if (waves[index] !== NO_WAVE) indexes.push(index);
  }
  return new Heap<number>((a, b) => {
    if (waves[a] !== waves[b]) return waves[a] < waves[b];
    if (ranks[a] !== ranks[b]) return ranks[a] < ranks[b];
    return decisions[a].inode < decisions[b].inode;
  }, indexes);
}

/** The run would have taken it, but it cannot leave. What only waits for its time stays of itself. */
function block(decision: Decision, holder: Holder | undefined): void {
  if (decision.verdict !== "keep" || holder === undefined || !isBlock(holder)) return;
  decision.verdict = "blocked";
  decision.block = holder;
  decision.reason = holder === "pinned" ? "pinned_by_user" : holder;
}

const isBlock = (holder: Holder): holder is Holder & Block =>
  (BLOCKS as readonly string[]).includes(holder);

/** The others could have left, but were not needed, or the run was stopped before them. */
function explainRest(
  { decisions, waves, free }: Survey,
  { rest, limit }: { rest: readonly number[]; limit: Limit | undefined },
): void {
  const reason: Reason = limit ?? "reached";
  for (const index of rest) {
    const decision = decisions[index];
    const ready = free[index] && waves[index] < FIRST_YIELDING_TIER;
    if (ready && decision.verdict === "keep") decision.reason = reason;
  }
}
