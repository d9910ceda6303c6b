/**
 * What a user may choose: one table of settings, each with its kind, default and meaning. The
 * configuration file, the environment and the command line all go through it, and the README's
 * table is checked against it. Parses values; reads nothing.
 */
import { ExitCode, unreachable, UserError } from "../domain/errors.ts";
import { formatBytes, formatDuration, GiB, parseBytes, parseDuration } from "../domain/units.ts";

/** An amount of disk: bytes, or a share of something that is known later only. */
export type Amount = { bytes: number } | { percent: number };

export type Kind =
  | "text"
  | "path"
  | "size"
  | "amount"
  | "duration"
  | "count"
  | "rate"
  | "price"
  | "currency"
  | "date";

export interface SettingDefinition {
  kind: Kind;
  /** As a user would write it; undefined where there is none. */
  fallback: string | undefined;
  meaning: string;
}

export const SETTINGS = {
  "store": {
    kind: "text",
    fallback: undefined,
    meaning: "where content goes: b2://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY",
  },
  "cache": {
    kind: "path",
    fallback: undefined,
    meaning: "the cache directory; by default ~/.local/share/zero/<name of the store>",
  },
  "mountpoint": { kind: "path", fallback: undefined, meaning: "where to mount" },
  "credentials": {
    kind: "path",
    fallback: undefined,
    meaning: "a private file (mode 600) with key_id and key",
  },
  "passphrase.file": {
    kind: "path",
    fallback: undefined,
    meaning: "a private file (mode 600) with the passphrase of an encrypted file system",
  },
  "passphrase.command": {
    kind: "text",
    fallback: undefined,
    meaning: "a command that prints it; without either, the terminal is asked",
  },
  "policy": {
    kind: "path",
    fallback: undefined,
    meaning: "a policy file: what stays here, what goes, and when",
  },
  "capacity": {
    kind: "size",
    fallback: undefined,
    meaning: "what df shows as the size; by default ten times disk.target",
  },
  "disk.target": {
    kind: "amount",
    fallback: "80%",
    meaning: "local disk that Zero aims to occupy: a size, or a share of the cache's disk",
  },
  "disk.high": { kind: "amount", fallback: "95%", meaning: "eviction starts above it, of target" },
  "disk.low": { kind: "amount", fallback: "85%", meaning: "and stops below it, of target" },
  "disk.hard": {
    kind: "amount",
    fallback: "100%",
    meaning: "writers are slowed, then refused, above it, of target",
  },
  "disk.min_free": {
    kind: "amount",
    fallback: "5%",
    meaning: "left free on the cache's disk for others (the default is at most 10 GiB)",
  },
  "upload.after": { kind: "duration", fallback: "5s", meaning: "quiet time before an upload" },
  "upload.deadline": {
    kind: "duration",
    fallback: "15m",
    meaning: "a file that is never quiet or never closed is saved by then, again and again",
  },
  "upload.parallel": { kind: "count", fallback: "4", meaning: "uploads at a time" },
  "upload.bandwidth": {
    kind: "rate",
    fallback: undefined,
    meaning: "at most so much is uploaded, such as 2MiB/s; by default without bound",
  },
  "metadata.interval": {
    kind: "duration",
    fallback: "60s",
    meaning: "names and attributes are in the bucket after so long at most",
  },
  "recall.timeout": {
    kind: "duration",
    fallback: "60s",
    meaning: "a read of absent content fails after this",
  },
  "recall.parallel": { kind: "count", fallback: "8", meaning: "downloads at a time" },
  "space.timeout": {
    kind: "duration",
    fallback: "60s",
    meaning: "a writer waits so long for space before it gets ENOSPC",
  },
  "trace.size": {
    kind: "size",
    fallback: "16MiB",
    meaning: "disk for the record of accesses that zero policy replay reads; 0B for none",
  },
  "trash.keep": {
    kind: "duration",
    fallback: "7d",
    meaning: "removed and overwritten files can be brought back for so long",
  },
  "gc.grace": {
    kind: "duration",
    fallback: "7d",
    meaning: "what nothing refers to any more stays in the bucket for so long",
  },
  "gc.every": {
    kind: "duration",
    fallback: "1d",
    meaning: "garbage in the bucket is collected so often, while nothing else goes on",
  },
  "prices.storage_per_gb_month": {
    kind: "price",
    fallback: "0.006",
    meaning: "what the store takes for 10^9 bytes a month; only for reports",
  },
  "prices.egress_per_gb": {
    kind: "price",
    fallback: "0.01",
    meaning: "what the store takes for 10^9 bytes that are read; only for reports",
  },
  "prices.upload_per_10k": {
    kind: "price",
    fallback: "0",
    meaning: "what the store takes for 10,000 calls that upload; only for reports",
  },
  "prices.download_per_10k": {
    kind: "price",
    fallback: "0.004",
    meaning: "what the store takes for 10,000 calls that download; only for reports",
  },
  "prices.currency": {
    kind: "currency",
    fallback: "USD",
    meaning: "of these prices; a policy's budget is in the same",
  },
  "prices.date": {
    kind: "date",
    fallback: "2023-10-03",
    meaning: "when these prices were true (the defaults are Backblaze B2's, in dollars)",
  },
} as const satisfies Record<string, SettingDefinition>;

export type SettingName = keyof typeof SETTINGS;

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

/** The environment variable of a setting: `disk.min_free` → ZERO_DISK_MIN_FREE. */
export function environmentName(name: SettingName): string {
  return `ZERO_${name.toUpperCase().replaceAll(".", "_")}`;
}

/** What a setting of this kind is parsed to. */
export interface KindValues {
  text: string;
  path: string;
  /** Bytes. */
  size: number;
  amount: Amount;
  /** Milliseconds. */
  duration: number;
  count: number;
  /** Bytes per second. */
  rate: number;
  price: number;
  /** Three capitals. */
  currency: string;
  /** YYYY-MM-DD. */
  date: string;
}

export type SettingValues = {
  [N in SettingName]: KindValues[(typeof SETTINGS)[N]["kind"]] | undefined;
};

function wrong(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.usage });
}

/** Parses what a user wrote for a setting of `kind`. Throws UserError that names the value. */
export function parseValue<K extends Kind>(kind: K, text: string): KindValues[K] {
  return parseAny(kind, text.trim()) as KindValues[K];
}

function parseAny(kind: Kind, text: string): KindValues[Kind] {
  switch (kind) {
    case "text":
    case "path":
      if (text === "") throw wrong("an empty value", "leave the setting out, or give it a value");
      if (text.includes("\0")) throw wrong("a value with a NUL byte", "remove it");
      return text;
    case "size":
      return parseBytes(text);
    case "amount":
      return parseAmount(text);
    case "duration":
      return parseDuration(text);
    case "count": {
      const count = Number(text);
      if (!/^\d+$/.test(text) || count < 1 || count > 256) {
        throw wrong(`'${text}' is not a number from 1 to 256`, "write a whole number, such as 4");
      }
      return count;
    }
    case "rate": {
      const match = /^(.*\S)\s*\/\s*s$/.exec(text);
      if (match === null) {
        throw wrong(`'${text}' is not a rate`, "write a size per second, such as 2MiB/s");
      }
      const rate = parseBytes(match[1]);
      if (rate < 1024) throw wrong(`'${text}' is too slow a rate`, "at least 1KiB/s");
      return rate;
    }
    case "price": {
      if (!/^\d{1,6}(\.\d{1,8})?$/.test(text)) {
        throw wrong(`'${text}' is not a price`, "write a number, such as 0.006");
      }
      return Number(text);
    }
    case "currency":
      if (!/^[A-Z]{3}$/.test(text)) {
        throw wrong(`'${text}' is not a currency`, "write three capitals, such as USD");
      }
      return text;
    case "date":
      if (!/^\d{4}-\d\d-\d\d$/.test(text) || Number.isNaN(Date.parse(text))) {
        throw wrong(`'${text}' is not a date`, "write year, month and day, such as 2026-01-31");
      }
      return text;
    default:
      return unreachable(kind);
  }
}

function parseAmount(text: string): Amount {
  const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(text);
  if (match === null) return { bytes: parseBytes(text) };
  const percent = Number(match[1]);
  if (percent > 100) throw wrong(`'${text}' is more than everything`, "at most 100%");
  return { percent };
}

/** `amount` in bytes, where a share is one of `whole`. */
export function amountBytes(amount: Amount, whole: number): number {
  return "bytes" in amount ? amount.bytes : Math.floor(whole * amount.percent / 100);
}

/** A value as people write it. */
export function printValue(kind: Kind, value: KindValues[Kind]): string {
  if (typeof value === "object") {
    return "bytes" in value ? formatBytes(value.bytes) : `${value.percent}%`;
  }
  switch (kind) {
    case "size":
      return formatBytes(Number(value));
    case "duration":
      return formatDuration(Number(value));
    case "rate":
      return `${formatBytes(Number(value))}/s`;
    default:
      return String(value);
  }
}

/** The marks in bytes on a disk of `diskBytes`. Throws UserError where they contradict each other. */
export function resolveMarks(
  values: SettingValues,
  options: { diskBytes: number; minFreeMax: number },
): { target: number; high: number; low: number; hard: number; minFree: number } {
  const { diskBytes } = options;
  const target = amountBytes(values["disk.target"]!, diskBytes);
  const of = (name: "disk.high" | "disk.low" | "disk.hard") => amountBytes(values[name]!, target);
  const [high, low, hard] = [of("disk.high"), of("disk.low"), of("disk.hard")];
  const minFreeAmount = values["disk.min_free"]!;
  const minFree = "percent" in minFreeAmount
    ? Math.min(amountBytes(minFreeAmount, diskBytes), options.minFreeMax)
    : minFreeAmount.bytes;
  if (!(low < high && high <= hard)) {
    throw wrong(
      `disk.low (${formatBytes(low)}) < disk.high (${formatBytes(high)}) <= disk.hard (${
        formatBytes(hard)
      }) does not hold`,
      "eviction starts above high and stops below low; both must be below hard",
    );
  }
  if (target < MIN_TARGET_BYTES) {
    throw wrong(
      `disk.target of ${formatBytes(target)} is too little to work with`,
      `at least ${formatBytes(MIN_TARGET_BYTES)}`,
    );
  }
  if (hard > diskBytes - minFree && "bytes" in values["disk.target"]!) {
    throw wrong(
      `disk.hard of ${formatBytes(hard)} leaves less than disk.min_free (${
        formatBytes(minFree)
      }) of the cache's disk of ${formatBytes(diskBytes)}`,
      "lower disk.target or disk.min_free, or put the cache on a larger disk",
    );
  }
  return { target, high, low, hard, minFree };
}

/** A few chunks must fit at the same time, or nothing large can be read. */
const MIN_TARGET_BYTES = GiB / 64;
