/**
 * Bytes that no kernel would send: whatever they are, `serve` does not throw, answers with an errno
 * or not at all, and never looks behind the request. Replay with the seed that fast-check prints.
 */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { Session } from "../../../src/fuse/session.ts";
import { KernelSimulator } from "../../harness/kernel_simulator.ts";
import { MemoryFilesystem } from "../../harness/memory_filesystem.ts";

/** A device that replays requests and notes which uniques were answered how. */
function fuzzed(acl: boolean) {
  const kernel = new KernelSimulator();
  const time = { seconds: 1, nanoseconds: 0 };
  const filesystem = new MemoryFilesystem(() => time);
  const answered: { unique: bigint; error: number; length: number }[] = [];
  const device = {
    ...kernel.device,
    write: (from: Uint8Array, length: number) => {
      const view = new DataView(from.buffer, from.byteOffset, length);
      assert.equal(view.getUint32(0, true), length);
      answered.push({
        unique: view.getBigUint64(8, true),
        error: view.getInt32(4, true),
        length,
      });
      return length;
    },
  };
  const session = new Session(device, filesystem, { acl, onDefect: () => {} });
  kernel.attach(session);
  kernel.init();
  answered.length = 0;
  return { kernel, session, answered, filesystem };
}

function request(
  parts: { opcode: number; inode: number; body: Uint8Array; cut: number; lie: number },
): Uint8Array {
  const bytes = new Uint8Array(40 + parts.body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length + parts.lie, true);
  view.setUint32(4, parts.opcode, true);
  view.setUint32(8, 4242, true);
  view.setUint32(16, parts.inode, true);
  bytes.set(parts.body, 40);
  return bytes.subarray(0, Math.max(0, bytes.length - parts.cut));
}

/** INIT and DESTROY are left out: they end or restart the conversation. */
const opcode = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 2 ** 31 }))
  .filter((value) => value !== 26 && value !== 38);

Deno.test("random requests never throw out of serve and are answered at most once", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          opcode,
          inode: fc.constantFrom(0, 1, 2, 3, 999),
          body: fc.uint8Array({ maxLength: 200 }),
          cut: fc.constantFrom(0, 0, 0, 1, 8, 30, 60),
          lie: fc.constantFrom(0, 0, 0, 0, -1, 1, 1 << 20),
        }),
        { maxLength: 20 },
      ),
      fc.boolean(),
      (requests, acl) => {
        const { kernel, answered, session } = fuzzed(acl);
        for (const parts of requests) {
          const before = answered.length;
          kernel.rawBytes(request(parts));
          const now = answered.slice(before);
          assert.ok(now.length <= 1);
          for (const { unique, error } of now) {
            assert.equal(unique, 4242n);
            assert.ok(error <= 0 && error > -512);
          }
        }
        assert.equal(session.parked, 0);
        kernel.mkdir(1, { name: "still alive" });
        assert.equal(answered.at(-1)!.error, 0);
      },
    ),
    runs(400),
  );
});

Deno.test("any bytes at all are survived", () => {
  const { kernel, answered } = fuzzed(false);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const code = bytes.length >= 8 ? view.getUint32(4, true) : 0;
      fc.pre(code !== 26 && code !== 38);
      answered.length = 0;
      kernel.rawBytes(bytes);
      assert.ok(answered.length <= 1);
    }),
    runs(500),
  );
});

Deno.test("a truncated request never sees the bytes of the one before it", () => {
  const rows: [opcode: number, fixed: number][] = [
    [3, 16],
    [4, 88],
    [8, 16],
    [9, 8],
    [12, 8],
    [13, 8],
    [14, 8],
    [15, 40],
    [16, 40],
    [18, 24],
    [20, 16],
    [21, 8],
    [22, 8],
    [23, 8],
    [25, 24],
    [28, 40],
    [30, 16],
    [35, 16],
    [43, 32],
    [44, 40],
    [45, 16],
    [46, 24],
    [47, 56],
    [51, 16],
    [53, 56],
  ];
  const { kernel, answered, filesystem } = fuzzed(false);
  for (const [code, fixed] of rows) {
    for (let length = 0; length < fixed; length++) {
      // Fill the buffer with a name that a decoder that reads too far would find.
      kernel.rawBytes(
        request({ opcode: 999, inode: 1, body: new Uint8Array(400).fill(65), cut: 0, lie: 0 }),
      );
      answered.length = 0;
      const body = new Uint8Array(length);
      kernel.rawBytes(request({ opcode: code, inode: 1, body, cut: 0, lie: 0 }));
      assert.deepEqual(answered, [{ unique: 4242n, error: -22, length: 16 }], `opcode ${code}`);
    }
  }
  assert.deepEqual([...filesystem.nodes.keys()], [1]);
});

Deno.test("a size that reaches behind the request is refused", () => {
  const { kernel, answered } = fuzzed(false);
  const body = new Uint8Array(48);
  new DataView(body.buffer).setUint32(16, 9, true);
  kernel.rawBytes(request({ opcode: 16, inode: 1, body, cut: 0, lie: 0 }));
  assert.equal(answered.at(-1)!.error, -22);
  const xattr = new Uint8Array(16);
  new DataView(xattr.buffer).setUint32(0, 7, true);
  xattr.set([97, 0], 8);
  kernel.rawBytes(request({ opcode: 21, inode: 1, body: xattr, cut: 0, lie: 0 }));
  assert.equal(answered.at(-1)!.error, -22);
  const forget = new Uint8Array(24);
  new DataView(forget.buffer).setUint32(0, 2, true);
  answered.length = 0;
  kernel.rawBytes(request({ opcode: 42, inode: 0, body: forget, cut: 0, lie: 0 }));
  assert.deepEqual(answered, []);
});
