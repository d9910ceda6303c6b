import assert from "node:assert/strict";
import { Budget } from "../../../src/tiering/budget.ts";

const FOREVER = new AbortController().signal;

Deno.test("a budget is never exceeded, and is given out in order", async () => {
  const budget = new Budget(10);
  const first = await budget.acquire(6, FOREVER);
  const order: string[] = [];
  const second = budget.acquire(6, FOREVER).then((share) => (order.push("second"), share));
  const third = budget.acquire(1, FOREVER).then((share) => (order.push("third"), share));
  await Promise.resolve();
  assert.deepEqual(order, [], "the third does not overtake the second");
  first.shrink(4);
  (await second).release();
  (await third).release();
  first.release();
  first.release();
  assert.deepEqual(order, ["second", "third"]);
  assert.equal(budget.used, 0);
  assert.equal(budget.peak, 10);
});

Deno.test("more than the whole budget is given when nothing is held", async () => {
  const budget = new Budget(10);
  const share = await budget.acquire(50, FOREVER);
  let scarce = 0;
  budget.onScarce = () => scarce++;
  const other = budget.acquire(1, FOREVER);
  assert.equal(scarce, 1);
  share.release();
  await other;
});

Deno.test("whoever stops waiting lets those behind him go on", async () => {
  const budget = new Budget(10);
  const held = await budget.acquire(8, FOREVER);
  const impatient = new AbortController();
  const large = budget.acquire(10, impatient.signal);
  const small = budget.acquire(2, FOREVER);
  impatient.abort("enough");
  await assert.rejects(large, (reason) => reason === "enough");
  (await small).release();
  held.release();
  assert.equal(budget.waiting, 0);
});
