/**
 * The language of policies: which keys there are, what they take, what they mean. One set of zod
 * types is the parser, the source of the JSON Schema for editors, and the list from which the
 * nearest key is suggested. Knows nothing of positions (load.ts) or contradictions (lint.ts).
 */
import { z } from "zod";
import { UserError } from "../domain/errors.ts";
import { globProblem } from "./glob.ts";
import * as quantities from "./quantities.ts";

// A type, not an interface: zod's registry wants an index signature.
type ScalarMeta = { description: string; examples: string[] };

/** A text or number as YAML gives it, read by `parse`, whose UserError becomes the problem. */
function scalar<T>(parse: (text: string) => T, meta: ScalarMeta) {
  const hint = `such as ${meta.examples[0]}`;
  return z.union([z.string(), z.number()], {
    error: (issue) => `${describe(issue.input)} is not ${meta.description}; ${hint}`,
  }).transform((value, context) => {
    try {
      return parse(String(value));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      context.addIssue({
        code: "custom",
        message: error.message,
        params: { hint: error.hint },
      });
      return z.NEVER;
    }
  }).meta(meta);
}

/** What a value is, for messages. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a group of keys" : `'${value}'`;
}

const group = (what: string) => ({
  error: (issue: { code?: string; input?: unknown }) =>
    issue.code === "invalid_type"
      ? `${what} is a group of keys, not ${describe(issue.input)}`
      : undefined,
});

const word = <const W extends string>(words: readonly W[], description: string) =>
  z.enum(words, {
    error: (issue) => `${describe(issue.input)} is none of ${words.join(", ")}`,
  }).meta({ description });

const text = (description: string) =>
  z.union([z.string(), z.number()], {
    error: (issue) => `${describe(issue.input)} is not ${description}`,
  }).transform((value) => String(value)).meta({ description });

const bool = (description: string) =>
  z.boolean({ error: (issue) => `${describe(issue.input)} is neither true nor false` })
    .meta({ description });

const number = (description: string) =>
  z.number({ error: (issue) => `${describe(issue.input)} is not a number` }).meta({ description });

/** One, or a list of at least one; always a list afterwards. */
function oneOrMany<S extends z.ZodType>(one: S, description: string) {
  const many = z.array(one).min(1, { error: () => "an empty list matches nothing" });
  return z.union([one, many]).transform((value) =>
    (Array.isArray(value) ? value : [value]) as z.output<S>[]
  ).meta({ description });
}

const size = scalar(quantities.size, { description: "a size", examples: ["200GiB", "4MiB"] });
const duration = scalar(quantities.duration, {
  description: "a duration",
  examples: ["30s", "60d"],
});
const share = scalar(quantities.share, { description: "a share", examples: ["85%"] });
const markShare = scalar((written) => quantities.share(written, 2), {
  description: "a share of target",
  examples: ["95%"],
});
const amount = scalar(quantities.amount, {
  description: "a size, or a share of the cache's disk",
  examples: ["200GiB", "80%"],
});
const rate = scalar(quantities.rate, {
  description: "a rate",
  examples: ["2MiB/s", "off", "unlimited"],
});
const date = scalar(quantities.date, { description: "a date", examples: ["2027-01-31"] });
const sizeRange = scalar(
  (written) => quantities.range(written, { parse: quantities.size, example: "'>1GiB'" }),
  { description: "a comparison of sizes", examples: ["'>1GiB'", "'10MiB..1GiB'"] },
);
const durationRange = scalar(
  (written) => quantities.range(written, { parse: quantities.duration, example: "'>14d'" }),
  { description: "a comparison of durations", examples: ["'>14d'", "'1h..7d'"] },
);
const countRange = scalar(
  (written) =>
    quantities.range(written, { parse: quantities.count, example: "'>=2'", exact: true }),
  { description: "a number or a comparison of numbers", examples: ["'>=2'", "1"] },
);
const usesTerm = scalar(quantities.uses, {
  description: "a count of uses in a window",
  examples: ["'<3 in 30d'"],
});
const period = scalar(quantities.period, {
  description: "days and times of day, local time",
  examples: ["'mon-fri 08:00-18:00'", "'sat,sun'", "'22:00-06:00'"],
});
const money = scalar(quantities.money, {
  description: "an amount of money",
  examples: ["3.00 USD"],
});

function glob(kind: "path" | "name", description: string) {
  return z.string({
    error: (issue) => `${describe(issue.input)} is not ${description}; such as '/Work/**'`,
  }).superRefine((written, context) => {
    const problem = globProblem(written, kind);
    if (problem === undefined) return;
    context.addIssue({
      code: "custom",
      message: problem.message,
      params: { hint: problem.hint },
    });
  }).meta({ description });
}

const nameOrNumber = z.union([z.string(), z.number()], {
  error: (issue) => `${describe(issue.input)} is neither a name nor a number`,
});

const terms = {
  path: oneOrMany(
    glob("path", "a glob on the whole path"),
    "globs on the path from the root of the mount; one has to match",
  ).optional(),
  name: oneOrMany(glob("name", "a glob on the name"), "globs on the last part of the path")
    .optional(),
  size: sizeRange.optional(),
  idle: durationRange.optional().describe("since the last use as Zero saw it, never mtime"),
  age: durationRange.optional().describe("since the file came to be in this file system"),
  modified: durationRange.optional().describe("since its content last changed"),
  owner: oneOrMany(nameOrNumber, "user names or numbers").optional(),
  group: oneOrMany(nameOrNumber, "group names or numbers").optional(),
  xattr: z.record(
    z.string(),
    oneOrMany(glob("name", "a glob on the attribute's value"), "globs on the value"),
    { error: () => "xattr is a group of attribute names with globs, such as { user.keep: '*' }" },
  ).optional(),
  uses: usesTerm.optional(),
  heat: countRange.optional().describe("decayed count of uses"),
  link_count: countRange.optional().describe("names that the file has"),
};

const plainMatch = z.strictObject(terms, group("not"));
const match = z.strictObject({
  ...terms,
  not: oneOrMany(plainMatch, "what must not match: the same terms, or a list of them").optional(),
}, {
  error: (issue) =>
    issue.code === "invalid_type"
      ? issue.input === undefined
        ? "match is missing; write match: {} for every file"
        : `match is a group of terms, not ${describe(issue.input)}`
      : undefined,
}).meta({ description: "the rule is for files for which all terms hold; {} is every file" });

const keep = z.union([
  word(["pinned"], "never evicted"),
  z.strictObject({ pinned_until: date }, group("keep")),
], {
  error: (issue) => `${describe(issue.input)} is neither pinned nor { pinned_until: DATE }`,
}).meta({ description: "pinned, or { pinned_until: DATE }" });

const evict = z.union([
  word(["first", "allow"], "first: before all others; allow: in the order of the ranking"),
  z.strictObject({ after: duration }, group("evict")),
], {
  error: (issue) => `${describe(issue.input)} is none of first, allow, { after: DURATION }`,
}).meta({ description: "first, allow, or { after: DURATION } without use" });

const rule = z.strictObject({
  name: text("a name, which explanations print"),
  match,
  keep: keep.optional(),
  upload: word(["never"], "never: the content exists on this disk only").optional(),
  evict: evict.optional(),
  keep_head: size.optional().describe("so much at the start of an evicted file stays"),
}, group("a rule"));

const reader = z.strictObject({
  comm: oneOrMany(
    glob("name", "a glob on the name of a program"),
    "names of programs as the kernel knows them, at most 15 bytes",
  ),
  recall: word(["allow", "deny", "stream"], "deny: EACCES on evicted files; stream: keep nothing")
    .optional(),
  heat: word(["count", "ignore"], "ignore: such a read is no use of the file").optional(),
}, group("a reader"));

const bandwidthEntry = z.strictObject({ limit: rate, at: period.optional() }, group("a limit"));

const weights = z.strictObject({
  age: number("weight of the time since the last use").optional(),
  size: number("weight of the size: a positive one lets large files leave first").optional(),
  heat: number("weight of the heat: a negative one keeps hot files").optional(),
  recall_cost: number("weight of the time to bring it back: a negative one keeps slow ones")
    .optional(),
  half_life: duration.optional().describe("in which heat halves; the unit of age"),
}, group("order"));

const given = z.strictObject({
  path: oneOrMany(text("a path"), "the file's names").optional(),
  size: size.optional(),
  resident: share.optional().describe("how much of it is on the local disk; 100% unless given"),
  idle: duration.optional(),
  age: duration.optional(),
  modified: duration.optional(),
  recalled: duration.optional().describe("how long ago it was created or brought back"),
  owner: nameOrNumber.optional(),
  group: nameOrNumber.optional(),
  xattr: z.record(z.string(), text("a value")).optional(),
  uses: number("how often it was used").optional(),
  heat: number("its heat now").optional(),
  links: number("names that it has").optional(),
  disk: markShare.optional().describe(
    "how full the disk is; just above the high mark unless given",
  ),
  dirty: bool("not yet in the bucket").optional(),
  open: bool("somebody has it open").optional(),
  pinned: bool("pinned by the user").optional(),
  confirmed: bool("the bucket has confirmed it; true unless given").optional(),
  reader: text("who reads it: the name of a program").optional(),
  at: date.optional().describe("when the test takes place; now unless given"),
}, group("given"));

const expectation = z.union([
  word(["evict", "upload", "keep", "blocked", "allow", "deny", "stream"], "the answer"),
  z.strictObject({
    blocked: word(["dirty", "open", "too_young", "pinned", "unconfirmed"], "by what"),
  }, group("expect")),
], {
  error: (issue) =>
    `${describe(issue.input)} is none of evict, upload, keep, blocked, { blocked: REASON }, ` +
    "allow, deny, stream",
}).meta({ description: "what the policy has to answer" });

const test = z.strictObject({
  given,
  expect: expectation,
  rule: text("the name of the rule that has to match").optional(),
}, group("a test"));

const list = <S extends z.ZodType>(one: S, what: string) =>
  z.array(one, { error: (issue) => `${what} is a list, not ${describe(issue.input)}` });

export const policySchema = z.strictObject({
  version: z.literal(1, {
    error: (issue) =>
      issue.input === undefined
        ? "version is missing; the first key of a policy is version: 1"
        : `version ${describe(issue.input)} is not known; this program knows version: 1`,
  }),
  disk: z.strictObject({
    target: amount.optional().describe("what Zero aims to occupy"),
    high: markShare.optional().describe("of target: eviction starts above it; 95% unless given"),
    low: markShare.optional().describe("of target: … and stops at it; 85% unless given"),
    hard: markShare.optional()
      .describe("of target: writers are slowed, then refused, above it; 100% unless given"),
    min_free: amount.optional().describe("left free on the cache's disk, whoever uses the rest"),
  }, group("disk")).optional(),
  upload: z.strictObject({
    after: duration.optional().describe("quiet time since the last change"),
    deadline: duration.optional().describe("a file that is never quiet is saved by then"),
    bandwidth: list(bandwidthEntry, "bandwidth").optional()
      .describe("a timetable in local time; the last entry that holds wins"),
  }, group("upload")).optional(),
  evict: z.strictObject({
    min_residence: duration.optional()
      .describe("nothing leaves sooner after it was created or recalled"),
    order: weights.optional(),
    max_per_run: size.optional(),
    breaker: z.strictObject({
      files: share.optional().describe("share of the resident files that one run may evict"),
      errors: share.optional().describe("share of a run's attempts that may fail"),
    }, group("breaker")).optional(),
    yields: list(word(["after", "min_residence"], "what gives way"), "yields").optional()
      .describe("what gives way, in this order, when writers wait at the hard mark"),
  }, group("evict")).optional(),
  readers: list(reader, "readers").optional().describe("the first one that matches decides"),
  rules: list(rule, "rules").optional().describe("the first one that matches decides"),
  budget: z.strictObject({ per_month: money }, group("budget")).optional(),
  tests: list(test, "tests").optional(),
}, {
  error: (issue) =>
    issue.code === "invalid_type"
      ? "a policy is a group of keys that starts with version: 1"
      : undefined,
});

export type PolicyDocument = z.output<typeof policySchema>;
export type MatchDocument = z.output<typeof match>;
export type TestDocument = z.output<typeof test>;
