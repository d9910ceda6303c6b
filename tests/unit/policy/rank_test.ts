/** The rank is one number per file, and orders them as the formula with the time in it does. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { cooled, heatAfterUse } from "../../../src/domain/heat.ts";
import { GiB, MiB } from "../../../src/domain/units.ts";
import type { Weights } from "../../../src/policy/model.ts";
import { rankOf, recallCost, scoreAt } from "../../../src/policy/rank.ts";
import { DAY, NOW } from "./helpers.ts";

const anyRanked = fc.record({
  size: fc.oneof(fc.nat(10_000), fc.nat(GiB), fc.integer({ min: 0, max: 2 ** 45 })),
  lastUsedMs: fc.integer({ min: NOW - 1000 * DAY, max: NOW }),
  heat: fc.double({ min: 0.01, max: 1000, noNaN: true }),
  beforeMs: fc.integer({ min: 0, max: 100 * DAY }),
}).map(({ beforeMs, ...rest }) => ({ ...rest, heatAtMs: rest.lastUsedMs - beforeMs }));

const weight = fc.double({ min: -5, max: 5, noNaN: true });
const anyWeights: fc.Arbitrary<Weights> = fc.record({
  age: weight,
  size: weight,
  heat: weight,
  recall_cost: weight,
  halfLifeMs: fc.integer({ min: DAY / 24, max: 100 * DAY }),
});

type Ranked = Parameters<typeof rankOf>[0];

/** The formula of rank.ts, written down a second time. */
function formula(file: Ranked, weights: Weights, now: number): number {
  const { age, size, heat, recall_cost, halfLifeMs: H } = weights;
  const bytes = Math.max(file.size, 4096);
  const hot = file.heat * Math.pow(0.5, (now - file.heatAtMs) / H);
  const seconds = (0.25 + 0.1 * bytes / MiB) / (bytes / MiB);
  return age * (now - file.lastUsedMs) / H + size * Math.log2(bytes / MiB) +
    heat * Math.log2(hot) + recall_cost * Math.log2(seconds);
}

Deno.test("the order by rank equals the order by the formula, at any time", () => {
  fc.assert(
    fc.property(
      anyRanked,
      anyRanked,
      anyWeights,
      fc.integer({ min: 0, max: 300 * DAY }),
      (a, b, weights, laterMs) => {
        const now = NOW + laterMs;
        const decays = (now - Math.min(a.heatAtMs, b.heatAtMs)) / weights.halfLifeMs;
        // Beyond, 2^-x is no longer a number that a logarithm could be taken of.
        fc.pre(decays < 900);
        const difference = formula(a, weights, now) - formula(b, weights, now);
        const ranks = rankOf(b, weights) - rankOf(a, weights);
        const large = Math.max(1, Math.abs(rankOf(a, weights)), Math.abs(rankOf(b, weights)));
        assert.ok(Math.abs(difference - ranks) < 1e-9 * large, `${difference} ${ranks}`);
      },
    ),
    runs(2000),
  );
});

Deno.test("the score that explanations print is the formula", () => {
  fc.assert(fc.property(anyRanked, anyWeights, (file, weights) => {
    const now = file.heatAtMs + 3 * weights.halfLifeMs;
    const [said, wanted] = [scoreAt(file, weights, now), formula(file, weights, now)];
    assert.ok(Math.abs(said - wanted) <= 1e-9 * Math.max(1, Math.abs(wanted)));
  }));
});

Deno.test("heat counts uses and halves in every half-life", () => {
  const halfLifeMs = 2 * DAY;
  let file = { heat: 1, heatAtMs: NOW };
  assert.equal(cooled(file, { now: NOW + 2 * DAY, halfLifeMs }), 0.5);
  file = { heat: heatAfterUse(file, { now: NOW + 2 * DAY, halfLifeMs }), heatAtMs: NOW + 2 * DAY };
  assert.equal(file.heat, 1.5);
  assert.equal(cooled(file, { now: NOW + 4 * DAY, halfLifeMs }), 0.75);
});

Deno.test("a use, or a smaller size, never lets a file leave sooner with the default weights", () => {
  const weights: Weights = { age: 1, size: 0.3, heat: -2, recall_cost: -0.5, halfLifeMs: 2 * DAY };
  fc.assert(fc.property(anyRanked, (file) => {
    const used = {
      ...file,
      heat: heatAfterUse(file, { now: NOW, halfLifeMs: weights.halfLifeMs }),
      heatAtMs: NOW,
      lastUsedMs: NOW,
    };
    assert.ok(rankOf(used, weights) >= rankOf(file, weights));
    assert.ok(rankOf({ ...file, size: file.size * 2 }, weights) <= rankOf(file, weights));
  }));
});

Deno.test("bringing back one MiB costs most where files are small", () => {
  assert.ok(recallCost(4096) > recallCost(MiB));
  assert.ok(recallCost(MiB) > recallCost(GiB));
  assert.equal(recallCost(0), recallCost(4096));
});
