/** When the loop waits for requests awake, and when it goes to sleep at once. */
import assert from "node:assert/strict";
import { Anticipation } from "../../../src/filesystem/anticipation.ts";

/** Answers a request for each `true`, in order; then there are none. */
class Scripted {
  answered = 0;
  looks = 0;
  constructor(public coming: boolean[] = []) {}
  serve(): "drained" | "more" {
    this.looks++;
    if (this.coming.shift() !== true) return "drained";
    this.answered++;
    return "more";
  }
}

const make = (processors = 2) => {
  let busy = 0;
  const anticipation = new Anticipation({ processors, onBusy: () => busy++ });
  return { anticipation, busy: () => busy };
};

Deno.test("after a request the next one is waited for awake, for a bounded time", () => {
  const { anticipation, busy } = make();
  const server = new Scripted([false, false, true, false, true]);
  server.answered = 1;
  assert.equal(anticipation.serve(server), false);
  assert.equal(server.answered, 3);
  assert(server.looks < 100);
  assert.equal(busy(), 1);
});

Deno.test("an idle loop does not wait awake, and neither does one with a single processor", () => {
  const idle = new Scripted();
  const { anticipation } = make();
  assert.equal(anticipation.serve(idle), false);
  assert.equal(idle.looks, 0);
  const asked = new Scripted([true]);
  asked.answered = 1;
  assert.equal(make(1).anticipation.serve(asked), false);
  assert.equal(asked.looks, 0);
});

Deno.test("waiting awake in vain is given up, and tried again once in a while", () => {
  const { anticipation } = make();
  const server = new Scripted();
  const tries = [];
  for (let turn = 1; turn <= 200; turn++) {
    server.answered++; // One request came after a long sleep.
    server.looks = 0;
    anticipation.serve(server);
    if (server.looks > 0) tries.push(turn);
  }
  assert.deepEqual(tries.slice(0, 3), [1, 2, 3]);
  assert(tries.length >= 5 && tries.length <= 7, `${tries}`);
  server.answered++;
  for (let turn = 0; turn < 64; turn++, server.answered++) {
    server.coming = [true];
    anticipation.serve(server);
  }
  server.answered++;
  server.looks = 0;
  anticipation.serve(server);
  assert(server.looks > 0, "what was worth it once is done again");
});

Deno.test("a burst of requests does not keep other work waiting", () => {
  const { anticipation } = make();
  const server = new Scripted(new Array(1000).fill(true));
  server.answered = 1;
  assert.equal(anticipation.serve(server), true);
  assert(server.answered < 100);
});
