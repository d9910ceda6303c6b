import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { backoffDelayMs, checkBudget, retry } from "../../../src/runtime/retry.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

const backoff = { baseMs: 1000, capMs: 60_000 };

function failing(times: number, log: number[], clock: SimulatedClock) {
  return (attempt: number) => {
    log.push(clock.monotonicMs());
    return attempt <= times
      ? Promise.reject(new Error(`attempt ${attempt}`))
      : Promise.resolve(attempt);
  };
}

Deno.test("a pause is jittered below its doubling bound, and never above the cap", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer(), (failures, seed) => {
    const delayMs = backoffDelayMs(failures, { backoff, random: new SeededRandom(seed) });
    assert.ok(delayMs >= 0 && delayMs < Math.min(60_000, 1000 * 2 ** (failures - 1)) + 1e-6);
  }));
});

Deno.test("a pause that the other side asked for is never shortened, but capped", () => {
  const random = new SeededRandom(1);
  for (const askedMs of [0, 500, 30_000]) {
    const delayMs = backoffDelayMs(1, { backoff, random, askedMs });
    assert.ok(delayMs >= askedMs && delayMs <= askedMs + 1000);
  }
  assert.ok(backoffDelayMs(1, { backoff, random, askedMs: 1e9 }) <= 61_000);
});

Deno.test("an action is tried again until it succeeds", async () => {
  const clock = new SimulatedClock();
  const log: number[] = [];
  const result = await clock.until(retry(failing(4, log, clock), {
    clock,
    random: new SeededRandom(7),
    backoff,
    budget: {},
    verdict: () => ({ retry: true }),
  }));
  assert.equal(result, 5);
  assert.equal(log.length, 5);
});

Deno.test("the budget of attempts ends it with the last error", async () => {
  const clock = new SimulatedClock();
  const log: number[] = [];
  const call = retry(failing(99, log, clock), {
    clock,
    random: new SeededRandom(7),
    backoff,
    budget: { attempts: 3 },
    verdict: () => ({ retry: true }),
  });
  await assert.rejects(clock.until(call), /attempt 3/);
  assert.equal(log.length, 3);
});

Deno.test("no attempt begins after the deadline", async () => {
  const clock = new SimulatedClock();
  const log: number[] = [];
  const call = retry(failing(99, log, clock), {
    clock,
    random: new SeededRandom(7),
    backoff,
    budget: { deadlineMs: 20_000 },
    verdict: () => ({ retry: true }),
  });
  await assert.rejects(clock.until(call), /attempt/);
  assert.ok(log.length > 2 && log.every((ms) => ms <= 20_000), `${log}`);
});

Deno.test("a verdict against another attempt is final", async () => {
  const clock = new SimulatedClock();
  const log: number[] = [];
  const call = retry(failing(99, log, clock), {
    clock,
    random: new SeededRandom(7),
    backoff,
    budget: {},
    verdict: (_error, attempt) => (attempt < 2 ? { retry: true } : { retry: false }),
  });
  await assert.rejects(clock.until(call), /attempt 2/);
});

Deno.test("an abort ends a pause at once with the signal's reason", async () => {
  const clock = new SimulatedClock();
  const controller = new AbortController();
  const call = retry(failing(99, [], clock), {
    clock,
    random: new SeededRandom(7),
    backoff: { baseMs: 1e6, capMs: 1e6 },
    budget: {},
    verdict: () => ({ retry: true }),
    signal: controller.signal,
  });
  const rejected = assert.rejects(call, /enough/);
  await clock.advance(0);
  controller.abort(new Error("enough"));
  await rejected;
  assert.equal(clock.pending, 0);
});

Deno.test("a budget that makes no sense is refused by name and value", () => {
  assert.throws(() => checkBudget({ attempts: 0 }), /'attempts'.*0/);
  assert.throws(() => checkBudget({ deadlineMs: -1 }), /'deadlineMs'.*-1/);
  checkBudget({ attempts: 1, deadlineMs: 0 });
});
