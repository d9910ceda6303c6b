/** What changes when one policy replaces another: files whose verdict differs, bytes, money. Pure. */
import { invariant } from "../domain/errors.ts";
import type { Decision } from "./decision.ts";
import type { Plan } from "./plan.ts";

export interface Change {
  inode: number;
  path: string;
  resident: number;
  before: Decision;
  after: Decision;
}

export interface PlanDiff {
  /** Files that change. */
  files: number;
  /** In the order of the second plan; made as they are asked for. */
  changes: Iterable<Change>;
  /** Resident bytes of the files that change, by `before → after`. */
  transitions: Record<string, { files: number; bytes: number }>;
  /** After minus before. */
  freed: number;
  missing: number;
  /** Undefined where a plan was made without prices. */
  undo: number | undefined;
  uploadsPerMonth: number | undefined;
}

/**
 * Compares two plans whose surveys were shown the same files in the same order: so a file has the same
 * row in both, because whether it has local content does not depend on a policy.
 */
export function diffPlans(before: Plan, after: Plan): PlanDiff {
  const [old, fresh] = [before.survey, after.survey];
  invariant(old.length === fresh.length, "plans over different files are compared");
  const verdictOf = (survey: Plan["survey"], row: number) =>
    survey.block(row) ?? survey.verdict(row);
  // The rule may be another one: as long as the verdict is the same, nothing changes for the file.
  const differs = (row: number) => verdictOf(old, row) !== verdictOf(fresh, row);
  const transitions: PlanDiff["transitions"] = {};
  let files = 0;
  for (const row of after.rows()) {
    if (!differs(row)) continue;
    invariant(old.at.inode[row] === fresh.at.inode[row], "plans over other files are compared");
    files++;
    const name = `${verdictOf(old, row)} → ${verdictOf(fresh, row)}`;
    const tally = transitions[name] ??= { files: 0, bytes: 0 };
    tally.files++;
    tally.bytes += fresh.at.resident[row];
  }
  const money = (key: "undo" | "uploadsPerMonth") =>
    before.totals.money && after.totals.money
      ? after.totals.money[key] - before.totals.money[key]
      : undefined;
  return {
    files,
    changes: {
      *[Symbol.iterator]() {
        for (const row of after.rows()) {
          if (differs(row)) yield changeAt(row);
        }
      },
    },
    transitions,
    freed: after.totals.freed - before.totals.freed,
    missing: (after.unmet?.missing ?? 0) - (before.unmet?.missing ?? 0),
    undo: money("undo"),
    uploadsPerMonth: money("uploadsPerMonth"),
  };

  function changeAt(row: number): Change {
    const decision = fresh.decision(row);
    const { inode, path, resident } = decision;
    return { inode, path, resident, before: old.decision(row), after: decision };
  }
}
