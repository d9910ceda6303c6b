/** Bytes and durations: how they are written by people, and how they are printed. */
import { UserError } from "./errors.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

const byteUnits: Record<string, number> = {
  "": 1,
  B: 1,
  KiB,
  MiB,
  GiB,
  TiB,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

const durationUnits: Record<string, number> = {
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 86400e3,
  w: 7 * 86400e3,
};

/**
 * Parses a size such as `200GiB`, `1.5 TB` or `4096`. Returns whole bytes.
 * Throws UserError that names the value and the units.
 */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text);
  const unit = match === null ? undefined : byteUnits[match[2]];
  if (match === null || unit === undefined) {
    throw new UserError(`'${text}' is not a size`, {
      hint: "write a number and one of B KiB MiB GiB TiB kB MB GB TB, such as 200GiB",
      exitCode: 2,
    });
  }
  const bytes = Math.round(Number(match[1]) * unit);
  if (!Number.isSafeInteger(bytes)) {
    throw new UserError(`'${text}' is too large a size`, { hint: "at most 8191TiB", exitCode: 2 });
  }
  return bytes;
}

/**
 * Parses a duration such as `30s`, `1.5h`, `60d`. Returns milliseconds.
 * Throws UserError that names the value and the units.
 */
export function parseDuration(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$/.exec(text);
  if (match === null) {
    throw new UserError(`'${text}' is not a duration`, {
      hint: "write a number and one of ms s m h d w, such as 30s or 60d",
      exitCode: 2,
    });
  }
  return Math.round(Number(match[1]) * durationUnits[match[2]]);
}

/** Prints bytes for people: `0 B`, `1.5 KiB`, `200 GiB`; at most one decimal. */
export function formatBytes(bytes: number): string {
  const units: [string, number][] = [["TiB", TiB], ["GiB", GiB], ["MiB", MiB], ["KiB", KiB]];
  for (const [name, size] of units) {
    if (Math.abs(bytes) >= size) {
      const scaled = bytes / size;
      return `${scaled >= 100 ? Math.round(scaled) : Number(scaled.toFixed(1))} ${name}`;
    }
  }
  return `${bytes} B`;
}

/** Prints a duration in milliseconds for people: `350ms`, `5s`, `2m 10s`, `3h 5m`, `12d 4h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)}ms`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds}s`;
  const parts: [string, number][] = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  const [name, size] = parts[first];
  const rest = parts[first + 1];
  const left = rest === undefined ? 0 : Math.floor((seconds % size) / rest[1]);
  return `${Math.floor(seconds / size)}${name}${left > 0 && rest ? ` ${left}${rest[0]}` : ""}`;
}
