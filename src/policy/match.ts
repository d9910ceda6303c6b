/**
 * Matches, made ready to be asked: every glob compiled once, each term able to say whether it
 * holds, what it saw, and when its answer may change. Pure.
 */
import { cooled } from "../domain/heat.ts";
import type { FileFacts } from "./facts.ts";
import { compileGlob } from "./glob.ts";
import type { Match, Range } from "./model.ts";
import { inRange, printDuration, printRange, printSize } from "./quantities.ts";

/** One name of a file, at a time. */
export interface View {
  path: string;
  facts: FileFacts;
  now: number;
}

export interface Term {
  key: string;
  /** As the policy writes it. */
  written: string;
  holds(view: View): boolean;
  /** What it saw, for people. */
  saw(view: View): string;
  /** Times at which the answer may change while nobody touches the file. */
  flips?(view: View): number[];
}

export interface CompiledMatch {
  /** Cheap ones first. */
  terms: readonly Term[];
  not: readonly CompiledMatch[];
}

/** Whether a match holds for one name of a file. */
export function matches(match: CompiledMatch, view: View): boolean {
  for (const term of match.terms) if (!term.holds(view)) return false;
  for (const excluded of match.not) if (matches(excluded, view)) return false;
  return true;
}

/** Times after which `matches` may answer otherwise. */
export function flipsOf(match: CompiledMatch, view: View): number[] {
  const times = match.terms.flatMap((term) => term.flips?.(view) ?? []);
  return [...times, ...match.not.flatMap((excluded) => flipsOf(excluded, view))];
}

const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
const since = (ms: number, now: number) => Math.max(0, now - ms);

/** Compiles a match. `halfLifeMs` is the policy's, for heat. */
export function compileMatch(match: Match, halfLifeMs: number): CompiledMatch {
  const terms: Term[] = [];
  if (match.size) terms.push(sizeTerm(match.size));
  if (match.linkCount) {
    terms.push(countTerm("link_count", match.linkCount, ({ facts }) => facts.links));
  }
  if (match.owner) terms.push(idTerm("owner", match.owner, (facts) => [facts.uid, facts.owner]));
  if (match.group) terms.push(idTerm("group", match.group, (facts) => [facts.gid, facts.group]));
  if (match.idle) terms.push(timeTerm("idle", match.idle, (facts) => facts.lastUsedMs));
  if (match.age) terms.push(timeTerm("age", match.age, (facts) => facts.createdMs));
  if (match.modified) terms.push(timeTerm("modified", match.modified, (facts) => facts.changedMs));
  if (match.name) terms.push(globTerm("name", match.name, nameOf));
  if (match.path) terms.push(globTerm("path", match.path, (path) => path));
  if (match.heat) terms.push(heatTerm(match.heat, halfLifeMs));
  if (match.uses) terms.push(usesTerm(match.uses));
  for (const [name, globs] of Object.entries(match.xattr ?? {})) terms.push(xattrTerm(name, globs));
  return { terms, not: (match.not ?? []).map((each) => compileMatch(each, halfLifeMs)) };
}

function globTerm(key: string, globs: readonly string[], part: (path: string) => string): Term {
  const matchers = globs.map(compileGlob);
  const one = matchers.length === 1 ? matchers[0] : undefined;
  return {
    key,
    written: globs.join(", "),
    holds: one === undefined
      ? ({ path }) => matchers.some((matcher) => matcher(part(path)))
      : ({ path }) => one(part(path)),
    saw: ({ path }) => part(path),
  };
}

function sizeTerm(range: Range): Term {
  return {
    key: "size",
    written: printRange(range, printSize),
    holds: ({ facts }) => inRange(facts.size, range),
    saw: ({ facts }) => printSize(facts.size),
  };
}

function countTerm(key: string, range: Range, value: (view: View) => number): Term {
  return {
    key,
    written: printRange(range, String),
    holds: (view) => inRange(value(view), range),
    saw: (view) => String(Math.round(value(view) * 100) / 100),
  };
}

function timeTerm(key: string, range: Range, from: (facts: FileFacts) => number): Term {
  return {
    key,
    written: printRange(range, printDuration),
    holds: ({ facts, now }) => inRange(since(from(facts), now), range),
    saw: ({ facts, now }) => printDuration(since(from(facts), now)),
    flips: ({ facts }) =>
      // Just at the bound, and just past it: one of the two is where the answer changes.
      [range.min, range.max].filter(Number.isFinite)
        .flatMap((bound) => [from(facts) + bound, from(facts) + bound + 1]),
  };
}

function heatTerm(range: Range, halfLifeMs: number): Term {
  const term = countTerm("heat", range, ({ facts, now }) => cooled(facts, { now, halfLifeMs }));
  return {
    ...term,
    flips: ({ facts }) =>
      [range.min, range.max].filter((bound) => Number.isFinite(bound) && bound > 0).flatMap(
        (bound) => {
          if (facts.heat <= 0) return [];
          const at = Math.floor(facts.heatAtMs + halfLifeMs * Math.log2(facts.heat / bound));
          return [at, at + 1, at + 2];
        },
      ),
  };
}

function usesTerm({ count, windowMs }: { count: Range; windowMs: number }): Term {
  const within = ({ facts, now }: View) =>
    (facts.uses ?? []).reduce((sum, at) => at > now - windowMs && at <= now ? sum + 1 : sum, 0);
  return {
    ...countTerm("uses", count, within),
    written: `${printRange(count, String)} in ${printDuration(windowMs)}`,
    flips: ({ facts }) => (facts.uses ?? []).map((at) => at + windowMs),
  };
}

function idTerm(
  key: string,
  wanted: readonly (string | number)[],
  ids: (facts: FileFacts) => (string | number | undefined)[],
): Term {
  return {
    key,
    written: wanted.join(", "),
    holds: ({ facts }) => ids(facts).some((id) => id !== undefined && wanted.includes(id)),
    saw: ({ facts }) => ids(facts).filter((id) => id !== undefined).join(" "),
  };
}

function xattrTerm(name: string, globs: readonly string[]): Term {
  const matchers = globs.map(compileGlob);
  const value = (facts: FileFacts): string | undefined =>
    facts.xattrs !== undefined && Object.hasOwn(facts.xattrs, name)
      ? facts.xattrs[name]
      : undefined;
  return {
    key: `xattr ${name}`,
    written: globs.join(", "),
    holds: ({ facts }) => {
      const has = value(facts);
      return has !== undefined && matchers.some((matcher) => matcher(has));
    },
    saw: ({ facts }) => value(facts) ?? "nothing",
  };
}
