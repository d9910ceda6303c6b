/**
 * What the rules will say of a file, and when, as long as nobody touches it. From this come the keys
 * under which an index keeps a file, and what an explanation says about the future. Pure.
 */
import type { FileFacts } from "./facts.ts";
import { FIRST_YIELDING_TIER, judge, type Judgement } from "./judge.ts";
import type { Rules } from "./outcome.ts";
import { rankOf } from "./rank.ts";

/** From a time on, the rules say this. */
export interface Stage {
  fromMs: number;
  judgement: Judgement;
}

/** A file as it would be if nothing but rules and pins held it: then only time is left to wait for. */
const atRest = (facts: FileFacts): FileFacts => ({
  ...facts,
  dirty: false,
  open: false,
  confirmed: true,
  resident: Math.max(facts.resident, 1),
});

const same = (a: Judgement, b: Judgement) =>
  a.outcome.rule === b.outcome.rule && a.tier === b.tier && a.stay === b.stay &&
  a.block === b.block && a.class === b.class;

/** The stages of a file from `now` on; the first one holds now. */
export function timeline(
  rules: Rules,
  facts: FileFacts,
  { now, chunkSize }: { now: number; chunkSize: number },
): Stage[] {
  const rest = atRest(facts);
  const stages: Stage[] = [];
  const times = new Set(rules.flips(rest, now));
  if (rest.pin?.untilMs !== undefined) times.add(rest.pin.untilMs);
  times.add(rest.residentSinceMs + rules.policy.evict.minResidenceMs);
  for (const { evict } of rules.policy.rules) {
    if (evict?.kind === "after") times.add(rest.lastUsedMs + evict.afterMs);
  }
  for (const fromMs of [now, ...[...times].filter((at) => at > now).sort((a, b) => a - b)]) {
    const judgement = judge(rules, rest, { now: fromMs, chunkSize });
    const last = stages.at(-1);
    if (last === undefined || !same(last.judgement, judgement)) stages.push({ fromMs, judgement });
  }
  return stages;
}

/**
 * The columns of an index over files with resident content. All three change only when the file, its
 * name or the policy does, so an index on them never has to be walked to stay true:
 *
 *   first   WHERE first_at_ms <= now ORDER BY rank, inode      leaves before all others
 *   ranked  WHERE leaves_at_ms <= now ORDER BY rank, inode     may leave
 *   held    WHERE leaves_at_ms > now  ORDER BY rank, inode     not yet
 *
 * A key may lag behind (after a directory was renamed, say): whoever is found at the head is judged
 * by its facts, and gets its right key then.
 */
export interface QueueKey {
  rank: number;
  /** From when it leaves before all others, as far as rules and pins go; Infinity: never. */
  firstAtMs: number;
  /** From when it may leave; Infinity: never. */
  leavesAtMs: number;
}

/** The keys of a file as it is at `now`. */
export function queueKey(
  rules: Rules,
  facts: FileFacts,
  { now, chunkSize }: { now: number; chunkSize: number },
): QueueKey {
  const stages = timeline(rules, facts, { now, chunkSize });
  const from = (wanted: (tier: number) => boolean) => {
    const index = stages.findIndex(({ judgement: { tier } }) => tier !== undefined && wanted(tier));
    // What holds already has held for long enough: a key does not depend on when it was made.
    return index === 0 ? 0 : stages[index]?.fromMs ?? Infinity;
  };
  return {
    rank: rankOf(facts, rules.policy.evict.order),
    firstAtMs: from((tier) => tier === 0),
    leavesAtMs: from((tier) => tier < FIRST_YIELDING_TIER),
  };
}
