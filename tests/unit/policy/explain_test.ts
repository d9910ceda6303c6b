/** Explanations name every rule that was tried, and what happens when; diffs name what changes. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { MiB } from "../../../src/domain/units.ts";
import { diffPlans } from "../../../src/policy/diff.ts";
import { explain, renderExplanation } from "../../../src/policy/explain.ts";
import { judge } from "../../../src/policy/judge.ts";
import { Rules } from "../../../src/policy/outcome.ts";
import { plan } from "../../../src/policy/plan.ts";
import { queueKey, timeline } from "../../../src/policy/timeline.ts";
import { anyFile, anyPolicy, CHUNK, DAY, file, HOUR, NOW, policyOf, usage } from "./helpers.ts";

const POLICY = `evict: { min_residence: 1h }
rules:
  - { name: work, match: { path: "/Work/**" }, keep: pinned }
  - { name: films, match: { path: "**/*.mov", size: ">1MiB", idle: ">14d" }, evict: first }
  - { name: small, match: { size: "<4KiB", not: { name: "*.mov" } }, evict: allow }
  - { name: rest, match: {}, evict: { after: 60d } }
`;
const at = { now: NOW, chunkSize: CHUNK };

Deno.test("an explanation says why each rule did not match, which one did, and what comes next", () => {
  const rules = new Rules(policyOf(POLICY));
  const facts = file({ paths: ["/Video/a.mov"], size: 5 * MiB, lastUsedMs: NOW - 3 * DAY });
  const lines = renderExplanation(explain(rules, facts, at), {
    now: NOW,
    when: (ms) => new Date(ms).toISOString().slice(0, 10),
  });
  assert.deepEqual(lines, [
    "/Video/a.mov",
    "  p.yaml:4:5 work: no: path is /Video/a.mov, not /Work/**",
    "  p.yaml:5:5 films: no: idle is 3d, not >14d",
    "  p.yaml:6:5 small: no: size is 5MiB, not <4KiB",
    "  p.yaml:7:5 rest: matches",
    "decided by rest (p.yaml:7:5)",
    "now: stays: not unused for long enough; leaves all the same when writers wait for space",
    "in 11d (2026-06-26), unless it is used: leaves before all others when space is needed, by films (p.yaml:5:5)",
  ]);
});

Deno.test("an explanation of an exclusion, and of a file that no rule matches", () => {
  const text = POLICY.split("\n").filter((line) => !line.includes("rest")).join("\n");
  const rules = new Rules(policyOf(text));
  const facts = file({ paths: ["/a.mov"], size: 100, lastUsedMs: NOW });
  const lines = renderExplanation(explain(rules, facts, at), { now: NOW, when: String });
  assert.ok(lines.includes("  p.yaml:6:5 small: no: it is excluded by not: name *.mov"));
  assert.ok(lines.includes("  no rule matches: it may leave, in its turn"));
  assert.ok(lines.includes("decided by no rule"));
});

Deno.test("the timeline agrees with the judgement at every later time", () => {
  const later = fc.double({ min: 0, max: 500, noNaN: true }).map((days) =>
    NOW + Math.floor(days * DAY)
  );
  fc.assert(
    fc.property(anyPolicy, anyFile, later, (policy, any, then) => {
      const facts = { ...any, dirty: false, open: false, confirmed: true };
      fc.pre(facts.resident > 0);
      const rules = new Rules(policy);
      const stage = timeline(rules, facts, at).findLast((each) => each.fromMs <= then)!;
      const judged = judge(rules, facts, { now: then, chunkSize: CHUNK });
      assert.equal(stage.judgement.tier, judged.tier);
      assert.equal(stage.judgement.outcome.rule, judged.outcome.rule);
      assert.equal(stage.judgement.block, judged.block);
    }),
    runs(1000),
  );
});

Deno.test("keys say from when a file may leave, and from when before all others", () => {
  const rules = new Rules(policyOf(POLICY));
  const film = { paths: ["/a.mov"], size: 5 * MiB, lastUsedMs: NOW - 3 * DAY };
  const key = queueKey(rules, file(film), at);
  assert.equal(key.firstAtMs, NOW + 11 * DAY + 1);
  assert.equal(key.leavesAtMs, key.firstAtMs);
  const kept = queueKey(rules, file({ paths: ["/Work/a"] }), at);
  assert.deepEqual([kept.firstAtMs, kept.leavesAtMs], [Infinity, Infinity]);
  const pinned = queueKey(rules, file({ ...film, pin: { untilMs: NOW + 30 * DAY } }), at);
  assert.equal(pinned.leavesAtMs, NOW + 30 * DAY);
  const young = file({ paths: ["/a.txt"], size: 100, createdMs: NOW - HOUR / 2 });
  assert.equal(queueKey(rules, young, at).leavesAtMs, NOW + HOUR / 2);
  const old = queueKey(rules, file({ paths: ["/a.txt"], size: 100 }), at);
  assert.deepEqual([old.firstAtMs, old.leavesAtMs], [Infinity, 0]);
});

Deno.test("a diff names the files whose verdict changes, their bytes, and the money", () => {
  const facts = [
    file({ paths: ["/Work/a"], size: 40 * MiB }),
    file({ paths: ["/b"], size: 40 * MiB, lastUsedMs: NOW - 5 * DAY }),
    file({ paths: ["/c"], size: 18 * MiB, lastUsedMs: NOW }),
  ];
  const prices = {
    date: "2026-01-01",
    currency: "USD",
    storedGbMonth: 1,
    egressGb: 1000,
    upload10k: 0,
    download10k: 0,
  };
  const planOf = (text: string) =>
    plan({ facts, usage: usage(), policy: policyOf(text), now: NOW, prices });
  const before = planOf("");
  const after = planOf("rules: [{ name: w, match: { path: '/Work/**' }, keep: pinned }]\n");
  const { changes, transitions, freed, undo, missing } = diffPlans(before, after);
  assert.deepEqual(
    [...changes].map(({ path, before, after }) => [path, before.verdict, after.verdict]),
    [["/b", "keep", "evict"], ["/Work/a", "evict", "keep"]],
  );
  assert.deepEqual(transitions, {
    "keep → evict": { files: 1, bytes: 40 * MiB },
    "evict → keep": { files: 1, bytes: 40 * MiB },
  });
  assert.deepEqual([freed, undo, missing], [0, 0, 0]);
  assert.deepEqual([...diffPlans(before, before).changes], []);
});
