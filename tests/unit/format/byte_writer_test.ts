import assert from "node:assert/strict";
import { ByteWriter } from "../../../src/format/byte_writer.ts";

const FIRST_BYTES = 64 * 1024;

Deno.test("a number of any width that does not fit into the buffer any more lands in the larger one", () => {
  const kinds: [string, (writer: ByteWriter) => void, number[]][] = [
    ["u8", (writer) => writer.u8(7), [7]],
    ["u16", (writer) => writer.u16(0x0201), [1, 2]],
    ["u32", (writer) => writer.u32(0x04030201), [1, 2, 3, 4]],
    ["u64", (writer) => writer.u64(0x04030201), [1, 2, 3, 4, 0, 0, 0, 0]],
    ["i64", (writer) => writer.i64(-1), Array(8).fill(255)],
  ];
  for (const [name, write, expected] of kinds) {
    const writer = new ByteWriter();
    writer.bytes(new Uint8Array(FIRST_BYTES));
    write(writer);
    assert.deepEqual([...writer.finish().subarray(FIRST_BYTES)], expected, name);
  }
});
