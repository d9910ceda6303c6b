import assert from "node:assert/strict";
import { SingleFlight } from "../../../src/runtime/single_flight.ts";

Deno.test("whoever asks while an action runs gets its answer; later ones run it again", async () => {
  const flights = new SingleFlight<string, number>();
  let runs = 0;
  const action = () => Promise.resolve(++runs);
  assert.deepEqual(await Promise.all([flights.run("a", action), flights.run("a", action)]), [1, 1]);
  assert.equal(await flights.run("a", action), 2);
  assert.equal(flights.size, 0);
});

Deno.test("other keys run on their own, and a failure reaches all who asked", async () => {
  const flights = new SingleFlight<string, number>();
  const fail = () => Promise.reject(new Error("no"));
  const failing = Promise.allSettled([flights.run("a", fail), flights.run("a", fail)]);
  assert.equal(await flights.run("b", () => Promise.resolve(1)), 1);
  assert.deepEqual((await failing).map((each) => each.status), ["rejected", "rejected"]);
});

Deno.test("the action is aborted when the last one who waits has gone, not before", async () => {
  const flights = new SingleFlight<string, number>();
  let aborted = false;
  const action = (signal: AbortSignal) =>
    new Promise<number>((_, reject) =>
      signal.addEventListener("abort", () => {
        aborted = true;
        reject(signal.reason);
      })
    );
  const first = new AbortController();
  const second = new AbortController();
  const runs = Promise.allSettled([
    flights.run("a", action, first.signal),
    flights.run("a", action, second.signal),
  ]);
  await Promise.resolve();
  first.abort("bored");
  assert.equal(aborted, false);
  second.abort("bored too");
  assert.equal(aborted, true);
  const reasons = (await runs).map((each) => each.status === "rejected" && each.reason);
  assert.deepEqual(reasons, ["bored", "bored too"]);
  assert.equal(await flights.run("a", () => Promise.resolve(5)), 5);
});
