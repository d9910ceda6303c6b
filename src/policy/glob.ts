/**
 * Globs on names. Names are text in which bytes that are not UTF-8 are written `\xNN`; globs may be
 * written with the same. Each is compiled once. Owns the only use of the glob library.
 */
import picomatchUntyped from "picomatch";

type Matcher = (text: string) => boolean;
/** The package has no types; this is the part of it that is used. */
const picomatch = picomatchUntyped as {
  (glob: string, options: GlobOptions): Matcher;
  makeRe(glob: string, options: GlobOptions): RegExp;
};
interface GlobOptions {
  dot: boolean;
  nonegate: boolean;
  strictBrackets: boolean;
  windows: boolean;
}

const OPTIONS = { dot: true, nonegate: true, strictBrackets: true, windows: false };
const LONGEST_GLOB = 4096;
/** Special to globs; a name or path without any of these is only itself. */
const SPECIAL = /[*?[\]{}()!+@\\]/;

/** In a glob a backslash escapes; the one of `\xNN` has to stand for itself. */
const literalBytes = (glob: string) => glob.replace(/\\x(?=[0-9a-fA-F]{2})/g, "\\\\x");

const cache = new Map<string, Matcher>();
const CACHED_GLOBS = 4096;

/** The same as `compileGlob`, by an expression in every case. */
export function compileGlobPlainly(glob: string): Matcher {
  const expression = new RegExp(globSource(glob));
  return (text) => expression.test(text);
}

/** A function that tells whether a name or path matches. Throws where `globProblem` finds one. */
export function compileGlob(glob: string): Matcher {
  const known = cache.get(glob);
  if (known !== undefined) return known;
  const matcher = build(glob);
  if (cache.size >= CACHED_GLOBS) cache.clear();
  cache.set(glob, matcher);
  return matcher;
}

function build(glob: string): Matcher {
  if (glob === "**" || glob === "/**") return () => true;
  if (!SPECIAL.test(glob)) return (text) => text === glob;
  const plain = expandBraces(glob).map(withoutExpression);
  // Two dots may be a range of the library's.
  if (!glob.includes("..") && plain.every((each) => each !== undefined)) {
    return plain.length === 1 ? plain[0] : (text) => plain.some((each) => each(text));
  }
  // Not the library's own matcher: it takes three times as long around the same expression.
  const expression = picomatch.makeRe(literalBytes(glob), OPTIONS);
  return (text) => expression.test(text);
}

/**
 * The commonest forms, which a comparison decides in a fraction of the time of an expression: all below
 * `/a/b`, all below a directory of some name (double star, name, double star), and all with some ending.
 * Names that are `.` or `..` do not exist; with that, these match what the expression does.
 */
function withoutExpression(glob: string): Matcher | undefined {
  if (!SPECIAL.test(glob)) return (text) => text === glob;
  const directory = literalDirectory(glob);
  if (directory !== undefined) {
    return (text) =>
      text.startsWith(directory) &&
      (text.length === directory.length || text.charCodeAt(directory.length) === 0x2f);
  }
  if (!glob.startsWith("**/")) return undefined;
  const rest = glob.slice(3);
  if (rest.startsWith("*")) {
    const ending = rest.slice(1);
    // Without a first character that is no star's, a name of nothing would match.
    if (ending === "" || ending.includes("/") || SPECIAL.test(ending)) return undefined;
    return (text) => text.endsWith(ending);
  }
  const name = rest.slice(0, -3);
  if (!rest.endsWith("/**") || name === "" || SPECIAL.test(name)) return undefined;
  const [inside, last, start] = [`/${name}/`, `/${name}`, `${name}/`];
  return (text) =>
    text.includes(inside) || text.endsWith(last) || text.startsWith(start) || text === name;
}

/** A glob as the source of a regular expression on the whole text, for isolates that know no globs. */
export function globSource(glob: string): string {
  if (!SPECIAL.test(glob)) return `^${glob.replace(/[.^$|/]/g, "\\$&")}$`;
  return picomatch.makeRe(literalBytes(glob), OPTIONS).source;
}

/** `/a/b` for the glob `/a/b/**`: all below a directory, and itself; undefined for other globs. */
export function literalDirectory(glob: string): string | undefined {
  if (!glob.endsWith("/**")) return undefined;
  const directory = glob.slice(0, -3);
  return directory.startsWith("/") && !SPECIAL.test(directory) ? directory : undefined;
}

export const isLiteral = (glob: string): boolean => !SPECIAL.test(glob);

/** What is wrong with a glob on paths or on names; undefined: nothing. */
export function globProblem(
  glob: string,
  kind: "path" | "name",
): { message: string; hint: string } | undefined {
  if (glob === "") return { message: "an empty glob matches nothing", hint: "'**' is everything" };
  if (glob.length > LONGEST_GLOB) {
    return { message: "this glob is too long", hint: `at most ${LONGEST_GLOB} characters` };
  }
  if (glob.startsWith("!")) {
    return {
      message: `'${glob}' negates, which globs do not do here`,
      hint: `write not: { ${kind}: '${glob.slice(1)}' } beside the other terms`,
    };
  }
  if (kind === "path" && !glob.startsWith("/") && !glob.startsWith("**")) {
    if (!/^[{[(*?@+]/.test(glob) || !expandBraces(glob).every((each) => /^(\/|\*\*)/.test(each))) {
      return {
        message: `'${glob}' can match no path: paths start with / at the root of the mount`,
        hint: `write '/${glob}', or '**/${glob}' for any directory`,
      };
    }
  }
  if (kind === "path" && glob.length > 1 && glob.endsWith("/")) {
    return {
      message: `'${glob}' can match no path: no path ends with /`,
      hint: `write '${glob}**' for all below it`,
    };
  }
  if (kind === "path" && glob.includes("//")) {
    return {
      message: `'${glob}' can match no path: no path has // in it`,
      hint: `write '${glob.replace(/\/+/g, "/")}'`,
    };
  }
  try {
    picomatch(literalBytes(glob), OPTIONS);
    return undefined;
  } catch (error) {
    // The library refuses a pattern by throwing; any of its reasons is the writer's to fix.
    const reason = error instanceof Error ? error.message : String(error);
    return { message: `'${glob}' is not a glob: ${reason}`, hint: "close every bracket and brace" };
  }
}

const MOST_EXPANSIONS = 256;

/** `/a/{b,c}` as `/a/b` and `/a/c`; the glob itself where it has no such braces (or too many). */
export function expandBraces(glob: string): string[] {
  // In brackets, or after a backslash, a brace is a letter; such globs are left alone.
  if (/[[\\]/.test(glob)) return [glob];
  const done = new Set<string>();
  const open = [glob];
  while (open.length > 0) {
    if (open.length + done.size > MOST_EXPANSIONS) return [glob];
    const each = open.pop()!;
    // The innermost ones first.
    const match = /^(.*?)\{([^{}]*,[^{}]*)\}(.*)$/s.exec(each);
    if (match === null) done.add(each);
    else open.push(...match[2].split(",").map((part) => match[1] + part + match[3]).reverse());
  }
  return [...done];
}
