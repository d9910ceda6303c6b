import assert from "node:assert/strict";
import { UnsyncedContent } from "../../../src/filesystem/unsynced_content.ts";

Deno.test("a second fsync while the first is under way still finds content to sync", () => {
  const unsynced = new UnsyncedContent();
  unsynced.mark(7);
  const first = unsynced.beginSync(7);
  assert.equal(unsynced.has(7), true);
  first();
  assert.equal(unsynced.has(7), false);
});

Deno.test("what is written while a sync is under way is not covered by it", () => {
  const unsynced = new UnsyncedContent();
  unsynced.mark(7);
  unsynced.mark(8);
  const one = unsynced.beginSync(7);
  const all = unsynced.beginSyncAll(10);
  unsynced.mark(7);
  one();
  all();
  assert.equal(unsynced.has(7), true);
  assert.equal(unsynced.has(8), false);
});

Deno.test("after an unclean end every file is in doubt until the disk has been synced", () => {
  const unsynced = new UnsyncedContent();
  unsynced.doubtAll();
  assert.equal(unsynced.has(5), true);
  unsynced.beginSync(5)();
  assert.equal(unsynced.has(5), true);
  unsynced.beginSyncAll(10)();
  assert.equal(unsynced.has(5), false);
});

Deno.test("an end counted as clean although a sync of the disk after a crash had not succeeded", () => {
  const unsynced = new UnsyncedContent();
  assert.equal(unsynced.allDurable, true);
  unsynced.doubtAll();
  assert.equal(unsynced.size, 0);
  assert.equal(unsynced.allDurable, false);
  unsynced.mark(3);
  unsynced.beginSyncAll(1)();
  assert.equal(unsynced.allDurable, true);
});

Deno.test("of a file that is written on, what a sync of the disk has covered is durable", () => {
  const unsynced = new UnsyncedContent();
  unsynced.mark(7);
  const all = unsynced.beginSyncAll(10);
  assert.equal(unsynced.isDurable(7, 9), false);
  unsynced.mark(7);
  all();
  assert.equal(unsynced.isDurable(7, 9), true);
  assert.equal(unsynced.isDurable(7, 11), false);
  assert.equal(unsynced.isDurable(8, 11), true);
});
