import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { RawArguments } from "../../../src/cli/raw_arguments.ts";
import { parseName, printName, splitPath } from "../../../src/domain/name_text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("every name prints as text that is read back as the same bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (name) => {
    const text = printName(name);
    assert.ok([...text].every((character) => character >= " " && character !== "\x7f"));
    assert.deepEqual([...parseName(text)], [...name]);
  }));
});

Deno.test("ordinary names print as they are; others as \\xNN", () => {
  assert.equal(printName(bytes("Grüße €.txt")), "Grüße €.txt");
  assert.equal(printName(new Uint8Array([0x61, 0xff, 0x0a])), "a\\xff\\x0a");
  assert.equal(printName(bytes("a\\b")), "a\\b");
  assert.equal(printName(bytes("a\\x41")), "a\\x5cx41");
});

Deno.test("an argument that is not UTF-8 is taken from the command line's bytes, each once", () => {
  const decoder = new TextDecoder();
  const first = new Uint8Array([0x61, 0xff]);
  const second = new Uint8Array([0x61, 0xfe]);
  const cmdline = new Uint8Array([
    ...bytes("deno\0run\0main.ts\0ls\0"),
    ...first,
    0,
    ...second,
    0,
  ]);
  const raw = new RawArguments(cmdline, 3);
  assert.deepEqual(raw.path(decoder.decode(first)), first);
  assert.deepEqual(raw.path(decoder.decode(second)), second);
  assert.deepEqual(raw.path("plain"), bytes("plain"));
  assert.deepEqual(raw.path("a\\xff"), first);
});

Deno.test("paths split into names without dots", () => {
  const names = (path: string) => splitPath(bytes(path)).map((name) => printName(name));
  assert.deepEqual(names("/a//b/./c/../d/"), ["a", "b", "d"]);
  assert.deepEqual(names("/"), []);
  assert.deepEqual(names("/../.."), []);
});
