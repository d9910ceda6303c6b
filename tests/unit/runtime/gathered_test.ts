import assert from "node:assert/strict";
import { Gathered } from "../../../src/runtime/gathered.ts";

Deno.test("what is asked in one turn goes together, and so does what comes while an answer is awaited", async () => {
  const calls: number[][] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  const gathered = new Gathered(async (questions: number[]) => {
    calls.push(questions);
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    await gate.promise;
    return questions.map((question) => question * 2);
  }, { most: 3 });
  const first = [gathered.ask(1), gathered.ask(2)];
  await Promise.resolve();
  assert.deepEqual(calls, [[1, 2]]);
  const later = [3, 4, 5, 6].map((question) => gathered.ask(question));
  await Promise.resolve();
  assert.equal(calls.length, 1, "one question at a time");
  gates[0].resolve();
  assert.deepEqual(await Promise.all(first), [2, 4]);
  gates[1].resolve();
  assert.deepEqual(await Promise.all(later.slice(0, 3)), [6, 8, 10]);
  gates[2].resolve();
  assert.equal(await later[3], 12);
  assert.deepEqual(calls, [[1, 2], [3, 4, 5], [6]]);
});

Deno.test("an error is the answer to those that were asked together, and to nobody else", async () => {
  const gathered = new Gathered((questions: string[]) => {
    if (questions.includes("bad")) throw new Error("no");
    return Promise.resolve(questions);
  }, { most: 2 });
  const answers = await Promise.allSettled(["a", "bad", "b"].map((each) => gathered.ask(each)));
  assert.deepEqual(answers.map(({ status }) => status), ["rejected", "rejected", "fulfilled"]);
  assert.equal(await gathered.ask("again"), "again");
});
