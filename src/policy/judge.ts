/**
 * May this file leave, and if not, why? The one judgement that plans, previews, explanations, replays
 * and the engine share. Pure. Promises that dirty, open, pinned, local and unconfirmed content never
 * gets a tier, whatever else holds.
 */
import { type ByteClass, type FileFacts, headCharge } from "./facts.ts";
import type { Block, Yield } from "./model.ts";
import type { Outcome, Rules } from "./outcome.ts";

/** Why a file that nothing blocks stays all the same. */
export type Stay = "pinned_by_rule" | "local" | "after" | "head" | "evicted";

export interface Judgement {
  outcome: Outcome;
  class: ByteClass;
  /** Bytes that evicting it would drop. */
  frees: number;
  /**
   * In which wave it may leave: 0 `evict: first`, 1 all others, from 2 on those for which a `yields`
   * has to give way, which happens only where writers wait. Undefined: not at all.
   */
  tier: number | undefined;
  /** What stands in the way; for tiers from 2 on, what has to give way. */
  block?: Block;
  stay?: Stay;
  /** When what stands in the way ends by itself; undefined: nobody knows. */
  untilMs?: number;
}

export const FIRST_YIELDING_TIER = 2;

/** Judges one file. */
export function judge(
  rules: Rules,
  facts: FileFacts,
  { now, chunkSize }: { now: number; chunkSize: number },
): Judgement {
  const outcome = rules.outcome(facts, now);
  const head = headCharge({ size: facts.size, keepHead: outcome.keepHead, chunkSize });
  const frees = Math.max(0, facts.resident - head);
  const judged = { outcome, frees, tier: undefined };
  const userUntil = facts.pin === undefined ? -Infinity : facts.pin.untilMs ?? Infinity;

  if (facts.resident === 0 && !facts.dirty) {
    return { ...judged, class: "evicted", stay: "evicted" };
  }
  if (outcome.local) return { ...judged, class: "local", stay: "local" };
  if (outcome.pinnedUntilMs > now) {
    const untilMs = Math.max(outcome.pinnedUntilMs, userUntil);
    return { ...judged, class: "pinned", stay: "pinned_by_rule", untilMs };
  }
  if (userUntil > now) return { ...judged, class: "pinned", block: "pinned", untilMs: userUntil };
  if (facts.dirty) return { ...judged, class: "dirty", block: "dirty" };
  if (facts.open) return { ...judged, class: "open", block: "open" };
  if (!facts.confirmed) return { ...judged, class: "clean", block: "unconfirmed" };
  if (frees === 0) return { ...judged, class: "clean", stay: "head" };
  return { ...judged, class: "clean", ...timing(rules, { outcome, facts, now }) };
}

/** The wave in which content leaves that nothing but time can hold back. */
function timing(
  rules: Rules,
  { outcome, facts, now }: { outcome: Outcome; facts: FileFacts; now: number },
): Pick<Judgement, "tier" | "block" | "stay" | "untilMs"> {
  const { minResidenceMs, yields } = rules.policy.evict;
  const oldEnough = facts.residentSinceMs + minResidenceMs;
  const unused = facts.lastUsedMs + outcome.afterMs;
  const young = now < oldEnough;
  const early = outcome.afterMs > 0 && now < unused;
  if (!young && !early) return { tier: outcome.first ? 0 : 1 };
  const wave = (held: boolean, name: Yield) => {
    if (!held) return 0;
    const place = yields.indexOf(name);
    return place < 0 ? Infinity : FIRST_YIELDING_TIER + place;
  };
  const tier = Math.max(wave(early, "after"), wave(young, "min_residence"));
  return {
    tier: Number.isFinite(tier) ? tier : undefined,
    ...(young ? { block: "too_young" as const } : { stay: "after" as const }),
    untilMs: Math.max(young ? oldEnough : -Infinity, early ? unused : -Infinity),
  };
}
