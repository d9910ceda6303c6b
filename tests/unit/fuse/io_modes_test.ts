/** The simulated kernel holds a server to the table of open modes, cell by cell. */
import assert from "node:assert/strict";
import { IoModes, KernelRefusal } from "../../harness/io_modes.ts";
import * as libc from "../../../src/runtime/libc.ts";

const CACHED = 0;
const KEEP = 2;
const DIRECT = 1;
const PASS = 0x80;

/** A kernel that knows backing ids 1 and 2. */
function kernel(): IoModes & Disposable {
  const io = new IoModes();
  io.passthrough = true;
  for (const id of [1, 2]) {
    const fd = libc.open("/dev/null", libc.O.RDWR);
    io.register(id, fd);
    libc.close(fd);
  }
  return Object.assign(io, { [Symbol.dispose]: () => io.disconnect() });
}

let handles = 0;
const open = (io: IoModes, flags: number, backingId = (flags & PASS) !== 0 ? 1 : 0) => {
  const handle = ++handles;
  io.open(5, { handle, flags, backingId }, libc.O.RDWR);
  return handle;
};

const OPENS = {
  cached: CACHED,
  keep: KEEP,
  direct: DIRECT,
  pass: PASS,
  "pass|direct": PASS | DIRECT,
};
/** What fails beside what is open already. */
const REFUSED: Record<keyof typeof OPENS, (keyof typeof OPENS)[]> = {
  cached: ["pass", "pass|direct"],
  keep: ["pass", "pass|direct"],
  direct: [],
  pass: ["cached", "keep", "direct"],
  "pass|direct": ["cached", "keep", "direct"],
};

for (const [first, refused] of Object.entries(REFUSED)) {
  Deno.test(`beside an open that is ${first}, the kernel takes what goes with it, and no other`, () => {
    for (const [second, flags] of Object.entries(OPENS)) {
      using io = kernel();
      open(io, OPENS[first as keyof typeof OPENS]);
      const attempt = () => open(io, flags);
      if (refused.includes(second as keyof typeof OPENS)) assert.throws(attempt, KernelRefusal);
      else attempt();
    }
  });
}

Deno.test("a direct handle that was mapped counts as cached until it is released", () => {
  using io = kernel();
  const handle = open(io, DIRECT);
  io.map(5, handle);
  assert.throws(() => open(io, PASS), KernelRefusal);
  io.release(5, handle);
  open(io, PASS);
});

Deno.test("an inode is in passthrough under one id, from the first open to the last release", () => {
  using io = kernel();
  const first = open(io, PASS, 1);
  assert.throws(() => open(io, PASS, 2), KernelRefusal);
  const second = open(io, PASS, 1);
  io.release(5, first);
  assert.throws(() => open(io, PASS, 2), KernelRefusal);
  io.release(5, second);
  open(io, PASS, 2);
});

Deno.test("passthrough takes a registered id, no other flags, and an agreement", () => {
  using io = kernel();
  for (const flags of [PASS | KEEP, PASS | 4, PASS | 16]) {
    assert.throws(() => open(io, flags), KernelRefusal);
  }
  assert.throws(() => open(io, PASS, 0), KernelRefusal);
  assert.throws(() => open(io, PASS, 3), KernelRefusal);
  open(io, PASS | DIRECT | 32 | 64);
  io.passthrough = false;
  assert.throws(() => open(io, PASS), KernelRefusal);
});

Deno.test("what was cached before a passthrough period must not be kept", () => {
  using io = kernel();
  io.release(5, open(io, KEEP));
  io.release(5, open(io, PASS));
  assert.throws(() => open(io, KEEP), /KEEP_CACHE/);
  io.release(5, open(io, CACHED));
  open(io, KEEP);
});
