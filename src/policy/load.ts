/**
 * Text of a policy file → a policy, or every problem in it with its place and a way out. Pure: the
 * caller reads the file. Promises that a policy without errors is usable; contradictions between
 * its parts are found here too (lint.ts), so nothing that contradicts itself is ever in force.
 */
import type { z } from "zod";
import { nearest } from "../domain/nearest.ts";
import { compilePolicy } from "./compile.ts";
import { knownKeys } from "./json_schema.ts";
import { policySchema } from "./language.ts";
import { lint } from "./lint.ts";
import type { Policy } from "./model.ts";
import { type Problem, sortProblems } from "./problems.ts";
import { YamlSource } from "./yaml_source.ts";

export interface Loaded {
  /** Undefined where an error (not only a warning) was found. */
  policy: Policy | undefined;
  /** In the order of the file. */
  problems: Problem[];
}

/** Reads the text of a policy. `now` (milliseconds) is only for warnings about dates in the past. */
export function loadPolicy(text: string, options: { file: string; now: number }): Loaded {
  const source = new YamlSource(text, options.file);
  if (source.problems.length > 0) return failed(source.problems);
  const result = policySchema.safeParse(source.value ?? undefined);
  if (!result.success) {
    return failed(withoutEchoes(result.error.issues.flatMap((issue) => {
      return problemsOf(issue, [], source);
    })));
  }
  const policy = compilePolicy(result.data, source);
  const problems = sortProblems(lint(policy, { source, now: options.now }));
  const usable = problems.every((problem) => problem.severity === "warning");
  return { policy: usable ? policy : undefined, problems };
}

const failed = (problems: Problem[]): Loaded => ({
  policy: undefined,
  problems: sortProblems(problems),
});

type Issue = z.core.$ZodIssue;

/** A misspelt key is one mistake: that the right one is missing then is left out. */
function withoutEchoes(problems: Problem[]): Problem[] {
  const meant = new Set(
    problems.map(({ hint }) => /^did you mean '(.*)'\?$/.exec(hint ?? "")?.[1]),
  );
  return problems.filter(({ code, message }) =>
    code !== "missing-key" || !meant.has(message.split(":")[0].split(" ")[0])
  );
}

function problemsOf(issue: Issue, above: readonly PropertyKey[], source: YamlSource): Problem[] {
  const path = [...above, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => unknownKey(key, path, source));
  }
  if (issue.code === "invalid_key") {
    return issue.issues.flatMap((inner) => problemsOf(inner, path, source));
  }
  if (issue.code === "invalid_union") {
    const branch = issue.errors.find((inner) => inner.length > 0 && inner.every(isInside));
    const meant = branch ?? (issue.message === "Invalid input" ? issue.errors[0] : undefined);
    if (meant !== undefined) return meant.flatMap((inner) => problemsOf(inner, path, source));
  }
  const key = path.at(-1);
  const subject = typeof key === "string" ? `${key}: ` : "";
  // "; such as …" at the end of a message is its hint.
  const [, message, example] = /^(.*?)(?:; (such as .*))?$/s.exec(issue.message)!;
  const hint = issue.code === "custom" ? issue.params?.hint : undefined;
  return [source.text.problem({
    code: source.has(path) ? "value" : "missing-key",
    message: message.startsWith(subject.slice(0, -2)) ? message : subject + message,
    hint: typeof hint === "string" ? hint : hintFor(message, path, example),
    ...source.spot(path),
  })];
}

/** Whether a problem lies within a branch of a union, so that the branch was meant. */
function isInside(issue: Issue): boolean {
  if (issue.path.length > 0) return true;
  if (issue.code === "invalid_union") return issue.errors.some((inner) => inner.every(isInside));
  return issue.code !== "invalid_type" && issue.code !== "invalid_value";
}

function unknownKey(key: string, path: PropertyKey[], source: YamlSource): Problem {
  const known = knownKeys(path);
  const near = ALIASES[key] !== undefined && known.includes(ALIASES[key])
    ? ALIASES[key]
    : nearest(key, known);
  return source.text.problem({
    code: "unknown-key",
    message: `unknown key '${key}'`,
    hint: near === undefined
      ? `known here: ${known.length > 0 ? known.join(", ") : "no key at all"}`
      : `did you mean '${near}'?`,
    ...source.spot([...path, key], "key"),
  });
}

/** Words that people bring from other tools, and what they are called here. */
const ALIASES: Record<string, string> = {
  atime: "idle",
  last_access: "idle",
  mtime: "modified",
  pin: "keep",
  pinned: "keep",
  until: "pinned_until",
  glob: "path",
  user: "owner",
  links: "link_count",
  nlink: "link_count",
  hydrate: "recall",
  refetch_cost: "recall_cost",
  monthly_usd: "per_month",
};

function hintFor(message: string, path: readonly PropertyKey[], example?: string): string {
  if (example !== undefined) return example;
  const none = /^'(.*)' is none of (.*)$/.exec(message);
  const near = none === null ? undefined : nearest(none[1], none[2].split(", "));
  if (near !== undefined) return `did you mean '${near}'?`;
  const keys = knownKeys(path);
  if (keys.length > 0) return `its keys: ${keys.join(", ")}`;
  const inner = knownKeys([...path, 0]);
  if (inner.length > 0) return `each of its entries has: ${inner.join(", ")}`;
  const above = path.findLast((key) => typeof key === "string");
  return above === undefined
    ? "start with version: 1, then rules:"
    : `see '${above}' in policies/README.md`;
}
