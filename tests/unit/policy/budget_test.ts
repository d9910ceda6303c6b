/** What the bucket costs, beside what a policy allows. */
import assert from "node:assert/strict";
import { renderCost } from "../../../src/daemon/policy_reports.ts";
import { type BucketUse, costOf } from "../../../src/policy/budget.ts";

const GB = 1e9;
const prices = {
  date: "2026-01-31",
  currency: "USD",
  storedGbMonth: 0.01,
  egressGb: 0.01,
  upload10k: 0,
  download10k: 0,
};
const budget = { perMonth: 3, currency: "USD" };
const cost = (use: Partial<BucketUse>, currency = "USD") =>
  costOf({ bytes: 0, recentBytes: 0, waitingBytes: 0, ...use }, {
    prices,
    budget: { ...budget, currency },
  });

Deno.test("the forecast counts what waits, and grows as the last 30 days did", () => {
  const { perMonth, forecastPerMonth } = cost({
    bytes: 100 * GB,
    recentBytes: 20 * GB,
    waitingBytes: 5 * GB,
  });
  assert.equal(perMonth, 1);
  assert.equal(forecastPerMonth, 1.25);
});

Deno.test("a budget is kept, soon exceeded, exceeded, or in another currency; uploads go on in any case", () => {
  const exceeded = (use: Partial<BucketUse>, currency?: string) =>
    cost(use, currency).budget!.exceeded;
  assert.equal(exceeded({ bytes: 100 * GB }), "no");
  assert.equal(exceeded({ bytes: 290 * GB, recentBytes: 20 * GB }), "forecast");
  assert.equal(exceeded({ bytes: 301 * GB }), "now");
  assert.equal(exceeded({ bytes: 301 * GB }, "EUR"), undefined);
  assert.match(
    renderCost(cost({ bytes: 301 * GB })).join("\n"),
    /3\.01 USD a month.*prices of 2026-01-31\)\nabove the budget of 3\.00 USD a month; nothing is kept from/,
  );
  assert.match(renderCost(cost({}, "EUR"))[1], /cannot be compared with prices in USD/);
  const without = costOf({ bytes: 1, recentBytes: 0, waitingBytes: 0 }, { prices });
  assert.equal(renderCost(without).length, 1);
});
