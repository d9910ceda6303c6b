/**
 * The plan: what leaves, what is uploaded, what stays, and why, for all files at once.
 *
 *   plan(facts, usage, policy, now, prices) → Plan { decisions, totals, unmet }
 *
 * Pure and deterministic: it reads nothing else and writes nothing. The engine takes the same files in
 * the same order through planner.ts, which shares the judgement (judge.ts), the order (rank.ts) and
 * the stopping (run.ts).
 */
import type { Decision, Reason } from "./decision.ts";
import { evictReason, type Limit, Run } from "./run.ts";
import type { ByteClass, FileFacts, Usage } from "./facts.ts";
import { RowHeap } from "./row_heap.ts";
import { FIRST_YIELDING_TIER } from "./judge.ts";
import { bytesToFree, isUrgent } from "./marks.ts";
import { type Block, BLOCKS, type Policy, type Verdict } from "./model.ts";
import { moneyOf, type PlanMoney, type Prices } from "./money.ts";
import { Rules } from "./outcome.ts";
import { NO_WAVE, Survey } from "./survey.ts";
import { type Holder, Obstacles, type Unmet } from "./unmet.ts";

export interface PlanInput {
  facts: Iterable<FileFacts>;
  usage: Usage;
  /** A policy, or one that was compiled before. */
  policy: Policy | Rules;
  /** Wall clock, milliseconds. */
  now: number;
  prices?: Prices;
}

export interface Tally {
  files: number;
  bytes: number;
}

export interface Totals {
  /** Resident bytes and files of each class; `evicted`: what is only in the bucket. */
  classes: Record<ByteClass, Tally>;
  reserved: number;
  leaving: number;
  /** Sum of all but `evicted`. */
  used: number;
  /** Of which this plan has to free … */
  toFree: number;
  /** … and frees. */
  freed: number;
  evict: Tally;
  upload: Tally;
  /** Rules that matched at least one file. */
  rules: ReadonlySet<string>;
  /** Whether `yields` applied, because writers wait. */
  urgent: boolean;
  money?: PlanMoney;
}

/** What is to be done with every file that has local content: columns, read row by row. */
export class Plan {
  readonly totals: Totals;
  /** Undefined: all that has to be freed is freed. */
  readonly unmet: Unmet | undefined;
  readonly survey: Survey;
  /** Rows that leave, in their order. */
  readonly #evicted: Uint32Array;
  /** Bytes still to be freed after each of them. */
  readonly #left: Float64Array;
  #decisions: Decision[] | undefined;

  constructor(
    survey: Survey,
    { evicted, left, unmet }: {
      evicted: Uint32Array;
      left: Float64Array;
      unmet: Unmet | undefined;
    },
  ) {
    this.survey = survey;
    this.totals = survey.totals;
    this.unmet = unmet;
    this.#evicted = evicted;
    this.#left = left;
  }

  /** Files that it says something of. */
  get size(): number {
    return this.survey.length;
  }

  /** All rows of the survey: evictions in their order, then what blocks them, uploads, and the rest. */
  *rows(): Generator<number> {
    yield* this.#evicted;
    for (const wanted of ["blocked", "upload", "keep"] satisfies Verdict[]) {
      for (let row = 0; row < this.survey.length; row++) {
        if (this.survey.verdict(row) === wanted) yield row;
      }
    }
  }

  /** Those of the rows that are `wanted`, as objects, made as they are asked for. */
  *each(wanted: (row: number) => boolean = () => true): Generator<Decision> {
    let place = 0;
    for (const row of this.rows()) {
      const left = place < this.#evicted.length ? this.#left[place] : undefined;
      place++;
      if (!wanted(row)) continue;
      const decision = this.survey.decision(row);
      if (left !== undefined) decision.left = left;
      yield decision;
    }
  }

  /** All of them at once: for few files. */
  get decisions(): readonly Decision[] {
    return this.#decisions ??= [...this.each()];
  }
}

/** Plans. See above. */
export function plan({ facts, usage, policy, now, prices }: PlanInput): Plan {
  const rules = policy instanceof Rules ? policy : new Rules(policy);
  const survey = new Survey({ rules, usage, now });
  for (const file of facts) survey.add(file);
  return planOf(survey, prices);
}

/** The plan of a survey that has seen every file. A survey serves for one plan. */
export function planOf(survey: Survey, prices?: Prices): Plan {
  const { totals, rules } = survey;
  const pressure = { ...survey.usage, used: totals.used };
  totals.toFree = bytesToFree(pressure);
  totals.urgent = isUrgent(pressure);
  const run = new Run({
    policy: rules.policy.evict,
    toFree: totals.toFree,
    residentFiles: survey.length,
  });
  const chosen = choose(survey, { run, urgent: totals.urgent });
  totals.freed = run.freed;
  totals.evict = { files: run.files, bytes: run.freed };
  if (prices !== undefined) totals.money = moneyOf(totals, prices);
  return new Plan(survey, {
    evicted: Uint32Array.from(chosen.rows),
    left: Float64Array.from(chosen.left),
    unmet: unmetBy(survey, run),
  });
}

/** What is left on the disk after the run, by what holds it there; undefined: nothing is missing. */
function unmetBy(survey: Survey, run: Run): Unmet | undefined {
  if (run.left === 0) return undefined;
  const { at, totals } = survey;
  const obstacles = new Obstacles(totals);
  for (let row = 0; row < survey.length; row++) {
    const verdict = survey.verdict(row);
    const { [row]: resident } = at.resident;
    obstacles.add({ verdict, resident, frees: at.frees[row] }, survey.holder(row));
  }
  return obstacles.unmet(run, totals);
}

/** Takes files in their order until the run has enough; says of the others why they stay. */
function choose(
  survey: Survey,
  { run, urgent }: { run: Run; urgent: boolean },
): { rows: number[]; left: number[] } {
  const rows: number[] = [];
  const left: number[] = [];
  if (run.toFree === 0) return { rows, left };
  const { frees, wave: waves, free } = survey.at;
  const heap = queueOf(survey);
  while (run.left > 0 && run.limit === undefined) {
    const row = heap.pop();
    if (row === undefined) break;
    const wave = waves[row];
    if (free[row] === 0 || (wave >= FIRST_YIELDING_TIER && !urgent)) {
      block(survey, row);
      continue;
    }
    if (!run.wants(frees[row])) {
      heap.giveBack(row);
      break;
    }
    run.take(frees[row]);
    const young = survey.holder(row) === "too_young";
    survey.setVerdict(row, "evict", evictReason(wave, { young }));
    rows.push(row);
    left.push(run.left);
  }
  explainRest(survey, { rest: heap.rows(), limit: run.limit });
  return { rows, left };
}

/** The order in which files leave: wave, rank, then inode, so that it is the same every time. */
function queueOf(survey: Survey): RowHeap {
  const { wave, rank, inode } = survey.at;
  const rows = new Uint32Array(survey.length);
  let count = 0;
  for (let row = 0; row < survey.length; row++) if (wave[row] !== NO_WAVE) rows[count++] = row;
  return new RowHeap((a, b) => {
    if (wave[a] !== wave[b]) return wave[a] < wave[b];
    if (rank[a] !== rank[b]) return rank[a] < rank[b];
    return inode[a] < inode[b];
  }, rows.subarray(0, count));
}

/** The run would have taken it, but it cannot leave. What only waits for its time stays of itself. */
function block(survey: Survey, row: number): void {
  const holder = survey.holder(row);
  if (survey.verdict(row) !== "keep" || holder === undefined || !isBlock(holder)) return;
  survey.setVerdict(row, "blocked", holder === "pinned" ? "pinned_by_user" : holder, holder);
}

const isBlock = (holder: Holder): holder is Holder & Block =>
  (BLOCKS as readonly string[]).includes(holder);

/** The others could have left, but were not needed, or the run was stopped before them. */
function explainRest(
  survey: Survey,
  { rest, limit }: { rest: Uint32Array; limit: Limit | undefined },
): void {
  const reason: Reason = limit ?? "reached";
  const { free, wave } = survey.at;
  for (const row of rest) {
    const ready = free[row] === 1 && wave[row] < FIRST_YIELDING_TIER;
    if (ready && survey.verdict(row) === "keep") survey.setReason(row, reason);
  }
}
