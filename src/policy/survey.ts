/**
 * What one look at every file has shown, as columns: there may be millions of files, and an object for
 * each would be three times the memory. Judges and counts each file; decides nothing that depends on
 * others (plan.ts). Keeps nothing of the facts it is given, which may be one object again and again.
 */
import { type Decision, type Reason, REASONS, stayReason, undecided } from "./decision.ts";
import type { FileFacts, Usage } from "./facts.ts";
import { judge, type Judgement } from "./judge.ts";
import { type Block, BLOCKS, type Rule, type Verdict } from "./model.ts";
import type { Rules } from "./outcome.ts";
import type { Totals } from "./plan.ts";
import { rankOf } from "./rank.ts";
import { type Holder, holderOf, HOLDERS } from "./unmet.ts";

/** Wave of files that no run takes. */
export const NO_WAVE = 255;

const VERDICTS: readonly Verdict[] = ["keep", "evict", "upload", "blocked"];
const REASON_NAMES = Object.keys(REASONS) as Reason[];
/** Place 0: nothing blocks it, and nothing holds it. */
const BLOCK_NAMES: readonly (Block | undefined)[] = [undefined, ...BLOCKS];
const HOLDER_NAMES: readonly (Holder | undefined)[] = [undefined, ...HOLDERS];
const numbersOf = <T>(names: readonly T[]) => new Map(names.map((name, number) => [name, number]));
const VERDICT = numbersOf(VERDICTS);
const REASON = numbersOf(REASON_NAMES);
const BLOCK = numbersOf(BLOCK_NAMES);
const HOLDER = numbersOf(HOLDER_NAMES);

/** Quiet time and deadline where neither policy nor caller say otherwise. */
const UPLOAD = { afterMs: 5_000, deadlineMs: 900_000 };

type Column = Float64Array | Int32Array | Uint8Array;

const columns = (rows: number) => ({
  inode: new Float64Array(rows),
  resident: new Float64Array(rows),
  frees: new Float64Array(rows),
  rank: new Float64Array(rows),
  /** Index of the rule that decided; -1: none. */
  rule: new Int32Array(rows),
  verdict: new Uint8Array(rows),
  reason: new Uint8Array(rows),
  block: new Uint8Array(rows),
  /** What holds it here. */
  holder: new Uint8Array(rows),
  /** In which wave it would leave if nothing blocked it. */
  wave: new Uint8Array(rows),
  /** 1: it may leave in its wave. */
  free: new Uint8Array(rows),
});
type Columns = ReturnType<typeof columns>;

/** The sums before any file was looked at. */
export function noTotals({ reserved, leaving }: Usage): Totals {
  const none = () => ({ files: 0, bytes: 0 });
  return {
    classes: {
      pinned: none(),
      local: none(),
      dirty: none(),
      open: none(),
      clean: none(),
      evicted: none(),
    },
    reserved,
    leaving,
    used: reserved + leaving,
    toFree: 0,
    freed: 0,
    evict: none(),
    upload: none(),
    rules: new Set(),
    urgent: false,
  };
}

export interface SurveyOptions {
  rules: Rules;
  usage: Usage;
  /** Wall clock, milliseconds. */
  now: number;
  /** How many files with local content are expected: room is made for them at once. */
  expected?: number;
  /**
   * Tells the facts of a file again, for what is only shown; undefined where it is gone. Without it the
   * survey keeps those that it is given.
   */
  factsOf?: (inode: number) => FileFacts | undefined;
}

export class Survey {
  /** Files with local content. Columns may be longer. */
  length = 0;
  readonly rules: Rules;
  readonly usage: Usage;
  readonly totals: Totals;
  at: Columns;
  #room: number;
  readonly #now: number;
  #unmatched: readonly Rule[];
  readonly #kept: FileFacts[] | undefined;
  readonly #factsOf: (inode: number, row: number) => FileFacts | undefined;

  constructor({ rules, usage, now, expected = 1024, factsOf }: SurveyOptions) {
    this.rules = rules;
    this.#unmatched = rules.policy.rules;
    this.usage = usage;
    this.#now = now;
    this.#room = Math.max(16, expected);
    this.at = columns(this.#room);
    const kept = factsOf === undefined ? [] as FileFacts[] : undefined;
    this.#kept = kept;
    this.#factsOf = factsOf ?? ((_, row) => kept![row]);
    this.totals = noTotals(usage);
  }

  /** One file; each once, in any order. */
  add(facts: FileFacts): void {
    const { chunkSize } = this.usage;
    const judgement = judge(this.rules, facts, { now: this.#now, chunkSize });
    this.#count(facts, judgement);
    if (judgement.class === "evicted") return;
    const { tier, block, outcome } = judgement;
    if (this.length === this.#room) this.#grow();
    const row = this.length++;
    const { at } = this;
    const wave = tier ?? (block === undefined ? NO_WAVE : outcome.first ? 0 : 1);
    at.inode[row] = facts.inode;
    at.resident[row] = facts.resident;
    at.frees[row] = judgement.frees;
    at.rank[row] = wave === NO_WAVE ? 0 : rankOf(facts, this.rules.policy.evict.order);
    at.rule[row] = outcome.rule?.index ?? -1;
    at.reason[row] = REASON.get(stayReason(judgement))!;
    at.holder[row] = HOLDER.get(holderOf(judgement))!;
    at.wave[row] = wave;
    at.free[row] = tier === undefined ? 0 : 1;
    this.#kept?.push(facts);
    if (!facts.dirty || outcome.local) return;
    const upload = this.#uploadOf(facts);
    if (upload.verdict === "upload") {
      this.setVerdict(row, "upload", upload.reason);
      this.totals.upload.files++;
      this.totals.upload.bytes += facts.resident;
    } else if (judgement.class === "dirty") this.setReason(row, upload.reason);
  }

  /** Files of which nothing is here, as sums: `bytes` of content that is only in the bucket. */
  addEvicted({ files, bytes }: { files: number; bytes: number }): void {
    const { evicted } = this.totals.classes;
    evicted.files += files;
    evicted.bytes += bytes;
  }

  /** One of those: it may be the only one that a rule matches. */
  noteRule(facts: FileFacts): void {
    // Nearly no file needs more than a look at the few rules that have matched nothing yet.
    if (!this.rules.mayDecide(this.#unmatched, facts, this.#now)) return;
    this.#noteMatch(this.rules.outcome(facts, this.#now).rule);
  }

  #noteMatch(rule: Rule | undefined): void {
    const { rules } = this.totals;
    if (rule === undefined || rules.has(rule.name)) return;
    (rules as Set<string>).add(rule.name);
    this.#unmatched = this.#unmatched.filter(({ name }) => name !== rule.name);
  }

  /** Rules that have matched no file yet. */
  get unmatched(): readonly Rule[] {
    return this.#unmatched;
  }

  #grow(): void {
    this.#room *= 2;
    const wider = columns(this.#room);
    // One after the other, so that no more than one column is there twice.
    for (const name of Object.keys(wider) as (keyof Columns)[]) {
      (wider[name] as Column).set(this.at[name]);
      (this.at as Record<keyof Columns, Column>)[name] = wider[name];
    }
  }

  #count(facts: FileFacts, judgement: Judgement): void {
    const { classes } = this.totals;
    const tally = classes[judgement.class];
    tally.files++;
    if (judgement.class !== "evicted") tally.bytes += facts.resident;
    classes.evicted.bytes += facts.allocated - facts.resident;
    this.totals.used += facts.resident;
    this.#noteMatch(judgement.outcome.rule);
  }

  /** Whether a dirty file goes up now, and why; else when it does. */
  #uploadOf(
    facts: FileFacts,
  ): { verdict: "upload" | "keep"; reason: Reason; untilMs: number | undefined } {
    const { upload } = this.rules.policy;
    const quietAt = facts.changedMs + (upload.afterMs ?? UPLOAD.afterMs);
    const deadlineAt = (facts.dirtySinceMs ?? facts.changedMs) +
      (upload.deadlineMs ?? UPLOAD.deadlineMs);
    const quiet = this.#now >= quietAt && facts.writing !== true;
    if (quiet) return { verdict: "upload", reason: "quiet", untilMs: undefined };
    if (this.#now >= deadlineAt) {
      return { verdict: "upload", reason: "deadline", untilMs: undefined };
    }
    const untilMs = facts.writing === true ? deadlineAt : Math.min(quietAt, deadlineAt);
    return { verdict: "keep", reason: "waits_for_quiet", untilMs };
  }

  verdict(row: number): Verdict {
    return VERDICTS[this.at.verdict[row]];
  }

  block(row: number): Block | undefined {
    return BLOCK_NAMES[this.at.block[row]];
  }

  holder(row: number): Holder | undefined {
    return HOLDER_NAMES[this.at.holder[row]];
  }

  setVerdict(row: number, verdict: Verdict, reason: Reason, block?: Block): void {
    this.at.verdict[row] = VERDICT.get(verdict)!;
    this.at.reason[row] = REASON.get(reason)!;
    this.at.block[row] = BLOCK.get(block)!;
  }

  /** Only the reason is another one. */
  setReason(row: number, reason: Reason): void {
    this.at.reason[row] = REASON.get(reason)!;
  }

  /** A row as an object; `left` is for whoever chose. */
  decision(row: number): Decision {
    const { at, rules } = this;
    const inode = at.inode[row];
    const facts = this.#factsOf(inode, row);
    const decision = facts === undefined ? this.#ofGone(row) : this.#ofFacts(facts);
    decision.verdict = this.verdict(row);
    decision.reason = REASON_NAMES[at.reason[row]];
    decision.resident = at.resident[row];
    decision.frees = at.frees[row];
    decision.rule = at.rule[row] < 0 ? undefined : rules.policy.rules[at.rule[row]];
    const block = this.block(row);
    if (block !== undefined) decision.block = block;
    if (facts?.dirty === true && this.holder(row) === "dirty") {
      decision.untilMs = this.#uploadOf(facts).untilMs;
    }
    return decision;
  }

  #ofFacts(facts: FileFacts): Decision {
    const { chunkSize } = this.usage;
    return undecided(facts, judge(this.rules, facts, { now: this.#now, chunkSize }));
  }

  /** Gone since it was looked at: only what was noted is known. */
  #ofGone(row: number): Decision {
    const inode = this.at.inode[row];
    return {
      ...{ inode, path: `(inode ${inode})`, size: this.at.resident[row], lastUsedMs: this.#now },
      ...{ resident: 0, verdict: "keep", reason: "room", frees: 0, keepHead: 0 },
    };
  }
}
