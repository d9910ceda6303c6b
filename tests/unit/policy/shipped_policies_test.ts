/** The policies in `policies/`: valid, tested by their own tests, every rule covered; the schema is true. */
import assert from "node:assert/strict";
import { policyJsonSchemaText } from "../../../src/policy/json_schema.ts";
import { loadPolicy } from "../../../src/policy/load.ts";
import { renderTap, runPolicyTests } from "../../../src/policy/policy_tests.ts";
import { NOW } from "./helpers.ts";

const folder = new URL("../../../policies/", import.meta.url);
const names = [...Deno.readDirSync(folder)].map((entry) => entry.name)
  .filter((name) => name.endsWith(".yaml")).sort();
const load = (name: string) =>
  loadPolicy(Deno.readTextFileSync(new URL(name, folder)), { file: name, now: NOW });

Deno.test("there are five policies, and the guide explains each", () => {
  assert.deepEqual(names, [
    "laptop.yaml",
    "minimal.yaml",
    "nas-backup.yaml",
    "research.yaml",
    "studio.yaml",
  ]);
  const guide = Deno.readTextFileSync(new URL("README.md", folder));
  for (const name of names) assert.ok(guide.includes(`(${name})`), name);
});

for (const name of names) {
  Deno.test(`${name} has no problem, passes its tests, and tests every rule`, () => {
    const { policy, problems } = load(name);
    assert.deepEqual(problems, []);
    const report = runPolicyTests(policy!, { now: NOW });
    assert.ok(report.results.length >= 5);
    assert.deepEqual(report.results.filter((each) => !each.passed), []);
    assert.deepEqual(report.coverage.filter((each) => each.tests === 0), []);
  });
}

Deno.test("policies/policy.schema.json is what the language says", () => {
  const text = Deno.readTextFileSync(new URL("policy.schema.json", folder));
  assert.equal(
    text,
    policyJsonSchemaText(),
    "write policyJsonSchemaText() to policies/policy.schema.json",
  );
});

Deno.test("the schema refuses unknown keys everywhere, and describes what it takes", () => {
  const visit = (node: Record<string, unknown>, path: string): void => {
    if (node.properties !== undefined) assert.equal(node.additionalProperties, false, path);
    for (const [key, value] of Object.entries(node)) {
      if (typeof value === "object" && value !== null) {
        visit(value as Record<string, unknown>, `${path}/${key}`);
      }
    }
  };
  visit(JSON.parse(policyJsonSchemaText()), "");
});

Deno.test("a failing test says what was expected, what came, why, and where it stands", () => {
  const { policy } = loadPolicy(
    "version: 1\nrules: [{ name: w, match: { path: '/w/**' }, keep: pinned }]\n" +
      "tests:\n  - { given: { path: /w/a }, expect: evict }\n" +
      "  - { given: { path: '/b #1', idle: 9d }, expect: evict, rule: w }\n" +
      "  - { given: { reader: x }, expect: deny }\n",
    { file: "p.yaml", now: NOW },
  );
  assert.deepEqual(renderTap(runPolicyTests(policy!, { now: NOW })), [
    "TAP version 14",
    "1..3",
    "not ok 1 - /w/a: evict",
    "  ---",
    '  at: "p.yaml:4:5"',
    '  expected: "evict"',
    '  actual: "keep"',
    '  because: "w (p.yaml:2:9): its rule keeps it here"',
    "  ...",
    "not ok 2 - /b \\#1: evict by w",
    "  ---",
    '  at: "p.yaml:5:5"',
    '  expected: "evict by w"',
    '  actual: "evict by no rule"',
    '  because: "no rule: least worth keeping of what may leave"',
    "  ...",
    "not ok 3 - x reads: deny",
    "  ---",
    '  at: "p.yaml:6:5"',
    '  expected: "deny"',
    '  actual: "allow"',
    '  because: "no reader matches"',
    "  ...",
    "# rule w (line 2): 1 test",
  ]);
});
