/** Documents that are printed in pieces are the ones that JSON.stringify makes. */
import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { first, jsonLines, JsonList, printJson } from "../../../src/daemon/json_text.ts";

Deno.test("a document with long lists is printed as JSON.stringify prints it, in pieces", () => {
  const value = fc.jsonValue({ maxDepth: 2 });
  fc.assert(fc.property(
    fc.dictionary(fc.string(), value, { maxKeys: 4, noNullPrototype: true }),
    fc.array(value, { maxLength: 5 }),
    (document, items) => {
      const whole = { ...document, items, last: 1 };
      const lines = [...jsonLines({ ...document, items: new JsonList(items), last: 1 })];
      assert.equal(lines.join("\n"), JSON.stringify(whole, null, 2));
    },
  ));
  assert.deepEqual([...jsonLines({})].join(""), "{}");
});

Deno.test("a long list is made while it is printed, not before", () => {
  let made = 0;
  const pieces: number[] = [];
  function* items() {
    while (made < 20_000) yield { number: made++ };
  }
  printJson((text) => pieces.push(text.length), { items: new JsonList(items()) });
  assert.ok(pieces.length > 5, `${pieces.length} pieces`);
  assert.ok(Math.max(...pieces) <= 64 * 1024);
  assert.deepEqual([...first(2, [1, 2, 3])], [1, 2]);
  assert.deepEqual([...first(0, [1])], []);
});
