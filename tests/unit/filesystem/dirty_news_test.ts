import assert from "node:assert/strict";
import { DirtyNews } from "../../../src/filesystem/dirty_news.ts";
import { TimerQueue } from "../../../src/runtime/timer_queue.ts";

Deno.test("what becomes dirty a moment after the engine was told is told of, too, and not one by one", () => {
  let now = 0;
  const timers = new TimerQueue(() => now);
  const told: number[] = [];
  const news = new DirtyNews({ emit: () => void told.push(now), timers });
  news.tell();
  // The engine may have looked, and have found that all is saved, by then.
  for (const at of [1, 50, 200]) {
    now = at;
    timers.run();
    news.tell();
  }
  assert.deepEqual(told, [0]);
  now = 250;
  timers.run();
  assert.deepEqual(told, [0, 250]);
  now = 10_000;
  timers.run();
  assert.deepEqual(told, [0, 250]);
  assert.equal(timers.nextDelay(), undefined);
  news.tell();
  assert.deepEqual(told, [0, 250, 10_000]);
});
