/**
 * The values that a policy is written with: sizes, durations, shares, rates, comparisons, ranges,
 * dates, times of day. Pure text → number; every refusal is a UserError that names the value and
 * what to write instead. Decides nothing about which of them makes sense where.
 */
import { UserError } from "../domain/errors.ts";
import { nearest } from "../domain/nearest.ts";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "../domain/units.ts";
import type { Amount, Period, Range, UsesTerm } from "./model.ts";

const wrong = (message: string, hint: string) => new UserError(message, { hint, exitCode: 2 });

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "kB", "MB", "GB", "TB"];
const DURATION_UNITS = ["s", "m", "h", "d", "w"];
const FULL_UNITS: Record<string, string> = {
  seconds: "s",
  minutes: "m",
  hours: "h",
  days: "d",
  weeks: "w",
  sec: "s",
  min: "m",
  day: "d",
  week: "w",
  second: "s",
  minute: "m",
  hour: "h",
  hr: "h",
};

/** Splits `12.5 MiB` into number and unit; undefined where it is not of that form. */
function measured(text: string): { number: string; unit: string } | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  return match === null ? undefined : { number: match[1], unit: match[2] };
}

/** A size with its unit; only 0 needs none. Whole bytes. */
export function size(text: string): number {
  const parts = measured(text);
  const listed = `sizes take ${BYTE_UNITS.join(" ")}`;
  if (parts === undefined) throw wrong(`'${text}' is not a size`, `${listed}, such as 200GiB`);
  if (parts.unit === "") {
    if (Number(parts.number) === 0) return 0;
    throw wrong(`'${text}' is a size without a unit`, `${listed}, such as ${parts.number}GiB`);
  }
  if (BYTE_UNITS.includes(parts.unit)) return parseBytes(text);
  const near = BYTE_UNITS.find((unit) => unit.toLowerCase() === parts.unit.toLowerCase()) ??
    BYTE_UNITS.find((unit) => unit[0].toLowerCase() === parts.unit[0].toLowerCase());
  const meant = near === undefined ? "" : `; did you mean ${parts.number}${near}?`;
  throw wrong(`'${parts.unit}' is not a unit of size`, `${listed}${meant}`);
}

/** A duration with its unit; only 0 needs none. Milliseconds. */
export function duration(text: string): number {
  const parts = measured(text);
  const listed = `durations take ${DURATION_UNITS.join(" ")}`;
  if (parts === undefined) throw wrong(`'${text}' is not a duration`, `${listed}, such as 60d`);
  if (parts.unit === "") {
    if (Number(parts.number) === 0) return 0;
    throw wrong(`'${text}' is a duration without a unit`, `${listed}, such as ${parts.number}d`);
  }
  if (DURATION_UNITS.includes(parts.unit)) {
    const ms = parseDuration(text);
    if (ms <= 1e13) return ms;
    throw wrong(`'${text}' is too long a duration`, "at most 16534w, some 316 years");
  }
  const near = FULL_UNITS[parts.unit.toLowerCase()] ??
    DURATION_UNITS.find((unit) => unit === parts.unit.toLowerCase());
  const meant = near === undefined ? "" : `; did you mean ${parts.number}${near}?`;
  throw wrong(`'${parts.unit}' is not a unit of time`, `${listed}${meant}`);
}

/** `80%` as 0.8. At most `most` (1 unless given). */
export function share(text: string, most = 1): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(text);
  if (match === null) throw wrong(`'${text}' is not a share`, "write a percentage, such as 85%");
  const value = Number(match[1]) / 100;
  if (value > most) {
    throw wrong(`'${text}' is too large a share`, `at most ${Math.round(most * 100)}%`);
  }
  return value;
}

/** A size, or a share of the cache's disk. */
export function amount(text: string): Amount {
  if (/%\s*$/.test(text)) return { share: share(text) };
  try {
    return { bytes: size(text) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw wrong(error.message, `${error.hint}; or a share of the cache's disk, such as 80%`);
  }
}

/** `20MiB/s`, `off` or `unlimited`; bytes per second. */
export function rate(text: string): number {
  const trimmed = text.trim();
  if (trimmed === "unlimited") return Infinity;
  if (trimmed === "off") return 0;
  const match = /^(.*)\/s$/.exec(trimmed);
  if (match === null) {
    throw wrong(
      `'${text}' is not a rate`,
      "write a size per second such as 2MiB/s, off, unlimited",
    );
  }
  const value = size(match[1]);
  if (value > 0) return value;
  throw wrong(`'${text}' would send nothing`, "write off where nothing may be sent");
}

/** A number without unit. */
export function count(text: string): number {
  if (/^\s*\d+(?:\.\d+)?\s*$/.test(text)) return Number(text);
  throw wrong(`'${text}' is not a number`, "write digits, such as 3");
}

/**
 * `>1GiB`, `>=2`, `<14d`, `10MiB..1GiB` (both ends belong), or, where `exact` is allowed, a plain
 * number. `parse` reads the bounds; `example` is what the hint shows.
 */
export function range(
  text: string,
  options: { parse: (text: string) => number; example: string; exact?: boolean },
): Range {
  const { parse, example, exact } = options;
  const span = /^(.*?)\.\.(.*)$/.exec(text);
  if (span !== null && !/^\s*[<>]/.test(text)) {
    const [min, max] = [parse(span[1].trim()), parse(span[2].trim())];
    if (min <= max) return { min, max, minIncluded: true, maxIncluded: true };
    throw wrong(
      `'${text}' is an empty range: its first bound is above its second`,
      `write ${span[2].trim()}..${span[1].trim()}`,
    );
  }
  const comparison = /^\s*(>=|<=|>|<)\s*(.*)$/.exec(text);
  if (comparison !== null) {
    const bound = parse(comparison[2]);
    const included = comparison[1].length === 2;
    if (comparison[1] === "<" && bound === 0) {
      throw wrong(`'${text}' matches nothing`, "nothing is below zero");
    }
    return comparison[1][0] === ">"
      ? { min: bound, max: Infinity, minIncluded: included, maxIncluded: true }
      : { min: -Infinity, max: bound, minIncluded: true, maxIncluded: included };
  }
  if (/^\s*[=!~]/.test(text)) {
    throw wrong(`'${text}' is not a comparison`, `comparisons are > >= < <=, such as ${example}`);
  }
  const value = parse(text);
  if (exact) return { min: value, max: value, minIncluded: true, maxIncluded: true };
  throw wrong(
    `'${text}' lacks a comparison`,
    `write one of > >= < <= before it, or a range, such as ${example}`,
  );
}

/** Whether a number lies in a range. */
export function inRange(value: number, range: Range): boolean {
  if (range.minIncluded ? value < range.min : value <= range.min) return false;
  return range.maxIncluded ? value <= range.max : value < range.max;
}

/** A range as a policy writes it. */
export function printRange(range: Range, print: (value: number) => string): string {
  if (range.min === range.max) return print(range.min);
  if (range.max === Infinity) return `${range.minIncluded ? ">=" : ">"}${print(range.min)}`;
  if (range.min === -Infinity) return `${range.maxIncluded ? "<=" : "<"}${print(range.max)}`;
  return `${print(range.min)}..${print(range.max)}`;
}

export const printSize = (bytes: number): string => formatBytes(bytes).replace(" ", "");
export const printDuration = (ms: number): string => formatDuration(ms).replace(" ", "");

/** `<3 in 30d`. */
export function uses(text: string): UsesTerm {
  const match = /^(.*?)\s+in\s+(.*)$/.exec(text.trim());
  if (match === null) {
    throw wrong(`'${text}' lacks a window`, "write a count and a window, such as '<3 in 30d'");
  }
  const windowMs = duration(match[2]);
  if (windowMs === 0) throw wrong(`'${text}' has an empty window`, "such as '<3 in 30d'");
  return { count: range(match[1], { parse: count, example: "<3", exact: true }), windowMs };
}

/** `2027-01-31` (its start, local time) or `2027-01-31 18:00`; milliseconds since 1970. */
export function date(text: string): number {
  const match = /^\s*(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2}))?\s*$/.exec(text);
  const hint = "write year-month-day, such as 2027-01-31, or 2027-01-31 18:00";
  if (match === null) throw wrong(`'${text}' is not a date`, hint);
  const [year, month, day, hour, minute] = match.slice(1).map((part) => Number(part ?? 0));
  const at = new Date(year, month - 1, day, hour, minute);
  const exists = at.getMonth() === month - 1 && at.getDate() === day && hour < 24 && minute < 60;
  if (!exists) throw wrong(`there is no '${text}' in the calendar`, hint);
  return at.getTime();
}

/** `3.00 USD`. */
export function money(text: string): { value: number; currency: string } {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Z]{3})\s*$/.exec(text);
  if (match !== null) return { value: Number(match[1]), currency: match[2] };
  throw wrong(
    `'${text}' is not an amount of money`,
    "write it with its currency, such as 3.00 USD",
  );
}

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

function day(text: string): number {
  const index = DAYS.indexOf(text.toLowerCase().slice(0, 3));
  const whole = ["day", "sday", "nesday", "rsday", "urday"];
  if (index >= 0 && (text.length === 3 || whole.some((end) => text.toLowerCase().endsWith(end)))) {
    return index;
  }
  const near = nearest(text, DAYS);
  throw wrong(
    `'${text}' is not a day`,
    `days are ${DAYS.join(" ")}${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}

function days(text: string): number[] {
  const found = new Set<number>();
  for (const part of text.split(",")) {
    const [first, last, ...rest] = part.split("-").map((each) => day(each.trim()));
    if (rest.length > 0) throw wrong(`'${part}' is not a span of days`, "such as mon-fri");
    // A span may wrap: fri-mon is fri, sat, sun, mon.
    for (let each = first;; each = (each + 1) % 7) {
      found.add(each);
      if (each === (last ?? first)) break;
    }
  }
  return [...found].sort();
}

function timeOfDay(text: string): number {
  const match = /^(\d{1,2}):(\d{2})$/.exec(text);
  const minutes = match === null ? NaN : Number(match[1]) * 60 + Number(match[2]);
  if (match !== null && Number(match[2]) < 60 && minutes <= 24 * 60) return minutes;
  throw wrong(`'${text}' is not a time of day`, "times run from 00:00 to 24:00, such as 08:00");
}

/** `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`. Days are those on which it begins. */
export function period(text: string): Period {
  const parts = text.trim().split(/\s+/);
  const hint = "write days, times or both, such as 'mon-fri 08:00-18:00', 'sat,sun', '22:00-06:00'";
  if (parts.length > 2 || parts[0] === "") throw wrong(`'${text}' is not a period`, hint);
  const clock = parts.find((part) => part.includes(":"));
  const week = parts.find((part) => !part.includes(":"));
  if (parts.length === 2 && (clock === undefined || week === undefined || parts[1] !== clock)) {
    throw wrong(`'${text}' is not a period`, hint);
  }
  const dayList = week === undefined ? [0, 1, 2, 3, 4, 5, 6] : days(week);
  if (clock === undefined) return { days: dayList, from: 0, to: 24 * 60 };
  const ends = clock.split("-");
  if (ends.length !== 2) throw wrong(`'${clock}' is not a span of time`, hint);
  const [from, to] = ends.map(timeOfDay);
  if (from === to || from === 24 * 60) {
    throw wrong(`'${clock}' is an empty span of time`, "00:00-24:00 is the whole day");
  }
  return { days: dayList, from, to };
}
