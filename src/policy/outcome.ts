/**
 * Which rule decides for a file, and what it says: first match per name, the strictest keep over all
 * names. Compiles a policy once. Pure; knows nothing of dirty, open or how full the disk is.
 */
import type { FileFacts } from "./facts.ts";
import { type CompiledMatch, compileMatch, flipsOf, matches, type View } from "./match.ts";
import type { Match, Policy, Rule } from "./model.ts";

/** What the rules say of a file at a time. */
export interface Outcome {
  /** The rule that decides; undefined: none matched, the file may leave. */
  rule: Rule | undefined;
  /** Never uploaded, never evicted. */
  local: boolean;
  /** Pinned until then; Infinity: for ever; -Infinity: not pinned. */
  pinnedUntilMs: number;
  /** Has to be unused for so long; 0: for no time. */
  afterMs: number;
  /** Leaves before all others. */
  first: boolean;
  keepHead: number;
}

/** Of facts, those that only some policies look at. */
export interface Needs {
  uses: boolean;
  xattrs: boolean;
  owners: boolean;
  names: boolean;
  age: boolean;
  modified: boolean;
  heat: boolean;
}

/** A policy that is ready to be asked. */
export class Rules {
  readonly policy: Policy;
  readonly matches: readonly CompiledMatch[];
  readonly #outcomes: readonly Outcome[];
  /** What facts have to bring along, so that nobody reads what no rule asks for. */
  readonly needs: Needs;

  constructor(policy: Policy) {
    this.policy = policy;
    const { halfLifeMs } = policy.evict.order;
    this.matches = policy.rules.map((rule) => compileMatch(rule.match, halfLifeMs));
    this.#outcomes = policy.rules.map(outcomeOf);
    const all = policy.rules.flatMap(({ match }) => [...allOf(match)]);
    const asks = (key: keyof Match) => all.some((match) => match[key] !== undefined);
    this.needs = {
      uses: asks("uses"),
      xattrs: asks("xattr"),
      owners: asks("owner") || asks("group"),
      names: asks("path") || asks("name"),
      age: asks("age"),
      modified: asks("modified"),
      heat: asks("heat"),
    };
  }

  /** The first rule that matches this name; undefined where none does. */
  ruleFor(view: View): Rule | undefined {
    const index = this.matches.findIndex((match) => matches(match, view));
    return index < 0 ? undefined : this.policy.rules[index];
  }

  #ofName(view: View): Outcome {
    const rule = this.ruleFor(view);
    if (rule === undefined) return UNRULED;
    const outcome = this.#outcomes[rule.index];
    // A pin that is over says nothing more; whether it may leave is up to the rest of the rule.
    return outcome.pinnedUntilMs <= view.now ? withoutPin(outcome) : outcome;
  }

  /** What the rules say of a file at `now`. */
  outcome(facts: FileFacts, now: number): Outcome {
    let strictest = this.#ofName({ path: facts.paths[0], facts, now });
    for (let index = 1; index < facts.paths.length; index++) {
      const other = this.#ofName({ path: facts.paths[index], facts, now });
      strictest = stricter(strictest, other);
    }
    return strictest;
  }

  /** False: none of these rules decides for the file. True: one may, where no earlier one does. */
  mayDecide(rules: readonly Rule[], facts: FileFacts, now: number): boolean {
    return rules.some(({ index }) =>
      facts.paths.some((path) => matches(this.matches[index], { path, facts, now }))
    );
  }

  /** Times from which the outcome may be another one while nobody touches the file; ascending. */
  flips(facts: FileFacts, after: number): number[] {
    const times = new Set<number>();
    for (const path of facts.paths) {
      for (const match of this.matches) {
        for (const at of flipsOf(match, { path, facts, now: after })) times.add(at);
      }
    }
    for (const { keep } of this.policy.rules) {
      if (keep?.kind === "pinned_until") times.add(keep.untilMs);
    }
    return [...times].filter((at) => at > after).sort((a, b) => a - b);
  }
}

/** A match, and all that it excludes. */
function* allOf(match: Match): Generator<Match> {
  yield match;
  for (const excluded of match.not ?? []) yield* allOf(excluded);
}

const UNRULED: Outcome = {
  rule: undefined,
  local: false,
  pinnedUntilMs: -Infinity,
  afterMs: 0,
  first: false,
  keepHead: 0,
};

function outcomeOf(rule: Rule): Outcome {
  const { keep, evict, local, keepHead } = rule;
  return {
    rule,
    local,
    pinnedUntilMs: keep === undefined
      ? -Infinity
      : keep.kind === "pinned"
      ? Infinity
      : keep.untilMs,
    afterMs: evict?.kind === "after" ? evict.afterMs : 0,
    first: evict?.kind === "first",
    keepHead,
  };
}

const withoutPin = (outcome: Outcome): Outcome =>
  outcome.pinnedUntilMs === -Infinity ? outcome : { ...outcome, pinnedUntilMs: -Infinity };

/**
 * The strictest keep of two names. A file of which only one name is local is saved all the same, for
 * the sake of the other, and never evicted, for the sake of the one.
 */
function stricter(a: Outcome, b: Outcome): Outcome {
  const local = a.local && b.local;
  const pins = [a, b].map((each) => each.local ? Infinity : each.pinnedUntilMs);
  const decides = strictness(a) >= strictness(b) ? a : b;
  return {
    rule: decides.rule,
    local,
    pinnedUntilMs: local ? -Infinity : Math.max(...pins),
    afterMs: Math.max(a.afterMs, b.afterMs),
    first: a.first && b.first,
    keepHead: Math.max(a.keepHead, b.keepHead),
  };
}

function strictness(outcome: Outcome): number {
  if (outcome.local) return Infinity;
  if (outcome.pinnedUntilMs > -Infinity) return 1e16 + outcome.pinnedUntilMs;
  if (outcome.afterMs > 0) return outcome.afterMs;
  return outcome.first ? -1 : 0;
}
