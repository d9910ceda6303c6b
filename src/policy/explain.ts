/**
 * Why a file is where it is: every rule that was tried on it, the first that matched, and what
 * happens next and when. Pure; the same judgement as the plan's.
 */
import { type Decision, printRule, REASONS, stayReason, undecided } from "./decision.ts";
import type { FileFacts } from "./facts.ts";
import { FIRST_YIELDING_TIER, judge, type Judgement } from "./judge.ts";
import type { CompiledMatch, View } from "./match.ts";
import { matches } from "./match.ts";
import type { Place, Rule } from "./model.ts";
import type { Rules } from "./outcome.ts";
import { printPlace } from "./problems.ts";
import { scoreAt } from "./rank.ts";
import { type Stage, timeline } from "./timeline.ts";
import { formatDuration } from "../domain/units.ts";

export interface TriedTerm {
  key: string;
  written: string;
  saw: string;
  held: boolean;
}

export interface TriedRule {
  name: string;
  place: Place;
  /** `after`: an earlier rule had matched, so this one was not asked. */
  result: "matched" | "no" | "after";
  /** Its terms up to the first that did not hold. */
  terms: TriedTerm[];
}

export interface TriedName {
  path: string;
  rules: TriedRule[];
  matched: Rule | undefined;
}

export interface Explanation {
  names: TriedName[];
  /** What the plan starts from: keep with a reason, or the right to leave. */
  decision: Decision;
  judgement: Judgement;
  /** How much it should leave, compared with others; see rank.ts. */
  score: number;
  /** From now on, as long as nobody touches it. */
  stages: Stage[];
}

/** Explains one file. */
export function explain(
  rules: Rules,
  facts: FileFacts,
  { now, chunkSize }: { now: number; chunkSize: number },
): Explanation {
  const judgement = judge(rules, facts, { now, chunkSize });
  return {
    names: facts.paths.map((path) => tryName(rules, { path, facts, now })),
    decision: undecided(facts, judgement),
    judgement,
    score: scoreAt(facts, rules.policy.evict.order, now),
    stages: timeline(rules, facts, { now, chunkSize }),
  };
}

function tryName(rules: Rules, view: View): TriedName {
  const tried: TriedRule[] = [];
  let matched: Rule | undefined;
  for (const [index, rule] of rules.policy.rules.entries()) {
    const { name, place } = rule;
    if (matched !== undefined) {
      tried.push({ name, place, result: "after", terms: [] });
      continue;
    }
    const { held, terms } = tryMatch(rules.matches[index], view);
    tried.push({ name, place, result: held ? "matched" : "no", terms });
    if (held) matched = rule;
  }
  return { path: view.path, rules: tried, matched };
}

function tryMatch(match: CompiledMatch, view: View): { held: boolean; terms: TriedTerm[] } {
  const terms: TriedTerm[] = [];
  for (const term of match.terms) {
    const held = term.holds(view);
    terms.push({ key: term.key, written: term.written, saw: term.saw(view), held });
    if (!held) return { held, terms };
  }
  for (const excluded of match.not) {
    if (!matches(excluded, view)) continue;
    const written = excluded.terms.map((term) => `${term.key} ${term.written}`).join(" and ");
    const saw = excluded.terms.map((term) => term.saw(view)).join(", ");
    terms.push({ key: "not", written, saw, held: false });
    return { held: false, terms };
  }
  return { held: true, terms };
}

/** An explanation as lines for people. `when` prints a point in time. */
export function renderExplanation(
  explanation: Explanation,
  { now, when }: { now: number; when: (ms: number) => string },
): string[] {
  const lines: string[] = [];
  for (const { path, rules, matched } of explanation.names) {
    lines.push(path);
    for (const rule of rules) {
      const { name, place, result } = rule;
      if (result === "after") continue;
      const why = result === "matched" ? "matches" : `no: ${printTerm(rule.terms.at(-1))}`;
      lines.push(`  ${printPlace(place)} ${name}: ${why}`);
    }
    if (matched === undefined) lines.push("  no rule matches: it may leave, in its turn");
  }
  const { decision, judgement, stages } = explanation;
  lines.push(`decided by ${printRule(decision.rule)}`);
  lines.push(`now: ${stageText(judgement)}`);
  for (const { fromMs, judgement: later } of stages.slice(1)) {
    const rule = later.outcome.rule === judgement.outcome.rule
      ? ""
      : `, by ${printRule(later.outcome.rule)}`;
    lines.push(
      `in ${formatDuration(fromMs - now)} (${when(fromMs)}), unless it is used: ${
        stageText(later)
      }${rule}`,
    );
  }
  return lines;
}

const printTerm = (term: TriedTerm | undefined) =>
  term === undefined
    ? "nothing"
    : term.key === "not"
    ? `it is excluded by not: ${term.written}`
    : `${term.key} is ${term.saw}, not ${term.written}`;

/** What a judgement means for the file, in one sentence. */
export function stageText(judgement: Judgement): string {
  const { tier } = judgement;
  if (tier === 0) return "leaves before all others when space is needed";
  if (tier !== undefined && tier < FIRST_YIELDING_TIER) {
    return "leaves in its turn when space is needed";
  }
  const stays = `stays: ${REASONS[stayReason(judgement)]}`;
  return tier === undefined ? stays : `${stays}; leaves all the same when writers wait for space`;
}
