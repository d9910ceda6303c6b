/**
 * Reads a configuration file (YAML), strictly: whatever is not understood is named with file, line and
 * column, and a hint. Accepts the keys of the 2018 project of the same name. Decides no precedence.
 */
import { isMap, isScalar, LineCounter, type Node, type Pair, parseDocument } from "yaml";
import { z } from "zod";
import { ExitCode, UserError } from "../domain/errors.ts";
import { nearest } from "../domain/nearest.ts";
import { isSettingName, type Kind, parseValue, type SettingName, SETTINGS } from "./settings.ts";

/** A value as a source wrote it. `where` is a place in a file, a flag or a variable. */
export interface Written {
  text: string;
  where: string;
}

export interface Configuration {
  path: string;
  settings: Partial<Record<SettingName, Written>>;
  /** From accountId and applicationKey; the caller must insist that the file is private. */
  credentials?: { keyId: string; key: string };
  /** From bucketId: the bucket's name must be asked for. */
  bucketId?: Written;
}

/** A leaf of a kind: text or a number as YAML gives it, checked as that kind. */
function leaf(kind: Kind) {
  return z.union([z.string(), z.number()], {
    error: (issue) => `${describe(issue.input)} is not ${KIND_NAMES[kind]}`,
  }).transform((value) => String(value)).superRefine((text, context) => {
    try {
      parseValue(kind, text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const hint = error.hint === undefined ? "" : ` (${error.hint})`;
      context.addIssue({ code: "custom", message: error.message + hint });
    }
  });
}

const KIND_NAMES: Record<Kind, string> = {
  text: "a text",
  path: "a path",
  size: "a size",
  amount: "a size or a share such as 80%",
  duration: "a duration",
  count: "a number",
  rate: "a rate",
  price: "a price",
  currency: "a currency",
  date: "a date",
};

function describe(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a group of keys" : `'${value}'`;
}

/** Keys of the 2018 project, with what they mean here. */
const ANCESTOR_KEYS = {
  accountId: z.string(),
  applicationKey: z.string(),
  bucketId: z.string(),
  sqliteFileLocation: z.string(),
  targetDiskUsage: z.number().positive(),
};

/** The schema of the file, made from the table of settings. */
function buildSchema() {
  const top: Record<string, z.ZodType> = {};
  const groups: Record<string, Record<string, z.ZodType>> = {};
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const [first, second] = name.split(".");
    const type = leaf(SETTINGS[name].kind).optional();
    if (second === undefined) top[first] = type;
    else (groups[first] ??= {})[second] = type;
  }
  for (const [name, keys] of Object.entries(groups)) {
    top[name] = z.strictObject(keys, {
      error: (issue) =>
        issue.code === "invalid_type" ? `${name} must be a group of keys` : undefined,
    }).optional();
  }
  for (const [name, type] of Object.entries(ANCESTOR_KEYS)) top[name] = type.optional();
  return z.strictObject(top, {
    error: (issue) =>
      issue.code === "invalid_type" ? "a configuration is a group of keys" : undefined,
  });
}

/** Parses the text of a configuration file. Throws one UserError that lists every problem. */
export function parseConfiguration(text: string, path: string): Configuration {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw problems(document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`));
  }
  const result = buildSchema().safeParse(document.toJS() ?? {});
  if (!result.success) {
    throw problems(result.error.issues.flatMap((issue) => {
      if (issue.code === "unrecognized_keys") {
        return issue.keys.map((key) => {
          const where = at(offsetOf(document.contents, [...issue.path, key], "key"));
          return `${where}: unknown key '${[...issue.path, key].join(".")}'${
            suggest(key, issue.path)
          }`;
        });
      }
      const name = issue.path.join(".");
      const where = at(offsetOf(document.contents, issue.path, "value"));
      return [`${where}: ${name === "" ? "" : `${name}: `}${issue.message}`];
    }));
  }
  return translate(result.data, path, (keys) => at(offsetOf(document.contents, keys, "value")));
}

function problems(messages: string[]): UserError {
  return new UserError(messages.join("\n"), { exitCode: ExitCode.usage });
}

function suggest(key: string, path: PropertyKey[]): string {
  const prefix = path.length === 0 ? "" : `${path.join(".")}.`;
  const names = Object.keys(SETTINGS).filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length).split(".")[0]);
  const near = nearest(key, new Set(names));
  return near === undefined ? "" : `; did you mean '${prefix}${near}'?`;
}

/** Where in the text a key, or its value, stands. */
function offsetOf(contents: unknown, path: PropertyKey[], what: "key" | "value"): number {
  let node = contents;
  let offset = (node as Node | null)?.range?.[0] ?? 0;
  for (const key of path) {
    if (!isMap(node)) return offset;
    const pair: Pair | undefined = node.items.find((item) =>
      isScalar(item.key) && String(item.key.value) === String(key)
    );
    if (pair === undefined) return offset;
    const keyOffset = (pair.key as Node).range?.[0] ?? offset;
    offset = what === "key" ? keyOffset : (pair.value as Node | null)?.range?.[0] ?? keyOffset;
    node = pair.value;
  }
  return offset;
}

function translate(
  data: Record<string, unknown>,
  path: string,
  where: (keys: string[]) => string,
): Configuration {
  const configuration: Configuration = { path, settings: {} };
  for (const [first, value] of Object.entries(data)) {
    if (isSettingName(first)) {
      if (value !== undefined) {
        configuration.settings[first] = { text: String(value), where: where([first]) };
      }
    } else if (typeof value === "object" && value !== null) {
      for (const [second, text] of Object.entries(value)) {
        const name = `${first}.${second}`;
        if (!isSettingName(name) || text === undefined) continue;
        configuration.settings[name] = { text: String(text), where: where([first, second]) };
      }
    }
  }
  translateAncestor(data, configuration, where);
  return configuration;
}

function translateAncestor(
  data: Record<string, unknown>,
  configuration: Configuration,
  where: (keys: string[]) => string,
): void {
  const take = (
    old: keyof typeof ANCESTOR_KEYS,
    name: SettingName,
    text: (v: unknown) => string,
  ) => {
    if (data[old] === undefined) return;
    const written = { text: text(data[old]), where: where([old]) };
    const other = configuration.settings[name];
    if (other !== undefined) {
      throw problems([`${written.where}: '${old}' and '${name}' (${other.where}) say the same`]);
    }
    configuration.settings[name] = written;
  };
  take("sqliteFileLocation", "cache", (file) => String(file).replace(/\/?[^/]*$/, "") || "/");
  take("targetDiskUsage", "disk.target", (gigabytes) => `${gigabytes}GB`);
  if (data.bucketId !== undefined) {
    if (configuration.settings.store !== undefined) {
      throw problems([
        `${
          where(["bucketId"])
        }: 'bucketId' and 'store' (${configuration.settings.store.where}) say the same`,
      ]);
    }
    configuration.bucketId = { text: String(data.bucketId), where: where(["bucketId"]) };
  }
  const { accountId, applicationKey } = data;
  if (accountId !== undefined && applicationKey !== undefined) {
    configuration.credentials = { keyId: String(accountId), key: String(applicationKey) };
  } else if (accountId !== undefined || applicationKey !== undefined) {
    const [there, missing] = accountId !== undefined
      ? ["accountId", "applicationKey"]
      : ["applicationKey", "accountId"];
    throw problems([`${where([there])}: '${there}' needs '${missing}' beside it`]);
  }
}
