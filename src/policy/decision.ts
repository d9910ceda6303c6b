/**
 * What a plan answers for one file, and how that reads. Pure data and text.
 */
import type { FileFacts } from "./facts.ts";
import type { Judgement } from "./judge.ts";
import type { Block, Place, Verdict } from "./model.ts";
import { printPlace } from "./problems.ts";

/** Why, as a word for programs; `REASONS` has the sentence for people. */
export type Reason = keyof typeof REASONS;

export const REASONS = {
  first: "its rule lets it leave before all others",
  ranked: "least worth keeping of what may leave",
  after_yields: "not unused for long enough, which gives way because writers wait for space",
  residence_yields: "not here for long, which gives way because writers wait for space",
  quiet: "not in the bucket yet and quiet for long enough",
  deadline: "not in the bucket yet and never quiet, but its deadline is over",
  waits_for_quiet: "not in the bucket yet; it is uploaded once it is quiet",
  pinned_by_rule: "its rule keeps it here",
  pinned_by_user: "pinned by the user",
  local: "never uploaded, so this is its only copy",
  after: "not unused for long enough",
  head: "only its head is left, which stays",
  evicted: "evicted already",
  dirty: "not in the bucket yet",
  open: "somebody has it open",
  unconfirmed: "the bucket has not confirmed it yet",
  too_young: "it has not been here for min_residence",
  room: "no space is needed",
  reached: "the mark is reached without it",
  max_per_run: "the run has reached max_per_run; the next one goes on",
  breaker: "the breaker stopped the run",
} as const;

export interface Decision {
  inode: number;
  /** The first of its names. */
  path: string;
  size: number;
  resident: number;
  lastUsedMs: number;
  verdict: Verdict;
  block?: Block;
  reason: Reason;
  /** The rule that decided; undefined: none matched. */
  rule?: { name: string; place: Place };
  /** Bytes that this drops (evict), or would. */
  frees: number;
  /** Bytes at its start that stay. */
  keepHead: number;
  /** For evictions: bytes still to be freed after it. */
  left?: number;
  /** When the reason ends by itself. */
  untilMs?: number;
}

/** A decision to evict, without what is only shown. */
export type Choice = Pick<
  Decision,
  "inode" | "verdict" | "reason" | "rule" | "frees" | "keepHead" | "left"
>;

/** A file's decision before anybody looks at the disk: it stays. */
export function undecided(facts: FileFacts, judgement: Judgement): Decision {
  const { outcome, frees, untilMs } = judgement;
  return {
    inode: facts.inode,
    path: facts.paths[0],
    size: facts.size,
    resident: facts.resident,
    lastUsedMs: facts.lastUsedMs,
    verdict: "keep",
    reason: stayReason(judgement),
    rule: outcome.rule,
    frees,
    keepHead: outcome.keepHead,
    untilMs,
  };
}

/** Why a file stays for reasons of its own; `room` where it has none. */
export function stayReason({ stay, block }: Judgement): Reason {
  if (stay !== undefined) return stay;
  if (block === undefined) return "room";
  return block === "pinned" ? "pinned_by_user" : block;
}

/** `evict`, `keep`, `blocked: too young` … */
export function printVerdict({ verdict, block }: Pick<Decision, "verdict" | "block">): string {
  return block === undefined ? verdict : `${verdict}: ${block.replaceAll("_", " ")}`;
}

/** `films (laptop.yaml:24:5)`, or that no rule matched. */
export function printRule(rule: Decision["rule"]): string {
  return rule === undefined ? "no rule" : `${rule.name} (${printPlace(rule.place)})`;
}
