/** Sixty-odd broken policies: each yields its error where it stands, with an excerpt and a way out. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { loadPolicy } from "../../../src/policy/load.ts";

const NOW = Date.UTC(2026, 0, 1);
const load = (text: string) => loadPolicy(text, { file: "p.yaml", now: NOW });
const rules = (...lines: string[]) =>
  `version: 1\nrules:\n${lines.map((line) => `  - ${line}\n`).join("")}`;
const disk = (text: string) => `version: 1\ndisk: { ${text} }\n`;
const rule = (text: string) => rules(`{ name: a, ${text} }`);

/** Text, place of the error, a part of its message, a part of its hint. */
const BROKEN: [string, string, string, string][] = [
  // The document
  ["", "1:1", "a policy is a group of keys", "its keys: version"],
  ["- a\n- b\n", "1:1", "a policy is a group of keys", "version"],
  ["rules: []\n", "1:1", "version is missing", "version"],
  ["version: 2\n", "1:10", "version '2' is not known", "version"],
  ["version: 1\nversion: 1\n", "2:1", "written twice", "remove one"],
  ["version: 1\n---\nversion: 1\n", "2:1", "one YAML document", "remove the ---"],
  ["version: 1\nrules:\n\t- a\n", "3:1", "tabs cannot indent", "spaces"],
  ["version: 1\nrules: [\n", "2:9", "not closed", "close every"],
  ["version: 1\nrules: {a: 1\n", "2:13", "not closed", "close every"],
  ["version: 1\nbudget: 'x\n", "2:11", "Missing closing 'quote", "quote"],
  ["version: 1\nrules: *all\n", "2:8", "'*all' repeats something", "quotes"],
  ["version: 1\nrules: &r [*r]\n", "2:12", "inside what it repeats", "write it out"],
  ["version: 1\nrules: !mine {a}\n", "2:8", "cannot start with !", "quote"],
  ["version: 1\nrules: @all\n", "2:8", "cannot start with @", "quotes"],
  ["version: 1\nname: a: b\n", "2:7", "Nested mappings", "quote texts"],
  // Unknown keys
  ["version: 1\nrule: []\n", "2:1", "unknown key 'rule'", "did you mean 'rules'?"],
  ["version: 1\nzzzzzz: 1\n", "2:1", "unknown key 'zzzzzz'", "known here: version, disk"],
  [disk("traget: 1GiB"), "2:9", "unknown key 'traget'", "did you mean 'target'?"],
  ["version: 1\nupload: { afer: 3s }\n", "2:11", "unknown key 'afer'", "'after'?"],
  ["version: 1\nevict: { order: { aeg: 1 } }\n", "2:19", "unknown key 'aeg'", "'age'?"],
  [rule("match: { pth: '/a' }, keep: pinned"), "3:25", "unknown key 'pth'", "'path'?"],
  [rule("match: { mtime: '>1d' }, evict: first"), "3:25", "unknown key 'mtime'", "'modified'?"],
  [rule("match: { atime: '>1d' }, evict: first"), "3:25", "unknown key 'atime'", "'idle'?"],
  [rule("match: {}, pin: true"), "3:27", "unknown key 'pin'", "'keep'?"],
  [rule("match: {}, keep: { until: 2030-01-01 }"), "3:35", "unknown key 'until'", "pinned_until"],
  [rule("match: { not: { pth: '/a' } }, keep: pinned"), "3:32", "unknown key 'pth'", "'path'?"],
  ["version: 1\nreaders: [{ com: [a] }]\n", "2:13", "unknown key 'com'", "'comm'?"],
  ["version: 1\nbudget: { monthly_usd: 1 }\n", "2:11", "unknown key", "'per_month'?"],
  [
    "version: 1\ntests: [{ given: { pat: /a }, expect: keep }]\n",
    "2:20",
    "unknown key 'pat'",
    "'path'?",
  ],
  ["version: 1\n<<: { disk: {} }\n", "2:1", "unknown key '<<'", "known here"],
  // Values
  [disk("target: 200"), "2:17", "a size without a unit", "200GiB"],
  [disk("target: 200GIB"), "2:17", "'GIB' is not a unit of size", "did you mean 200GiB?"],
  [disk("target: 200G"), "2:17", "'G' is not a unit", "did you mean 200GiB?"],
  [disk("target: -1GiB"), "2:17", "is not a size", "share of the cache's disk"],
  [disk("target: 120%"), "2:17", "too large a share", "at most 100%"],
  [disk("target: [1GiB]"), "2:17", "a list is not a size", "200GiB"],
  [disk("high: 95"), "2:15", "'95' is not a share", "85%"],
  [disk("high:"), "2:9", "nothing is not a share", "95%"],
  ["version: 1\ndisk: 80%\n", "2:7", "disk is a group of keys, not '80%'", "its keys: target"],
  ["version: 1\nupload: { after: 30 }\n", "2:18", "a duration without a unit", "30d"],
  ["version: 1\nupload: { after: 5 minutes }\n", "2:18", "'minutes' is not a unit", "5m?"],
  ["version: 1\nupload: { after: soon }\n", "2:18", "'soon' is not a duration", "60d"],
  [
    "version: 1\nupload: { bandwidth: 2MiB/s }\n",
    "2:22",
    "bandwidth is a list",
    "entries has: limit",
  ],
  ["version: 1\nupload: { bandwidth: [{ limit: 2MiB }] }\n", "2:32", "is not a rate", "2MiB/s"],
  [
    "version: 1\nupload: { bandwidth: [{ limit: off, at: 'mon 25:00-26:00' }] }\n",
    "2:41",
    "'25:00' is not a time of day",
    "24:00",
  ],
  [
    "version: 1\nupload: { bandwidth: [{ limit: off, at: 'fry' }] }\n",
    "2:41",
    "'fry' is not a day",
    "did you mean fri?",
  ],
  [
    "version: 1\nupload: { bandwidth: [{ limit: off, at: '08:00-08:00' }] }\n",
    "2:41",
    "an empty span of time",
    "00:00-24:00",
  ],
  [rule("match: { size: 1GiB }, evict: first"), "3:31", "lacks a comparison", "> >= < <="],
  [rule("match: { size: '>1Gb' }, evict: first"), "3:31", "'Gb' is not a unit", "1GB?"],
  [rule("match: { size: '2GiB..1GiB' }, evict: first"), "3:31", "empty range", "1GiB..2GiB"],
  [rule("match: { size: '=1GiB' }, evict: first"), "3:31", "not a comparison", "> >= < <="],
  [rule("match: { idle: '<0d' }, evict: first"), "3:31", "matches nothing", "below zero"],
  [rule("match: { uses: '<3' }, evict: first"), "3:31", "lacks a window", "in 30d"],
  [rule("match: { link_count: two }, evict: first"), "3:37", "'two' is not a number", "digits"],
  [rule("match: { path: 'Work/**' }, keep: pinned"), "3:31", "can match no path", "'/Work/**'"],
  [rule("match: { path: ['/a', '/b/'] }, keep: pinned"), "3:38", "no path ends with /", "'/b/**'"],
  [rule("match: { path: '/a[b' }, keep: pinned"), "3:31", "is not a glob", "close every bracket"],
  [rule("match: { path: '!/a/**' }, keep: pinned"), "3:31", "negates", "not: { path: '/a/**' }"],
  [rule("match: { path: [] }, keep: pinned"), "3:31", "empty list matches nothing", "path"],
  [
    rule("match: { path: 3 }, keep: pinned"),
    "3:31",
    "'3' is not a glob on the whole path",
    "/Work/**",
  ],
  [rule("match: /a, keep: pinned"), "3:23", "match is a group of terms", "its keys: path"],
  [rule("keep: pinned"), "3:5", "match is missing", "its keys: path"],
  [rules("{ match: {}, keep: pinned }"), "3:5", "name: nothing is not a name", "name"],
  [rules("just a text"), "3:5", "a rule is a group of keys", "its keys: name"],
  [rule("match: {}, keep: pined"), "3:33", "'pined' is neither pinned", "pinned_until"],
  [rule("match: {}, keep: { pinned_until: 2026-02-30 }"), "3:49", "no '2026-02-30'", "2027-01-31"],
  [rule("match: {}, evict: fisrt"), "3:34", "'fisrt' is none of", "did you mean 'first'?"],
  [rule("match: {}, evict: { after: 2 weeks }"), "3:43", "'weeks' is not a unit", "2w?"],
  [rule("match: {}, upload: later"), "3:35", "'later' is none of never", "upload"],
  ["version: 1\nbudget: { per_month: 3 }\n", "2:22", "not an amount of money", "3.00 USD"],
  ["version: 1\nevict: { order: { age: high } }\n", "2:24", "'high' is not a number", "age"],
  ["version: 1\nevict: { yields: [all] }\n", "2:19", "'all' is none of after", "yields"],
  [
    "version: 1\ntests: [{ given: { path: /a }, expect: evicted }]\n",
    "2:40",
    "'evicted' is none of evict",
    "did you mean 'evict'?",
  ],
  [
    "version: 1\ntests: [{ given: { path: /a, open: maybe }, expect: keep }]\n",
    "2:36",
    "neither true nor false",
    "open",
  ],
];

Deno.test(`each of ${BROKEN.length} broken policies yields its error with line, column, excerpt and hint`, () => {
  assert.ok(BROKEN.length >= 60);
  const wrong: string[] = [];
  for (const [text, place, message, hint] of BROKEN) {
    const { policy, problems } = load(text);
    assert.equal(policy, undefined, text);
    const first = problems[0];
    const { line, column, excerpt } = first;
    if (`${line}:${column}` !== place || !first.message.includes(message)) {
      wrong.push(`${JSON.stringify(text)}: ${line}:${column} ${first.message}`);
    } else if (first.hint === undefined || !first.hint.includes(hint)) {
      wrong.push(`${JSON.stringify(text)}: hint ${first.hint}`);
    }
    const [shown, carets] = excerpt.split("\n");
    if (text.trim() !== "" && !shown.includes(text.split("\n")[line - 1].replace("\t", " "))) {
      wrong.push(`${JSON.stringify(text)}: excerpt ${shown}`);
    }
    // The caret stands under the column.
    assert.equal(carets.indexOf("^"), shown.indexOf("|") + 1 + column, `${text}\n${excerpt}`);
    assert.equal(first.file, "p.yaml");
  }
  assert.deepEqual(wrong, []);
});

Deno.test("all problems of a file are told at once, in its order", () => {
  const { problems } = load(
    "version: 1\ndsk: 1\nupload: { after: 3 }\nrules:\n  - { name: a, match: { pth: x } }\n  - 3\n",
  );
  assert.deepEqual(problems.map(({ line }) => line), [2, 3, 5, 6]);
});

Deno.test("a value that an anchor repeats is reported where it stands", () => {
  const { problems } = load(
    "version: 1\nrules:\n  - { name: a, match: &m { path: 'x/**' }, keep: pinned }\n" +
      "  - { name: b, match: *m, keep: pinned }\n",
  );
  assert.deepEqual([...new Set(problems.map((each) => `${each.line}:${each.column}`))], ["3:34"]);
});

Deno.test("aliases that multiply are refused instead of filling the memory", () => {
  const lines = ["version: 1", "a0: &a0 [x,x,x,x,x,x,x,x,x]"];
  for (let i = 1; i < 12; i++) lines.push(`a${i}: &a${i} [${`*a${i - 1},`.repeat(9)}]`);
  const { problems } = load(lines.join("\n"));
  assert.match(problems[0].message, /aliases/);
});

Deno.test("carriage returns, a byte order mark and tabs within lines do not move the caret", () => {
  const { problems } = load("\ufeffversion: 1\r\ndisk:\t{ high: 95 }\r\n");
  assert.equal(problems[0].line, 2);
  const [shown, carets] = problems[0].excerpt.split("\n");
  assert.equal(shown[carets.indexOf("^")], "9");
});

Deno.test("a problem far to the right of a long line is shown with its surroundings", () => {
  const { problems } = load(`version: 1\nbudget: { ${" ".repeat(3000)} per_month: 3 }\n`);
  const [shown, carets] = problems[0].excerpt.split("\n");
  assert.ok(shown.length < 130);
  assert.equal(shown[carets.indexOf("^")], "3");
});

Deno.test("lines are counted also after something that the YAML parser cannot read", () => {
  const { problems } = load("''}%\nversion: 1");
  assert.deepEqual(problems.map((each) => `${each.line}:${each.column}`).slice(-2), [
    "2:8",
    "2:10",
  ]);
});

Deno.test("no text makes the loader throw, and what is wrong has a place in the text", () => {
  const pieces = fc.constantFrom(
    ...[
      "version: 1",
      "rules:",
      "  - ",
      "{",
      "}",
      "[",
      "]",
      "name: a",
      "match: {}",
      "*a",
      "&a",
      ":",
    ],
    ...[
      "\n",
      " ",
      ",",
      "'",
      '"',
      "keep: pinned",
      "|",
      ">",
      "!",
      "%",
      "?",
      "-",
      "#",
      "\t",
      "size: ",
    ],
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 25 }), (parts) => {
      const text = parts.join("");
      const { policy, problems } = load(text);
      assert.ok(policy !== undefined || problems.length > 0);
      const lines = text.split(/\r\n|\r|\n/);
      for (const problem of problems) {
        assert.ok(problem.line >= 1 && problem.line <= lines.length, JSON.stringify(text));
        assert.ok(problem.column >= 1 && problem.column <= lines[problem.line - 1].length + 1);
      }
    }),
    runs(1000),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      load(text);
      load(
        `version: 1\nrules:\n  - { name: a, match: { path: ${
          JSON.stringify(text)
        } }, keep: pinned }`,
      );
    }),
    runs(500),
  );
});
