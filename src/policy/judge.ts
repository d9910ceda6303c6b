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
  const head = outcome.keepHead === 0
    ? 0
    : headCharge({ size: facts.size, keepHead: outcome.keepHead, chunkSize });
  // One literal, so that millions of them have one shape.
  const judgement: Judgement = {
    outcome,
    class: "clean",
    frees: Math.max(0, facts.resident - head),
    tier: undefined,
    block: undefined,
    stay: undefined,
    untilMs: undefined,
  };
  if (!hold(judgement, facts, now)) wave(judgement, facts, { rules, now });
  return judgement;
}

/** Whether something other than time holds it here; notes what. */
function hold(judgement: Judgement, facts: FileFacts, now: number): boolean {
  const { outcome } = judgement;
  const userUntil = facts.pin === undefined ? -Infinity : facts.pin.untilMs ?? Infinity;
  if (facts.resident === 0 && !facts.dirty) {
    judgement.class = "evicted";
    judgement.stay = "evicted";
  } else if (outcome.local) {
    judgement.class = "local";
    judgement.stay = "local";
  } else if (outcome.pinnedUntilMs > now) {
    judgement.class = "pinned";
    judgement.stay = "pinned_by_rule";
    judgement.untilMs = Math.max(outcome.pinnedUntilMs, userUntil);
  } else if (userUntil > now) {
    judgement.class = "pinned";
    judgement.block = "pinned";
    judgement.untilMs = userUntil;
  } else if (facts.dirty) {
    judgement.class = "dirty";
    judgement.block = "dirty";
  } else if (facts.open) {
    judgement.class = "open";
    judgement.block = "open";
  } else if (!facts.confirmed) judgement.block = "unconfirmed";
  else if (judgement.frees === 0) judgement.stay = "head";
  else return false;
  return true;
}

/** The wave in which content leaves that nothing but time can hold back. */
function wave(
  judgement: Judgement,
  facts: FileFacts,
  { rules, now }: { rules: Rules; now: number },
): void {
  const { outcome } = judgement;
  const { minResidenceMs, yields } = rules.policy.evict;
  const oldEnough = facts.residentSinceMs + minResidenceMs;
  const unused = facts.lastUsedMs + outcome.afterMs;
  const young = now < oldEnough;
  const early = outcome.afterMs > 0 && now < unused;
  if (!young && !early) {
    judgement.tier = outcome.first ? 0 : 1;
    return;
  }
  const tierOf = (held: boolean, name: Yield) => {
    if (!held) return 0;
    const place = yields.indexOf(name);
    return place < 0 ? Infinity : FIRST_YIELDING_TIER + place;
  };
  const tier = Math.max(tierOf(early, "after"), tierOf(young, "min_residence"));
  if (Number.isFinite(tier)) judgement.tier = tier;
  if (young) judgement.block = "too_young";
  else judgement.stay = "after";
  judgement.untilMs = Math.max(young ? oldEnough : -Infinity, early ? unused : -Infinity);
}
