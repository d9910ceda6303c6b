/** What a rule asks for at least: nothing that it matches is ever without it. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { printName } from "../../../src/domain/name_text.ts";
import type { NamePattern, NameTest } from "../../../src/domain/prefilter.ts";
import { compileGlob, globProblem } from "../../../src/policy/glob.ts";
import { prefilterOf } from "../../../src/policy/prefilter.ts";

const accounts = { uids: () => [], gids: () => [] };
const of = (about: Parameters<typeof prefilterOf>[0]) =>
  prefilterOf(about, { now: 1e12, accounts });

const bytes = (text: string) => new TextEncoder().encode(text);
const raw = [
  ...[
    "a",
    "bb",
    ".a",
    "a.mov",
    ".mov",
    "b.tar.gz",
    "x41",
    "Z\\x41",
    "a\\",
    "é",
    "4",
    "\u{1f600}.c",
  ],
  ...["a\tmov", "c*", "a?b", "x", "..a"],
].map(bytes).concat([new Uint8Array([0x61, 0xff]), new Uint8Array([0xff, 0x2e, 0x41])]);
const name = fc.constantFrom(...raw);
const part = fc.oneof(
  fc.constantFrom(
    "*",
    "**",
    "?",
    "*.mov",
    ".*",
    "a*",
    "*a*",
    "*x41",
    "*41",
    "*1",
    "?a",
    "*f",
    "*4?",
  ),
  fc.constantFrom(
    "{a,bb}",
    "*.{mov,gz}",
    "[a-z]",
    "!(a)",
    "*\\xff",
    "a\\x09mov",
    "*{a,.mov}",
    "a**",
  ),
  name.map(printName),
);
/** A path, and globs made from its names, so that they match often. */
const world = fc.array(name, { minLength: 1, maxLength: 4 }).chain((names) => {
  const parts = names.map((each) =>
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(printName(each), "*", "**", `*${ending(each)}`) },
      { weight: 1, arbitrary: part },
    )
  );
  const glob = fc.tuple(fc.constantFrom("/", "/", "**/"), fc.tuple(...parts), fc.boolean())
    .map(([root, all, below]) => root + all.join("/") + (below ? "/**" : ""));
  return fc.record({
    names: fc.constant(names),
    globs: fc.array(glob, { minLength: 1, maxLength: 2 }),
  });
});
const ending = (of: Uint8Array) => printName(of).slice(-2);

function passes(test: NameTest, of: Uint8Array): boolean {
  const wanted = bytes(test.text);
  const from = test.kind === "ends" ? of.length - wanted.length : 0;
  if (from < 0 || (test.kind === "is" && of.length !== wanted.length)) return false;
  return wanted.every((byte, at) => of[from + at] === byte);
}

const holds = (patterns: readonly NamePattern[] | undefined, directory: string, last: Uint8Array) =>
  patterns === undefined || patterns.some((each) =>
    (each.in === undefined || each.in(directory)) &&
    (each.test === undefined || passes(each.test, last))
  );

Deno.test("a path that a glob matches is never passed over by what the glob asks for", () => {
  let [matched, told] = [0, 0];
  fc.assert(
    fc.property(
      world,
      ({ names, globs }) => {
        fc.pre(globs.every((glob) => globProblem(glob, "path") === undefined));
        const directory = names.slice(0, -1).map((each) => `/${printName(each)}`).join("");
        const last = names.at(-1)!;
        const whole = `${directory}/${printName(last)}`;
        if (!globs.some((glob) => compileGlob(glob)(whole))) return;
        matched++;
        const { names: patterns } = of({ path: globs });
        if (patterns !== undefined) told++;
        assert.ok(holds(patterns, directory, last), `${whole} by ${JSON.stringify(patterns)}`);
      },
    ),
    runs(10_000),
  );
  assert.ok(matched > 500 && told > 50, `${matched} paths matched, ${told} patterns were told`);
});

Deno.test("a name that a glob matches is never passed over by what the glob asks for", () => {
  fc.assert(
    fc.property(part, name, (glob, last) => {
      fc.pre(globProblem(glob, "name") === undefined);
      if (!compileGlob(glob)(printName(last))) return;
      assert.ok(holds(of({ name: [glob] }).names, "/somewhere", last), printName(last));
    }),
    runs(5_000),
  );
});

Deno.test("what the common globs ask for is told", () => {
  const tests = (...path: string[]) =>
    of({ path }).names?.map(({ in: where, test }) => [where !== undefined, test]);
  const ends = (text: string) => ({ kind: "ends", text });
  assert.deepEqual(tests("**/*.{mkv,mov}"), [[false, ends(".mkv")], [false, ends(".mov")]]);
  assert.deepEqual(tests("/Work/**"), [[true, undefined], [true, { kind: "is", text: "Work" }]]);
  assert.deepEqual(tests("**/node_modules/**"), [
    [true, undefined],
    [false, { kind: "is", text: "node_modules" }],
  ]);
  assert.deepEqual(tests("/.*/**"), [[true, undefined], [true, { kind: "starts", text: "." }]]);
  assert.deepEqual(tests("/Photos/2026/IMG_*"), [[true, { kind: "starts", text: "IMG_" }]]);
  // Digits at the end may be those of a byte that is printed as `\xNN`.
  assert.deepEqual(tests("**/*backup"), [[false, ends("kup")]]);
  for (const glob of ["**", "/**", "**/**", "**/[ab]", "**/!(a)", "**/*\\xff", "**/*"]) {
    assert.equal(tests(glob), undefined, glob);
  }
  const [below, itself] = of({ path: ["/Work/**"] }).names!;
  const places = ["", "/Work", "/Work/deep/down", "/Workshop", "/a/Work"];
  assert.deepEqual(places.map((each) => below.in!(each)), [false, true, true, false, false]);
  assert.deepEqual(places.map((each) => itself.in!(each)), [true, false, false, false, false]);
});

Deno.test("bounds of times and sizes become bounds of what is stored", () => {
  const [min, max] = [10, 20];
  const included = { minIncluded: true, maxIncluded: false };
  assert.deepEqual(of({ size: { min, max, ...included } }), { size: { min, max } });
  assert.deepEqual(of({ idle: { min, max, ...included } }), {
    lastUsedMs: { min: 1e12 - 20, max: 1e12 - 10 },
  });
  // What is yet to come counts as now.
  assert.deepEqual(of({ age: { min: -Infinity, max, ...included } }), {
    createdMs: { min: 1e12 - 20, max: Infinity },
  });
  assert.deepEqual(of({ not: [{ size: { min, max, ...included } }] }), {});
});
