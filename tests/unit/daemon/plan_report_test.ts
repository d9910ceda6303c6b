/** Tables of plans fit the terminal, whatever files are called. */
import assert from "node:assert/strict";
import { renderPlan } from "../../../src/daemon/plan_report.ts";
import { renderDiff } from "../../../src/daemon/policy_reports.ts";
import { clip, clipPath } from "../../../src/daemon/table_text.ts";
import { MiB } from "../../../src/domain/units.ts";
import { diffPlans } from "../../../src/policy/diff.ts";
import { plan } from "../../../src/policy/plan.ts";
import { ActivePolicy } from "../../../src/tiering/active_policy.ts";
import { DAY, file, NOW, policyOf, usage } from "../policy/helpers.ts";

const LONG = "a-directory-with-a-long-name/".repeat(5);

function planOf(text: string) {
  const policy = policyOf(text);
  const facts = [
    file({ inode: 1, paths: [`/${LONG}film.mov`], size: 60 * MiB, lastUsedMs: NOW - 40 * DAY }),
    file({ inode: 2, paths: ["/short"], size: 60 * MiB, lastUsedMs: NOW - 2 * DAY }),
  ];
  const { marks } = usage();
  const result = plan({ facts, usage: usage({ target: 100 * MiB }), policy, now: NOW });
  return { result, candidate: { active: new ActivePolicy(policy), marks, file: "p", text: "" } };
}

Deno.test("rows of check fit 80 columns: of a long path the end is shown, rule and reason stand above", () => {
  const { result, candidate } = planOf(
    "rules: [{ name: films, match: { path: '**/*.mov' }, evict: first }]",
  );
  const report = {
    plan: result,
    candidate,
    warnings: [],
    cost: undefined,
    shown: () => true,
    limit: 10,
  };
  const lines = renderPlan(report, { now: NOW, columns: 80 });
  for (const line of lines) assert.ok([...line].length <= 80, `${line.length}: ${line}`);
  const at = lines.findIndex((line) => line.startsWith("evict: its rule lets it leave"));
  assert.match(lines[at + 1], /^ +60 MiB +60 MiB +40d .* …\S+long-name\/film\.mov$/);
  const whole = renderPlan(report, { now: NOW, columns: Infinity }).join("\n");
  assert.ok(whole.includes(`/${LONG}film.mov`));
  assert.match(
    renderPlan({ ...report, limit: 1 }, { now: NOW, columns: 80 }).join("\n"),
    /and 1 more/,
  );
});

Deno.test("so do rows of diff", () => {
  const before = planOf("").result;
  const after = planOf("rules: [{ name: all, match: {}, keep: pinned }]").result;
  const diff = diffPlans(before, after);
  assert.ok(diff.files > 0);
  for (const line of renderDiff(diff, { limit: 10, currency: undefined, columns: 60 })) {
    assert.ok([...line].length <= 60, line);
  }
});

Deno.test("what is left out of a text is shown to be missing", () => {
  assert.equal(clip("abcdef", 6), "abcdef");
  assert.equal(clip("abcdefg", 6), "abcde…");
  assert.equal(clipPath("/a/b/c/d/e", 10), "/a/b/c/d/e");
  assert.equal(clipPath("/a/b/c/d/e/f", 10), "…b/c/d/e/f");
});
