import assert from "node:assert/strict";
import { BoundedQueue } from "../../../src/runtime/bounded_queue.ts";

Deno.test("items come out in order, and a full queue makes its putters wait in order", async () => {
  const queue = new BoundedQueue<number>(2);
  const put: number[] = [];
  for (const item of [1, 2, 3, 4]) queue.put(item).then(() => put.push(item));
  await Promise.resolve();
  assert.deepEqual(put, [1, 2]);
  assert.equal(queue.length, 4);
  const taken = [];
  for (let i = 0; i < 4; i++) taken.push(await queue.take());
  assert.deepEqual(taken, [1, 2, 3, 4]);
  assert.deepEqual(put, [1, 2, 3, 4]);
});

Deno.test("a taker waits for an item, in order", async () => {
  const queue = new BoundedQueue<string>(1);
  const both = Promise.all([queue.take(), queue.take()]);
  assert.equal(await queue.put("a"), true);
  assert.equal(await queue.put("b"), true);
  assert.deepEqual(await both, ["a", "b"]);
});

Deno.test("whoever stops waiting leaves the line", async () => {
  const queue = new BoundedQueue<string>(1);
  const impatient = new AbortController();
  const taking = queue.take(impatient.signal);
  impatient.abort("enough");
  await assert.rejects(taking, (reason) => reason === "enough");
  await queue.put("a");
  const other = new AbortController();
  const putting = queue.put("b", other.signal);
  other.abort("full");
  await assert.rejects(putting, (reason) => reason === "full");
  assert.equal(await queue.take(), "a");
  assert.equal(queue.length, 0);
});

Deno.test("a closed queue gives what is left, turns putters away and lets takers go", async () => {
  const queue = new BoundedQueue<string>(1);
  await queue.put("a");
  const turnedAway = queue.put("b");
  queue.close();
  assert.equal(await turnedAway, false);
  assert.equal(await queue.put("c"), false);
  assert.equal(await queue.take(), "a");
  assert.equal(await queue.take(), undefined);
  const empty = new BoundedQueue<string>(1);
  const taking = empty.take();
  empty.close();
  assert.equal(await taking, undefined);
});
