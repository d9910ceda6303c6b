import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import type { FilesystemReport } from "../../../src/filesystem/protocol.ts";
import { byteClasses } from "../../../src/daemon/status.ts";

const amount = fc.integer({ min: 0, max: 2 ** 40 });

Deno.test("the classes of bytes add up to the total, whatever is reported", () => {
  fc.assert(
    fc.property(
      fc.record({
        used: amount,
        reserved: amount,
        local: amount,
        allocated: amount,
        pinned: amount,
        open: amount,
      }),
      (sizes) => {
        const { used, reserved, local, allocated } = sizes;
        const report = {
          pinnedBytes: sizes.pinned,
          openBytes: sizes.open,
          space: { used, reserved, local, allocated },
        } as FilesystemReport;
        const { total, ...classes } = byteClasses(report);
        for (const bytes of Object.values(classes)) assert.ok(bytes >= 0);
        assert.equal(Object.values(classes).reduce((a, b) => a + b, 0), total);
      },
    ),
  );
});

Deno.test("each byte is in the first class that fits", () => {
  const report = {
    pinnedBytes: 10,
    openBytes: 20,
    space: { used: 107, reserved: 7, local: 30, allocated: 250 },
  } as FilesystemReport;
  assert.deepEqual(byteClasses(report), {
    pinned: 10,
    local: 0,
    dirty: 30,
    open: 20,
    reserved: 7,
    clean: 40,
    evicted: 150,
    total: 257,
  });
});
