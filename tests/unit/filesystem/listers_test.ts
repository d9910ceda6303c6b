import assert from "node:assert/strict";
import { Listers } from "../../../src/filesystem/listers.ts";

Deno.test("a thread that lists many names only lists, and others are not taken for it", () => {
  const listers = new Listers();
  listers.listed(7, 1999);
  listers.listed(7, 0);
  assert.equal(listers.onlyLists(7), false);
  listers.listed(7, 1);
  assert.equal(listers.onlyLists(7), true);
  assert.equal(listers.onlyLists(8), false);
});

Deno.test("a thread that looks up one name has to list as many again", () => {
  const listers = new Listers();
  listers.listed(7, 5000);
  listers.lookedUp(7);
  assert.equal(listers.onlyLists(7), false);
  listers.listed(7, 1500);
  assert.equal(listers.onlyLists(7), false);
});

Deno.test("of very many threads something is known of a few", () => {
  const listers = new Listers();
  for (let pid = 1; pid <= 10_000; pid++) listers.listed(pid, 5000);
  const known = Array.from({ length: 10_000 }, (_, at) => at + 1)
    .filter((pid) => listers.onlyLists(pid)).length;
  assert(known > 0 && known <= 64, `${known}`);
});
