/**
 * Whether one match certainly holds for all that another one matches. Conservative: `true` is a
 * proof, `false` only says that none was found. Pure; used to find rules that can never be reached.
 */
import { compileGlob, expandBraces, isLiteral, literalDirectory } from "./glob.ts";
import type { Match, Range } from "./model.ts";

/** Whether every file that `narrow` matches is matched by `wide`. */
export function covers(wide: Match, narrow: Match): boolean {
  return globsCover(wide.path, narrow.path) &&
    (globsCover(wide.name, narrow.name) || nameFromPath(wide.name, narrow.path)) &&
    rangeCovers(wide.size, narrow.size) &&
    rangeCovers(wide.idle, narrow.idle) &&
    rangeCovers(wide.age, narrow.age) &&
    rangeCovers(wide.modified, narrow.modified) &&
    rangeCovers(wide.heat, narrow.heat) &&
    rangeCovers(wide.linkCount, narrow.linkCount) &&
    listCovers(wide.owner, narrow.owner) &&
    listCovers(wide.group, narrow.group) &&
    usesCover(wide, narrow) &&
    xattrsCover(wide, narrow) &&
    exclusionsCover(wide, narrow);
}

/** Whether a match can hold for no file at all, because it excludes all that it asks for. */
export function matchesNothing(match: Match): boolean {
  return (match.not ?? []).some((excluded) => covers(excluded, { ...match, not: undefined }));
}

/** Whether every text that the glob `narrow` matches is matched by `wide`. */
export function globCovers(wide: string, narrow: string): boolean {
  const wides = expandBraces(wide);
  return expandBraces(narrow).every((each) => wides.some((one) => oneGlobCovers(one, each)));
}

function oneGlobCovers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === "**" || wide === "/**") return true;
  if (isLiteral(narrow)) return compileGlob(wide)(narrow);
  const directory = literalDirectory(wide);
  if (directory !== undefined) {
    // All that starts with the directory: the other must spell it out before its first special.
    return literalStart(narrow).startsWith(`${directory}/`);
  }
  // `**/*.mov` holds whatever ends in `.mov` within one name; `*.mov` as a glob on names likewise.
  const ending = /^(?:\*\*\/)?\*([^*?[\]{}()!+@\\/]+)$/.exec(wide)?.[1];
  if (ending !== undefined && endsWithin(narrow, ending)) {
    return wide.startsWith("**/") || !narrow.includes("/");
  }
  // `**/node_modules/**` holds all below any directory that is spelled out in the other.
  const inside = /^\*\*\/([^*?[\]{}()!+@\\]+)\/\*\*$/.exec(wide)?.[1];
  if (inside !== undefined) {
    return new RegExp(`(^|/)${escapeRegExp(inside)}/`).test(withoutBrackets(narrow));
  }
  return wide === "*" && !narrow.includes("/");
}

const escapeRegExp = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
/** Where brackets or escapes make the plain reading of a glob unsafe, nothing is claimed. */
const withoutBrackets = (glob: string) => /[[\](){}!+@\\]/.test(glob) ? "" : glob;
const literalStart = (glob: string) => /^[^*?[\]{}()!+@\\]*/.exec(glob)![0];
const endsWithin = (glob: string, ending: string) =>
  withoutBrackets(glob).endsWith(ending) && !/[*?/]/.test(ending);

function globsCover(wide?: readonly string[], narrow?: readonly string[]): boolean {
  if (wide === undefined) return true;
  if (wide.some((glob) => glob === "**" || glob === "/**")) return true;
  if (narrow === undefined) return false;
  return narrow.every((each) => wide.some((one) => globCovers(one, each)));
}

/** A glob on names against globs on paths whose last part is spelled out alike. */
function nameFromPath(names?: readonly string[], paths?: readonly string[]): boolean {
  if (names === undefined) return true;
  if (paths === undefined) return false;
  return paths.flatMap(expandBraces).every((path) => {
    const last = path.slice(path.lastIndexOf("/") + 1);
    if (last.includes("**") || withoutBrackets(path) === "") return false;
    return names.some((name) => globCovers(name, last));
  });
}

function rangeCovers(wide?: Range, narrow?: Range): boolean {
  if (wide === undefined) return true;
  if (narrow === undefined) return false;
  const low = wide.min < narrow.min ||
    (wide.min === narrow.min && (wide.minIncluded || !narrow.minIncluded));
  const high = wide.max > narrow.max ||
    (wide.max === narrow.max && (wide.maxIncluded || !narrow.maxIncluded));
  return low && high;
}

function listCovers(
  wide?: readonly (string | number)[],
  narrow?: readonly (string | number)[],
): boolean {
  if (wide === undefined) return true;
  return narrow !== undefined && narrow.every((each) => wide.includes(each));
}

function usesCover(wide: Match, narrow: Match): boolean {
  if (wide.uses === undefined) return true;
  return narrow.uses !== undefined && wide.uses.windowMs === narrow.uses.windowMs &&
    rangeCovers(wide.uses.count, narrow.uses.count);
}

function xattrsCover(wide: Match, narrow: Match): boolean {
  return Object.entries(wide.xattr ?? {}).every(([name, globs]) => {
    const others = narrow.xattr?.[name];
    return others !== undefined && globsCover(globs, others);
  });
}

/** What the wide one excludes must be excluded by the narrow one too. */
function exclusionsCover(wide: Match, narrow: Match): boolean {
  return (wide.not ?? []).every((excluded) =>
    (narrow.not ?? []).some((other) => covers(other, excluded))
  );
}
