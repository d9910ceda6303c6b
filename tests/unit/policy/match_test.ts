/** Matching: globs on names of any bytes, terms, not, first match; and what covers what. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { printName } from "../../../src/domain/name_text.ts";
import { covers, globCovers } from "../../../src/policy/cover.ts";
import type { FileFacts } from "../../../src/policy/facts.ts";
import {
  compileGlob,
  compileGlobPlainly,
  expandBraces,
  globProblem,
} from "../../../src/policy/glob.ts";
import { compileMatch, flipsOf, matches } from "../../../src/policy/match.ts";
import { DAY, file, HOUR, NOW, policyOf } from "./helpers.ts";

/** Whether a rule with these terms matches the file. */
function matched(terms: string, facts: FileFacts, now = NOW): boolean {
  const policy = policyOf(`rules: [{ name: r, match: { ${terms} }, evict: first }]\n`);
  const match = compileMatch(policy.rules[0].match, policy.evict.order.halfLifeMs);
  return matches(match, { path: facts.paths[0], facts, now });
}
const at = (path: string, about: Partial<FileFacts> = {}) => file({ paths: [path], ...about });

Deno.test("globs: directories, endings, dot files, braces, spaces, brackets", () => {
  const cases: [string, string, boolean][] = [
    ["/Work/**", "/Work/a", true],
    ["/Work/**", "/Work/.git/config", true],
    ["/Work/**", "/Workshop/a", false],
    ["/Work/**", "/a/Work/b", false],
    ["**/node_modules/**", "/a/b/node_modules/c/d", true],
    ["**/node_modules/**", "/node_modules/c", true],
    ["**/node_modules/**", "/my_node_modules/c", false],
    ["**/*.{mkv,mov}", "/a.mov", true],
    ["**/*.{mkv,mov}", "/x/.hidden/a.mkv", true],
    ["**/*.{mkv,mov}", "/x/a.mov.txt", false],
    ["/a b/*", "/a b/c", true],
    ["/a/[xy]?", "/a/x1", true],
    ["/a/[xy]?", "/a/z1", false],
    ["/plain", "/plain", true],
    ["/plain", "/plain/below", false],
    ["/über/*", "/über/ä", true],
  ];
  for (const [glob, path, wanted] of cases) {
    assert.equal(compileGlob(glob)(path), wanted, `${glob} on ${path}`);
  }
});

Deno.test("globs that are decided without an expression match what their expressions match", () => {
  const name = fc.constantFrom("a", "bb", ".a", "a.mov", ".mov", "b.tar.gz", "a\\xff", "..a", "é");
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join("/")}`);
  const glob = fc.oneof(
    path.map((each) => `${each}/**`),
    path,
    name.map((each) => `**/${each}/**`),
    fc.constantFrom(".mov", "mov", ".tar.gz", "v", "a", "*", "").map((each) => `**/*${each}`),
    fc.uniqueArray(name, { minLength: 2, maxLength: 3 }).map((all) => `**/{${all.join(",")}}/**`),
    fc.uniqueArray(name, { minLength: 2, maxLength: 3 }).map((all) => `**/*.{${all.join(",")}}`),
    fc.uniqueArray(name, { minLength: 2, maxLength: 3 }).map((all) => `/a/{${all.join(",")}}`),
    fc.constantFrom("**/a", "**/**", "**", "/*/**", "**/a*/**", "*.mov", "**/*/a"),
  );
  fc.assert(
    fc.property(glob, fc.oneof(path, name), (each, text) => {
      assert.equal(compileGlob(each)(text), compileGlobPlainly(each)(text), `${each} on ${text}`);
    }),
    runs(5_000),
  );
});

Deno.test("bytes that are not UTF-8 are matched as \\xNN, by globs and by their own names", () => {
  const path = printName(new Uint8Array([0x2f, 0x61, 0xff, 0x2e, 0x6d, 0x6f, 0x76]));
  assert.equal(path, "/a\\xff.mov");
  assert.ok(compileGlob("/a\\xff.mov")(path));
  assert.ok(compileGlob("/a\\xff.*")(path));
  assert.ok(compileGlob("**/*.mov")(path));
  assert.ok(!compileGlob("/a\\xfe.*")(path));
  assert.ok(!compileGlob("/axff.mov")(path));
});

Deno.test("every term holds for what it says, and for nothing else", () => {
  const base = at("/d/a.txt", { size: 5000, owner: "ada", group: "users", links: 2 });
  const used = { ...base, lastUsedMs: NOW - 10 * DAY, uses: [NOW - 20 * DAY, NOW - 10 * DAY] };
  const cases: [string, FileFacts, boolean][] = [
    ["name: '*.txt'", base, true],
    ["name: '*.txt'", at("/a.txt/b"), false],
    ["size: '>4KiB'", base, true],
    ["size: '<=5000B'", base, true],
    ["size: '1KiB..4KiB'", base, false],
    ["idle: '>=10d'", used, true],
    ["idle: '>10d'", used, false],
    ["idle: '<0.5h'", { ...base, lastUsedMs: NOW + HOUR }, true],
    ["age: '>1d'", at("/x", { createdMs: NOW - HOUR }), false],
    ["modified: '<2h'", at("/x", { changedMs: NOW - HOUR }), true],
    ["owner: ada", base, true],
    ["owner: 1000", base, true],
    ["owner: [bob, 7]", base, false],
    ["group: users", base, true],
    ["link_count: 2", base, true],
    ["link_count: '>2'", base, false],
    ["uses: '2 in 30d'", used, true],
    ["uses: '<2 in 15d'", used, true],
    ["uses: '>=1 in 5d'", used, false],
    ["heat: '>=1'", { ...base, heat: 2, heatAtMs: NOW - 2 * DAY }, true],
    ["heat: '>1'", { ...base, heat: 2, heatAtMs: NOW - 2 * DAY }, false],
    ["xattr: { user.keep: 'y*' }", { ...base, xattrs: { "user.keep": "yes" } }, true],
    ["xattr: { user.keep: 'y*' }", { ...base, xattrs: { "user.keep": "no" } }, false],
    ["xattr: { user.keep: '**' }", base, false],
    ["xattr: { toString: '**' }", { ...base, xattrs: {} }, false],
    ["path: '/d/**', not: { name: '*.txt' }", base, false],
    ["path: '/d/**', not: [{ name: '*.md' }, { size: '>1MiB' }]", base, true],
    ["path: '/d/**', not: { name: '*.txt', size: '>1MiB' }", base, true],
  ];
  for (const [terms, facts, wanted] of cases) assert.equal(matched(terms, facts), wanted, terms);
});

Deno.test("a match answers the same between the times at which it says that it may change", () => {
  const terms = fc.constantFrom(
    "idle: '>14d'",
    "idle: '1h..7d'",
    "age: '<30d'",
    "modified: '>=2d', idle: '<40d'",
    "uses: '>=2 in 10d'",
    "heat: '>0.3'",
    "not: { idle: '>3d' }",
  );
  const days = fc.double({ min: 0, max: 60, noNaN: true });
  fc.assert(
    fc.property(terms, days, days, days, days, (written, used, made, asked, later) => {
      const lastUsedMs = Math.floor(NOW - used * DAY);
      const facts = at("/a", {
        lastUsedMs,
        heatAtMs: lastUsedMs,
        heat: 1 + made,
        createdMs: Math.floor(lastUsedMs - made * DAY),
        uses: [lastUsedMs - 2 * DAY, lastUsedMs],
      });
      const policy = policyOf(`rules: [{ name: r, match: { ${written} }, evict: first }]\n`);
      const match = compileMatch(policy.rules[0].match, policy.evict.order.halfLifeMs);
      const [from, to] = [asked, later].sort((a, b) => a - b)
        .map((each) => Math.floor(NOW + each * DAY));
      const view = (now: number) => ({ path: "/a", facts, now });
      const flips = flipsOf(match, view(from)).some((flip) => flip > from && flip <= to);
      if (!flips) assert.equal(matches(match, view(from)), matches(match, view(to)));
    }),
    runs(3000),
  );
});

const segment = fc.constantFrom(
  "a",
  "b",
  "*",
  "**",
  "*.mov",
  "x.mov",
  "{a,b}",
  ".c",
  "node_modules",
);
const anyGlob = fc.array(segment, { minLength: 1, maxLength: 4 })
  .chain((parts) => fc.constantFrom(`/${parts.join("/")}`, `**/${parts.join("/")}`))
  .filter((glob) => globProblem(glob, "path") === undefined);
const anyPath = fc.array(fc.constantFrom("a", "b", "c.mov", "x.mov", ".c", "node_modules"), {
  minLength: 1,
  maxLength: 5,
}).map((parts) => `/${parts.join("/")}`);

Deno.test("where a glob is said to cover another one, it matches all that the other one does", () => {
  let proofs = 0;
  fc.assert(
    fc.property(
      anyGlob,
      anyGlob,
      fc.array(anyPath, { minLength: 20, maxLength: 40 }),
      (a, b, paths) => {
        if (!globCovers(a, b)) return;
        proofs++;
        for (const path of paths) {
          if (compileGlob(b)(path)) assert.ok(compileGlob(a)(path), `${a} on ${path}, from ${b}`);
        }
      },
    ),
    runs(3000),
  );
  assert.ok(proofs > 5, `only ${proofs} pairs were covered`);
});

Deno.test("covers is certain about terms: narrower ranges, more terms, the same exclusions", () => {
  const match = (text: string) =>
    policyOf(`rules: [{ name: r, match: { ${text} }, evict: first }]\n`).rules[0].match;
  const yes: [string, string][] = [
    ["", "path: '/a/**'"],
    ["size: '>1GiB'", "size: '>2GiB', idle: '>1d'"],
    ["size: '>=1GiB'", "size: '1GiB..2GiB'"],
    ["path: '/a/**'", "path: ['/a/b', '/a/c/**']"],
    ["name: '*.mov'", "path: '/films/*.mov'"],
    ["owner: [1, 2]", "owner: 2"],
    ["path: '/a/**', not: { name: '*.b' }", "path: '/a/**', not: { name: ['*.b', '*.c'] }"],
    ["uses: '<5 in 30d'", "uses: '<3 in 30d'"],
    ["xattr: { user.k: '**' }", "xattr: { user.k: yes }"],
  ];
  const no: [string, string][] = [
    ["size: '>1GiB'", "size: '>=1GiB'"],
    ["size: '>1GiB'", "path: '/a/**'"],
    ["path: '/a/*'", "path: '/a/**'"],
    ["path: '/a/**'", "path: ['/a/b', '/c']"],
    ["uses: '<5 in 30d'", "uses: '<3 in 60d'"],
    ["path: '/a/**', not: { name: '*.b' }", "path: '/a/**'"],
    ["path: '/a/**', not: { name: '*.b' }", "path: '/a/**', not: { name: '*.b', size: '>1GiB' }"],
    ["owner: 1", "owner: [1, 2]"],
    ["xattr: { user.k: yes }", "xattr: { user.k: '**' }"],
  ];
  for (const [wide, narrow] of yes) {
    assert.ok(covers(match(wide), match(narrow)), `${wide} | ${narrow}`);
  }
  for (const [wide, narrow] of no) {
    assert.ok(!covers(match(wide), match(narrow)), `${wide} | ${narrow}`);
  }
});

Deno.test("braces are expanded, nested and side by side, and left alone where that is not safe", () => {
  assert.deepEqual(expandBraces("/a/{b,c{d,e}}.{x,y}").length, 6);
  assert.deepEqual(expandBraces("/a/{b,c}").sort(), ["/a/b", "/a/c"]);
  assert.deepEqual(expandBraces("/a/[{,]"), ["/a/[{,]"]);
  assert.equal(expandBraces("{a,b}".repeat(12)).length, 1);
});
