import assert from "node:assert/strict";
import { Watchdog } from "../../../src/fuse/watchdog.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

function watched(answer: (dog: Watchdog) => void) {
  const clock = new SimulatedClock();
  const seen = { asked: 0, aborted: [] as number[], ended: [] as boolean[] };
  const dog = new Watchdog({
    connection: 77,
    clock,
    deadlineMs: 20_000,
    ask: () => {
      seen.asked++;
      answer(dog);
    },
    abort: (connection) => seen.aborted.push(connection) > 0,
    onAborted: (ended) => seen.ended.push(ended),
  });
  dog.start();
  return { clock, seen, dog };
}

Deno.test("an isolate that answers is left alone", async () => {
  const { clock, seen, dog } = watched((dog) => dog.alive());
  await clock.advance(3_600_000);
  assert.ok(seen.asked > 100);
  assert.deepEqual(seen.aborted, []);
  dog.stop();
  assert.equal(clock.pending, 0);
});

Deno.test("an isolate that stays silent loses its connection, once and in time", async () => {
  const { clock, seen } = watched(() => {});
  await clock.advance(24_000);
  assert.deepEqual(seen.aborted, []);
  await clock.advance(6_000);
  assert.deepEqual([seen.aborted, seen.ended], [[77], [true]]);
  await clock.advance(3_600_000);
  assert.deepEqual(seen.aborted, [77]);
  assert.equal(clock.pending, 0);
});

Deno.test("an answer just before the deadline saves the connection", async () => {
  const { clock, seen, dog } = watched(() => {});
  await clock.advance(24_000);
  dog.alive();
  await clock.advance(6_000);
  assert.deepEqual(seen.aborted, []);
  dog.stop();
});

Deno.test("after a stop of this very process the isolate gets its time again", () => {
  let nowMs = 0;
  let next = () => {};
  const aborted: number[] = [];
  const dog = new Watchdog({
    connection: 77,
    clock: {
      wallMs: () => nowMs,
      monotonicMs: () => nowMs,
      now: () => ({ seconds: 0, nanoseconds: 0 }),
      after: (_milliseconds, action) => {
        next = action;
        return () => {};
      },
    },
    deadlineMs: 20_000,
    ask: () => {},
    abort: (connection) => aborted.push(connection) > 0,
    onAborted: () => {},
  });
  dog.start();
  const look = (atMs: number) => {
    nowMs = atMs;
    next();
  };
  look(5_000);
  look(900_000);
  assert.deepEqual(aborted, []);
  for (const atMs of [905_000, 910_000, 915_000, 920_000]) look(atMs);
  assert.deepEqual(aborted, [77]);
});
