/**
 * What a match asks at least of a file, as a database can be asked (src/domain/prefilter.ts). Says too
 * little rather than too much: what a file that matches could lack is left out. Pure.
 */
import type { NamePattern, NameTest, Prefilter, Span } from "../domain/prefilter.ts";
import { compileGlob, expandBraces } from "./glob.ts";
import type { Match, Range } from "./model.ts";

/** Numbers of the users and groups of a name. */
export interface AccountNumbers {
  uids(name: string): readonly number[];
  gids(name: string): readonly number[];
}

/** `not` excludes further files only, and so has no part in it; nor have heat and attributes. */
export function prefilterOf(
  match: Match,
  { now, accounts }: { now: number; accounts: AccountNumbers },
): Prefilter {
  const filter: Prefilter = {};
  if (match.size) filter.size = spanOf(match.size);
  if (match.linkCount) filter.links = spanOf(match.linkCount);
  if (match.age) filter.createdMs = since(match.age, now);
  if (match.modified) filter.changedMs = since(match.modified, now);
  if (match.idle) filter.lastUsedMs = since(match.idle, now);
  // Not its last use: a clock that was set back may have put others after it.
  if (match.uses) filter.uses = match.uses.count.min;
  if (match.owner) filter.uids = idsOf(match.owner, (name) => accounts.uids(name));
  if (match.group) filter.gids = idsOf(match.group, (name) => accounts.gids(name));
  const names = patternsOf(match.path, "path") ?? patternsOf(match.name, "name");
  if (names !== undefined) filter.names = names;
  return filter;
}

const spanOf = ({ min, max }: Range): Span => ({ min, max });

/** Times that lie as long before `now` as a range says; all that are yet to come count as `now`. */
function since({ min, max }: Range, now: number): Span {
  return { min: now - max, max: min > 0 ? now - min : Infinity };
}

const idsOf = (
  wanted: readonly (string | number)[],
  numbersOf: (name: string) => readonly number[],
) => [...new Set(wanted.flatMap((each) => typeof each === "number" ? [each] : numbersOf(each)))];

/** Undefined: nothing can be said of the names. */
function patternsOf(
  globs: readonly string[] | undefined,
  kind: "path" | "name",
): NamePattern[] | undefined {
  const patterns: NamePattern[] = [];
  for (const glob of globs?.flatMap(expandBraces) ?? ["**"]) {
    if (OPAQUE.test(glob)) return undefined;
    patterns.push(...kind === "path" ? pathPatterns(glob) : [{ test: testOf(glob) }]);
  }
  const all = patterns.some((each) => each.in === undefined && each.test === undefined);
  return all ? undefined : patterns;
}

/** Globs that are more than names, stars, question marks, and double stars for whole names. */
const OPAQUE = /[[\]{}()!+@\\]|\*\*[^/]|[^/]\*\*|\/\//;

/**
 * A glob on paths. Its last part speaks of the last name alone, so whether it matches in a directory
 * can be asked with any name that this part matches; after a double star any name will do, but the
 * glob matches the very path before it, too.
 */
function pathPatterns(glob: string): NamePattern[] {
  const cut = glob.lastIndexOf("/");
  const [directory, last] = [glob.slice(0, Math.max(0, cut)), glob.slice(cut + 1)];
  const matches = compileGlob(glob);
  const probe = last === "**" ? "x" : last.replaceAll(/[*?]/g, "x");
  const pattern: NamePattern = {};
  if (directory !== "**" && glob !== "**" && glob !== "/**") {
    pattern.in = (path) => matches(`${path}/${probe}`);
  }
  if (last === "**") return [pattern, ...directory === "" ? [] : pathPatterns(directory)];
  const test = testOf(last);
  if (test !== undefined) pattern.test = test;
  return [pattern];
}

/** What a name has to be, or begin or end with; undefined: nothing that is sure. */
function testOf(part: string): NameTest | undefined {
  if (!/[*?]/.test(part)) return { kind: "is", text: part };
  // A name in which bytes are printed as `\xNN` may end with such digits without those bytes.
  const ends = /[^*?]*$/.exec(part)![0].replace(/^[0-9a-fA-Fx]+/, "");
  if (ends !== "") return { kind: "ends", text: ends };
  const starts = /^[^*?]*/.exec(part)![0];
  return starts === "" ? undefined : { kind: "starts", text: starts };
}
