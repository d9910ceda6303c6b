import assert from "node:assert/strict";
import { nearest } from "../../../src/domain/nearest.ts";
import { renderEntry, renderUnsafe, residency } from "../../../src/cli/render.ts";
import type { FileReport } from "../../../src/daemon/control_protocol.ts";

const file: FileReport = {
  path: "/a",
  type: "file",
  size: 8192,
  allocatedBytes: 8192,
  residentBytes: 8192,
  localBytes: 0,
  dirty: false,
  pinned: false,
  openHandles: 0,
  lastUsedMs: undefined,
};

Deno.test("the residency of a file is one word", () => {
  assert.equal(residency(file), "local");
  assert.equal(residency({ ...file, residentBytes: 0 }), "evicted");
  assert.equal(residency({ ...file, residentBytes: 4096 }), "50% local");
  assert.equal(residency({ ...file, dirty: true, pinned: true }), "dirty+pinned");
  assert.equal(residency({ ...file, size: 0, allocatedBytes: 0, residentBytes: 0 }), "local");
  assert.equal(residency({ ...file, type: "directory" }), "");
});

Deno.test("an entry shows what is here beside the size", () => {
  assert.match(renderEntry({ ...file, residentBytes: 0 }), /^- evicted +0 B +8 KiB {2}\/a$/);
});

Deno.test("what is not safe is counted, with an estimate where there is one", () => {
  assert.equal(renderUnsafe({ files: 0, bytes: 0, etaMs: 0 }), "everything is in the bucket");
  assert.equal(
    renderUnsafe({ files: 2, bytes: 4096, etaMs: 5000 }),
    "2 files (4 KiB) not yet in the bucket, about 5s",
  );
});

Deno.test("the nearest word is offered only where it is near", () => {
  assert.equal(nearest("mout", ["mount", "status"]), "mount");
  assert.equal(nearest("sttaus", ["mount", "status"]), "status");
  assert.equal(nearest("xyzzy", ["mount", "status"]), undefined);
});
