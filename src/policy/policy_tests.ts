/**
 * The `tests:` of a policy file: each describes a file and says what the policy has to answer. Runs
 * them through the same plan as everything else. Pure.
 *
 * What a test does not say: the file is as large as 1 MiB, wholly here, clean, confirmed, closed,
 * unpinned, owned by user 0, last used just now and never changed since it came to be, which was when
 * it was last used, but at least a year ago. The disk is just above the high mark, so a run is on;
 * between the marks a run is on, too; at the low mark or below it none is.
 */
import { printRule, printVerdict, REASONS } from "./decision.ts";
import type { FileFacts, Usage } from "./facts.ts";
import { GiB, MiB, TiB } from "../domain/units.ts";
import type { Block, Given, Place, Policy, PolicyTest, Verdict } from "./model.ts";
import { Rules } from "./outcome.ts";
import { plan } from "./plan.ts";
import { printSize } from "./quantities.ts";
import { compileReaders } from "./readers.ts";

export interface TestResult {
  /** What is tested, for people. */
  name: string;
  place: Place;
  passed: boolean;
  expected: string;
  actual: string;
  /** Why the policy answered so. */
  because: string;
}

export interface Coverage {
  rule: string;
  place: Place;
  /** Tests in which it decided. */
  tests: number;
}

export interface TestReport {
  results: TestResult[];
  coverage: Coverage[];
}

const YEAR_MS = 365 * 86_400_000;
const CHUNK_BYTES = 4 * MiB;

/** Runs every test of a policy. `now` is the time of those that do not say `at`. */
export function runPolicyTests(policy: Policy, { now }: { now: number }): TestReport {
  const rules = new Rules(policy);
  const counts = new Map<string, number>(policy.rules.map((rule) => [rule.name, 0]));
  const results = policy.tests.map((test) => {
    const at = test.given.at ?? now;
    if (test.expect.kind === "reader") return testReader(policy, test);
    const { result, rule } = testFile(rules, test, at);
    if (rule !== undefined) counts.set(rule, counts.get(rule)! + 1);
    return result;
  });
  const coverage = policy.rules.map(({ name, place }) => ({
    rule: name,
    place,
    tests: counts.get(name)!,
  }));
  return { results, coverage };
}

function testReader(policy: Policy, { given, expect, place }: PolicyTest): TestResult {
  const treatment = compileReaders(policy.readers)(given.reader!);
  const expected = expect.kind === "reader" ? expect.recall : "";
  return {
    name: `${given.reader} reads`,
    place,
    passed: treatment.recall === expected,
    expected,
    actual: treatment.recall,
    because: treatment.place === undefined
      ? "no reader matches"
      : `the reader in line ${treatment.place.line} decides`,
  };
}

function testFile(
  rules: Rules,
  test: PolicyTest,
  now: number,
): { result: TestResult; rule: string | undefined } {
  const { given, expect, place } = test;
  const facts = factsOf(given, now);
  const made = plan({
    facts: [facts],
    usage: usageOf(given, rules.policy, facts),
    policy: rules,
    now,
  });
  const decision = made.decisions[0];
  const verdict = decision ?? { verdict: "keep" as const };
  const rule = rules.outcome(facts, now).rule;
  const wanted: { verdict: Verdict; block?: Block } = expect.kind === "verdict"
    ? expect
    : { verdict: "keep" };
  const right = verdict.verdict === wanted.verdict &&
    (wanted.block === undefined || decision?.block === wanted.block) &&
    (test.rule === undefined || rule?.name === test.rule);
  const by = (name: string | undefined) => name === undefined ? "" : ` by ${name}`;
  return {
    rule: rule?.name,
    result: {
      name: describeGiven(given),
      place,
      passed: right,
      expected: printVerdict(wanted) + by(test.rule),
      actual: printVerdict(verdict) +
        (test.rule === undefined ? "" : ` by ${rule?.name ?? "no rule"}`),
      because: `${printRule(rule)}: ${REASONS[decision?.reason ?? "evicted"]}`,
    },
  };
}

function describeGiven(given: Given): string {
  const { path, size, reader: _reader, ...rest } = given;
  const parts = [path?.join(" = ") ?? "a file"];
  if (size !== undefined) parts.push(printSize(size));
  const flags = Object.entries(rest).filter(([, value]) => value === true).map(([key]) => key);
  return [...parts, ...flags].join(", ");
}

/** The facts that a test describes, at `now`. */
export function factsOf(given: Given, now: number): FileFacts {
  const size = given.size ?? MiB;
  const allocated = Math.ceil(size / 4096) * 4096;
  const idle = given.idle ?? 0;
  const age = given.age ?? Math.max(idle, given.modified ?? 0, given.recalled ?? 0, YEAR_MS);
  const uses = given.uses ?? 0;
  const changedMs = now - (given.modified ?? age);
  return {
    inode: 1,
    paths: given.path ?? ["/file"],
    size,
    allocated,
    resident: Math.ceil((given.resident ?? 1) * allocated / 4096) * 4096,
    dirty: given.dirty ?? false,
    dirtySinceMs: changedMs,
    open: given.open ?? false,
    confirmed: given.confirmed ?? true,
    pin: given.pinned === true ? {} : undefined,
    createdMs: now - age,
    residentSinceMs: now - (given.recalled ?? age),
    lastUsedMs: now - idle,
    changedMs,
    heat: given.heat ?? 1,
    heatAtMs: given.heat === undefined ? now - idle : now,
    uses: usesBetween(uses, now - age, now - idle),
    uid: typeof given.owner === "number" ? given.owner : 0,
    gid: typeof given.group === "number" ? given.group : 0,
    owner: typeof given.owner === "string" ? given.owner : undefined,
    group: typeof given.group === "string" ? given.group : undefined,
    xattrs: given.xattr ?? {},
    links: given.links ?? given.path?.length ?? 1,
  };
}

/** The last of `count` uses at `to`, the others evenly before it. */
function usesBetween(count: number, from: number, to: number): number[] {
  return Array.from({ length: count }, (_, index) => to - (to - from) * index / count).reverse();
}

/** A disk that is as full as the test says, with room around the file. */
function usageOf(given: Given, policy: Policy, facts: FileFacts): Usage {
  const { high, low, hard } = policy.disk;
  const share = given.disk ?? high + 1e-6;
  // Large enough that this one file is a small part, whatever its size.
  const target = Math.max(100 * GiB, facts.resident * 64, TiB);
  const marks = {
    target,
    high: target * high,
    low: target * low,
    hard: target * hard,
    minFree: 0,
  };
  const used = share * target;
  return {
    marks,
    reserved: used - facts.resident,
    leaving: 0,
    diskFree: target,
    running: used > marks.low,
    needed: 0,
    chunkSize: CHUNK_BYTES,
  };
}

/** The report as TAP, version 14. */
export function renderTap({ results, coverage }: TestReport): string[] {
  const lines = ["TAP version 14", `1..${results.length}`];
  for (const [index, result] of results.entries()) {
    const { passed, name, expected, actual, because, place } = result;
    lines.push(`${passed ? "ok" : "not ok"} ${index + 1} - ${escapeTap(`${name}: ${expected}`)}`);
    if (passed) continue;
    lines.push(
      "  ---",
      `  at: ${JSON.stringify(`${place.file}:${place.line}:${place.column}`)}`,
      `  expected: ${JSON.stringify(expected)}`,
      `  actual: ${JSON.stringify(actual)}`,
      `  because: ${JSON.stringify(because)}`,
      "  ...",
    );
  }
  for (const { rule, place, tests } of coverage) {
    const said = tests === 0 ? "no test" : tests === 1 ? "1 test" : `${tests} tests`;
    lines.push(`# rule ${escapeTap(rule)} (line ${place.line}): ${said}`);
  }
  return lines;
}

const escapeTap = (text: string) => text.replace(/[\\#]/g, "\\$&").replace(/\s+/g, " ");
