/** The trace keeps the newest accesses in a ring of fixed size, exactly. */
import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { UserError } from "../../../src/domain/errors.ts";
import type { ReaderClass } from "../../../src/policy/readers.ts";
import {
  RECORD_BYTES,
  type TraceEvent,
  type TraceKind,
  TraceRing,
} from "../../../src/policy/trace.ts";

const anyEvent: fc.Arbitrary<TraceEvent> = fc.record({
  timeMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  inode: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  kind: fc.constantFrom<TraceKind>(0, 1, 2),
  reader: fc.constantFrom<ReaderClass>(0, 1, 2, 3),
  size: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
}, { noNullPrototype: true });

Deno.test("the ring gives back the newest records, oldest first, also after it was written down and read", () => {
  fc.assert(fc.property(fc.array(anyEvent), fc.integer({ min: 1, max: 8 }), (events, capacity) => {
    const ring = TraceRing.create(capacity);
    for (const event of events) ring.append(event);
    const newest = events.slice(-capacity);
    assert.deepEqual([...ring.records()], newest);
    const read = TraceRing.open(ring.bytes.slice());
    assert.deepEqual([...read.records()], newest);
    assert.equal(read.written, events.length);
    read.append({ timeMs: 1, inode: 2, kind: 0, reader: 0, size: 3 });
    assert.equal([...read.records()].at(-1)!.inode, 2);
  }));
});

Deno.test("append says where the record stands, so that only it and the header have to be written", () => {
  const ring = TraceRing.create(2);
  const event: TraceEvent = { timeMs: 5, inode: 1, kind: 0, reader: 0, size: 1 };
  const places = [ring.append(event), ring.append(event), ring.append(event)];
  assert.deepEqual(places, [64, 64 + RECORD_BYTES, 64]);
});

Deno.test("whatever is not a trace is refused with the reason", () => {
  const good = TraceRing.create(3).bytes;
  const changed = (at: number, value: number) => {
    const bytes = good.slice();
    bytes[at] = value;
    return bytes;
  };
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [good.slice(0, 10), /only 10 bytes/],
    [changed(0, 1), /does not begin like one/],
    [changed(8, 9), /version is 9/],
    [changed(12, 9), /another size/],
    [changed(16, 9), /do not hold 9 records/],
    [good.slice(0, -1), /do not hold 3 records/],
  ];
  for (const [bytes, reason] of cases) {
    assert.throws(
      () => TraceRing.open(bytes),
      (error) => error instanceof UserError && reason.test(error.message),
    );
  }
});

Deno.test("records whose kind is not known are passed over", () => {
  const ring = TraceRing.create(2);
  const at = ring.append({ timeMs: 5, inode: 1, kind: 0, reader: 0, size: 1 });
  ring.append({ timeMs: 6, inode: 2, kind: 1, reader: 3, size: 1 });
  ring.bytes[at + 6] = 200;
  assert.deepEqual([...ring.records()].map((event) => event.inode), [2]);
});
