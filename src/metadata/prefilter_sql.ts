/**
 * Prefilters as conditions of SQL, on an inode `i`, its usage `u` and its name `d`. Where a row lacks
 * what a condition asks for (no usage, several names), the condition holds. Pure.
 */
import type { NamePattern, NameTest, Prefilter, Span } from "../domain/prefilter.ts";
import { hex } from "../runtime/random.ts";

/** One of these has to hold. */
export const anyOf = (conditions: readonly string[]): string =>
  conditions.includes(ALWAYS)
    ? ALWAYS
    : conditions.length === 0
    ? NEVER
    : `(${[...new Set(conditions)].join(" OR ")})`;

const allOf = (conditions: readonly string[]) =>
  conditions.length === 0 ? ALWAYS : `(${conditions.join(" AND ")})`;

export const ALWAYS = "1";
const NEVER = "0";

/** A number as SQL writes it; infinities bound nothing. */
const within = (what: string, { min, max }: Span): string[] => [
  ...Number.isFinite(min) ? [`${what} >= ${Math.floor(min)}`] : [],
  ...Number.isFinite(max) ? [`${what} <= ${Math.ceil(max)}`] : [],
];

const among = (what: string, numbers: readonly number[]) => `${what} IN (${numbers.join(", ")})`;

/** What can be told from the row of the inode alone. */
export function inodeCondition(filter: Prefilter): string {
  const { size, links, createdMs, changedMs, uids, gids } = filter;
  return allOf([
    ...size ? within("i.size", size) : [],
    ...links ? within("i.nlink", links) : [],
    ...createdMs ? within("(i.btime_s * 1000 + i.btime_ns / 1000000)", createdMs) : [],
    ...changedMs ? within("i.changed_ms", changedMs) : [],
    ...uids ? [among("i.uid", uids)] : [],
    ...gids ? [among("i.gid", gids)] : [],
  ]);
}

/** The same with what its usage tells. */
export function fileCondition(filter: Prefilter): string {
  const { lastUsedMs, uses } = filter;
  const used = [
    ...lastUsedMs ? within("u.last_used_ms", lastUsedMs) : [],
    // A time takes eight bytes.
    ...uses !== undefined && uses > 0 && Number.isFinite(uses)
      ? [`length(u.uses) >= ${8 * Math.floor(uses)}`]
      : [],
  ];
  const conditions = [inodeCondition(filter)];
  if (used.length > 0) conditions.push(`(u.inode IS NULL OR ${allOf(used)})`);
  return allOf(conditions.filter((each) => each !== ALWAYS));
}

/** Of a name, wherever it stands. */
export const nameCondition = (patterns: readonly NamePattern[]): string =>
  anyOf(patterns.map(({ test }) => test === undefined ? ALWAYS : testSql(test)));

function testSql({ kind, text }: NameTest): string {
  const bytes = new TextEncoder().encode(text);
  const literal = `x'${hex(bytes)}'`;
  switch (kind) {
    case "is":
      return `d.name = ${literal}`;
    case "starts":
      return `substr(d.name, 1, ${bytes.length}) = ${literal}`;
    case "ends":
      return `substr(d.name, -${bytes.length}) = ${literal}`;
  }
}
