/**
 * Shows every file of a file system to surveys (src/policy/survey.ts), with one reading of the
 * databases for all of them. Only reads, and in short reads. The commands that preview and the
 * benchmarks use the same.
 */
import type { Prefilter } from "../domain/prefilter.ts";
import type { AbsentSearch } from "../metadata/absent_search.ts";
import { mergeNeeds } from "../metadata/facts_columns.ts";
import type { FactsWalk } from "../metadata/facts_walk.ts";
import type { FileFacts } from "../policy/facts.ts";
import type { Survey } from "../policy/survey.ts";
import type { ActivePolicy } from "./active_policy.ts";

export interface PolicySurvey {
  survey: Survey;
  active: ActivePolicy;
}

export interface Showing {
  walk: FactsWalk;
  absent: AbsentSearch;
  /** The time that the surveys are made for, wall clock, milliseconds. */
  now: number;
  /** Inodes that somebody has open, and whether for writing. */
  open: ReadonlyMap<number, { writing: boolean }>;
  /** Told of those with local content, with their row in the surveys. */
  seen?: (facts: FileFacts, row: number) => void;
}

/** Shows them. Answers how many of the files that are not here it had to look at. */
export function showTree(
  surveys: readonly PolicySurvey[],
  { walk, absent, now, open, seen }: Showing,
): { looked: number } {
  const needs = mergeNeeds(
    surveys.map(({ active }) => active.walkNeeds({ names: seen !== undefined })),
  );
  const first = surveys[0].survey;
  walk.here(needs, (facts) => {
    const state = open.size === 0 ? undefined : open.get(facts.inode);
    facts.open = state !== undefined;
    facts.writing = state?.writing === true;
    const row = first.length;
    for (const { survey, active } of surveys) survey.add(active.facts(facts));
    if (first.length > row) seen?.(facts, row);
  });
  for (const { survey } of surveys) survey.addEvicted(walk.absent);
  if (walk.absent.files === 0) return { looked: 0 };
  return { looked: matchAbsent(surveys, { absent, now }) };
}

/** Whether a rule matches nothing at all is also up to what is not here. */
function matchAbsent(
  surveys: readonly PolicySurvey[],
  { absent, now }: { absent: AbsentSearch; now: number },
): number {
  const needs = mergeNeeds(surveys.map(({ active }) => active.walkNeeds({ names: false })));
  const all = surveys.map(({ survey, active }) => ({
    survey,
    active,
    filters: active.prefilters(now),
  }));
  const filters = (): Prefilter[] =>
    all.flatMap(({ survey, filters }) => survey.unmatched.map(({ index }) => filters[index]));
  let looked = 0;
  absent.files(needs, filters, (facts) => {
    looked++;
    for (const { survey, active } of all) {
      if (survey.unmatched.length > 0) survey.noteRule(active.facts(facts));
    }
  });
  return looked;
}
