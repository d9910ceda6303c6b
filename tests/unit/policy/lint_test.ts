/** Contradictions in well-formed policies: each is found, where it stands, and nothing else is. */
import assert from "node:assert/strict";
import { GiB } from "../../../src/domain/units.ts";
import { lintAgainst, type Surroundings } from "../../../src/policy/lint.ts";
import { loadPolicy } from "../../../src/policy/load.ts";
import { YamlSource } from "../../../src/policy/yaml_source.ts";
import { NOW } from "./helpers.ts";

const load = (text: string) => loadPolicy(`version: 1\n${text}`, { file: "p.yaml", now: NOW });
const two = (first: string, second: string) =>
  `rules:\n  - { name: a, match: { ${first} }, evict: first }\n` +
  `  - { name: b, match: { ${second} }, evict: allow }\n`;
const rule = (text: string) => `rules:\n  - { name: a, match: {}, ${text} }\n`;

/** Text, `line:column code`, a part of message and hint. */
const CONTRADICTIONS: [string, string, string, string][] = [
  ["disk: { low: 95%, high: 90% }", "2:14 marks", "low 95%, high 90%, hard 100%", "low < high"],
  ["disk: { high: 85% }", "2:15 marks", "low 85%, high 85%", "85%, 95% and 100%"],
  ["disk: { high: 99%, hard: 99% }", "2:26 marks", "hard 99%", "low < high < hard"],
  ["disk: { target: 0 }", "2:17 target", "no room for any file", "200GiB"],
  ["disk: { target: 80%, min_free: 30% }", "2:32 min-free", "more than the disk", "20%"],
  ["upload: { after: 1h, deadline: 15m }", "2:32 deadline", "before the quiet time", "longer"],
  [
    "upload: { bandwidth: [{ limit: off, at: sat }, { limit: 1MiB/s }] }",
    "2:23 unreachable-limit",
    "never holds",
    "first",
  ],
  [
    "readers: [{ comm: [rsync, 'r*'], heat: ignore }, { comm: rsync, recall: deny }]",
    "2:58 overlapping-readers",
    "'rsync' in line 2",
    "first reader",
  ],
  [
    "readers: [{ comm: 'tracker-*', recall: deny }, { comm: tracker-miner, heat: ignore }]",
    "2:56 overlapping-readers",
    "'tracker-*' in line 2",
    "special one first",
  ],
  [
    "readers: [{ comm: [a, a], recall: deny }]",
    "2:23 overlapping-readers",
    "'a' is never asked for",
    "remove one",
  ],
  [
    "readers: [{ comm: tracker-miner-fs-3, recall: deny }]",
    "2:19 reader-name",
    "the kernel keeps 15 bytes",
    "'tracker-miner-f*'",
  ],
  ["rules:\n  - { name: a, match: {} }", "3:5 rule-says-nothing", "says neither", "keep: pinned"],
  [rule("upload: never, evict: first"), "3:49 local-evicted", "its only copy", "remove 'evict'"],
  [rule("keep: pinned, evict: first"), "3:48 pinned-evicted", "never evicted", "pinned_until"],
  [rule("keep: pinned, keep_head: 4MiB"), "3:52 head-of-kept", "is no head", "remove"],
  [
    "evict: { min_residence: 1d }\n" + rule("evict: { after: 2h }"),
    "4:43 after-too-short",
    "after 2h is sooner than min_residence (1d)",
    "at least 1d",
  ],
  [
    "rules:\n  - { name: a, match: { name: x }, keep: pinned }\n" +
    "  - { name: a, match: {}, evict: first }",
    "4:13 duplicate-name",
    "line 3 has a rule 'a' already",
    "its own",
  ],
  [two("", "path: '/a/**'"), "4:23 unreachable-rule", "'a' in line 3 matches all", "narrower rule"],
  [
    two("path: '/a/**'", "path: '/a/b/**'"),
    "4:23 unreachable-rule",
    "'b' is never reached",
    "first",
  ],
  [
    two("path: '**/*.mov'", "path: '/v/*.mov', size: '>1GiB'"),
    "4:23 unreachable-rule",
    "'a'",
    "first",
  ],
  [two("size: '>1GiB'", "size: '>2GiB'"), "4:23 unreachable-rule", "'a'", "first"],
  [
    "rules:\n  - { name: a, match: { path: '/a/**', not: { path: '/**' } }, evict: first }",
    "3:23 unreachable-rule",
    "can match no file",
    "narrower",
  ],
  [
    rule("evict: first") + "tests: [{ given: { path: /x }, expect: evict, rule: aa }]",
    "4:53 unknown-rule",
    "no rule 'aa'",
    "did you mean 'a'?",
  ],
  [
    "tests: [{ given: { path: /x }, expect: deny }]",
    "2:40 test-without-reader",
    "is an answer to a reader",
    "reader: NAME",
  ],
  [
    "tests: [{ given: { size: 1MiB }, expect: keep }]",
    "2:18 test-without-path",
    "no file",
    "path:",
  ],
];

Deno.test("each contradiction is found where it stands, with a way out, and alone", () => {
  for (const [text, place, message, hint] of CONTRADICTIONS) {
    const { policy, problems } = load(text);
    const shown = problems.map((each) =>
      `${each.line}:${each.column} ${each.code} ${each.message}`
    );
    assert.equal(policy, undefined, text);
    assert.equal(problems.length, 1, `${text}\n${shown.join("\n")}`);
    const [problem] = problems;
    assert.equal(`${problem.line}:${problem.column} ${problem.code}`, place, shown[0]);
    assert.ok(problem.message.includes(message), `${problem.message} / ${message}`);
    assert.ok(problem.hint!.includes(hint), `${problem.hint} / ${hint}`);
    assert.match(problem.excerpt, /\^/);
  }
});

Deno.test("what only looks like a contradiction is left alone", () => {
  const fine = [
    two("path: '/a/**', size: '>1GiB'", "path: '/a/**'"),
    two("path: '/a/*'", "path: '/a/**'"),
    two("path: '/a/**', not: { name: '*.x' }", "path: '/a/b/**'"),
    two("idle: '>14d'", "idle: '>7d'"),
    two("name: '*.mov'", "path: '/films/**'"),
    two("path: '**/*.mov'", "path: '**/*.mov.part'"),
    "readers: [{ comm: tracker-miner, heat: ignore }, { comm: 'tracker-*', recall: deny }]",
    "upload: { bandwidth: [{ limit: 1MiB/s }, { limit: off, at: sat }] }",
    "disk: { target: 90%, min_free: 10% }",
    "evict: { min_residence: 1h }\n" + rule("evict: { after: 1h }"),
    rule("keep: { pinned_until: 2030-01-01 }, evict: { after: 9d }"),
  ];
  for (const text of fine) assert.deepEqual(load(text).problems, [], text);
});

Deno.test("warnings do not make a policy unusable: a pin that is over, a reader like any other", () => {
  const over = load(rule("keep: { pinned_until: 2020-01-31 }"));
  assert.deepEqual(over.problems.map((each) => [each.severity, each.code]), [[
    "warning",
    "pin-over",
  ]]);
  assert.ok(over.policy !== undefined);
  const reader = load("readers: [{ comm: vim }]");
  assert.equal(reader.problems[0].code, "reader-says-nothing");
  assert.ok(reader.policy !== undefined);
});

Deno.test("with a file system to look at: pins above the target, min_free, rules that match nothing", () => {
  const text = "version: 1\ndisk: { target: 200GiB, min_free: 10GiB }\nrules:\n" +
    "  - { name: work, match: { path: '/Work/**' }, keep: pinned }\n" +
    "  - { name: rest, match: {}, evict: allow }\n";
  const { policy } = loadPolicy(text, { file: "p.yaml", now: NOW });
  const source = new YamlSource(text, "p.yaml");
  const against = (surroundings: Partial<Surroundings>) =>
    lintAgainst(policy!, {
      source,
      surroundings: { diskBytes: 500 * GiB, pinnedBytes: 0, localBytes: 0, ...surroundings },
    }).map((each) => `${each.severity} ${each.line}:${each.column} ${each.code}`);
  assert.deepEqual(against({}), []);
  assert.deepEqual(against({ pinnedBytes: 160 * GiB, localBytes: 20 * GiB }), [
    "warning 2:17 pins-exceed-target",
  ]);
  assert.deepEqual(against({ pinnedBytes: 160 * GiB }), []);
  assert.deepEqual(against({ diskBytes: 205 * GiB }), ["warning 2:35 min-free"]);
  assert.deepEqual(against({ matchedRules: new Set(["rest"]) }), ["warning 4:5 rule-unused"]);
});
