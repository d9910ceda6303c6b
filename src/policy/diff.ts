/** What changes when one policy replaces another: files whose verdict differs, bytes, money. Pure. */
import type { Decision } from "./decision.ts";
import type { Plan } from "./plan.ts";

export interface Change {
  inode: number;
  path: string;
  resident: number;
  /** Undefined: that plan says nothing of the file. */
  before: Decision | undefined;
  after: Decision | undefined;
}

export interface PlanDiff {
  /** In the order of the second plan, then what only the first one has. */
  changes: Change[];
  /** Resident bytes of the files that change, by `before → after`. */
  transitions: Record<string, { files: number; bytes: number }>;
  /** After minus before. */
  freed: number;
  missing: number;
  /** Undefined where a plan was made without prices. */
  undo: number | undefined;
  uploadsPerMonth: number | undefined;
}

const verdictOf = (decision: Decision | undefined) =>
  decision === undefined ? "none" : decision.block ?? decision.verdict;

/** Compares two plans over the same facts. */
export function diffPlans(before: Plan, after: Plan): PlanDiff {
  const old = new Map(before.decisions.map((decision) => [decision.inode, decision]));
  const changes: Change[] = [];
  const add = (one: Decision | undefined, other: Decision | undefined) => {
    // The rule may be another one: as long as the verdict is the same, nothing changes for the file.
    if (verdictOf(one) === verdictOf(other)) return;
    const { inode, path, resident } = (other ?? one)!;
    changes.push({ inode, path, resident, before: one, after: other });
  };
  for (const decision of after.decisions) {
    add(old.get(decision.inode), decision);
    old.delete(decision.inode);
  }
  for (const decision of old.values()) add(decision, undefined);

  const transitions: PlanDiff["transitions"] = {};
  for (const change of changes) {
    const name = `${verdictOf(change.before)} → ${verdictOf(change.after)}`;
    const tally = transitions[name] ??= { files: 0, bytes: 0 };
    tally.files++;
    tally.bytes += change.resident;
  }
  const money = (key: "undo" | "uploadsPerMonth") =>
    before.totals.money && after.totals.money
      ? after.totals.money[key] - before.totals.money[key]
      : undefined;
  return {
    changes,
    transitions,
    freed: after.totals.freed - before.totals.freed,
    missing: (after.unmet?.missing ?? 0) - (before.unmet?.missing ?? 0),
    undo: money("undo"),
    uploadsPerMonth: money("uploadsPerMonth"),
  };
}
