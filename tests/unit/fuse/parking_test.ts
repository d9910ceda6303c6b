import assert from "node:assert/strict";
import { Errno } from "../../../src/domain/errno.ts";
import { InvariantError } from "../../../src/domain/errors.ts";
import {
  PARKED,
  type ReadRequest,
  type RequestHeader,
  type WriteRequest,
} from "../../../src/fuse/operations.ts";
import { failure, rig } from "./recording_filesystem.ts";

const data = new TextEncoder().encode("precious");

/** A rig whose reads park while `open` is false. */
function parkingRig() {
  const rigged = rig();
  const parked: RequestHeader[] = [];
  const gate = { open: false };
  rigged.answers.read = (request: ReadRequest, into: Uint8Array) => {
    if (!gate.open) {
      parked.push(request);
      return PARKED;
    }
    into.fill(request.offset);
    return into.length;
  };
  return { ...rigged, parked, gate };
}

Deno.test("a parked request is unanswered until it is resumed, and others go on meanwhile", () => {
  const { kernel, session, parked, gate } = parkingRig();
  const answer = kernel.read(5, { handle: 1, offset: 3, size: 4 });
  assert.equal(answer.pending, true);
  assert.equal(session.parked, 1);
  assert.equal(kernel.mkdir(1, { name: "d" }).pending, false);
  gate.open = true;
  session.resume(parked[0]);
  assert.deepEqual(answer.value, new Uint8Array(4).fill(3));
  assert.equal(kernel.reply(answer.unique), answer);
  assert.equal(session.parked, 0);
});

Deno.test("a resumed request may park again", () => {
  const { kernel, session, parked, gate } = parkingRig();
  const answer = kernel.read(5, { handle: 1, offset: 3, size: 4 });
  session.resume(parked[0]);
  session.resume(parked[0]);
  assert.deepEqual([answer.pending, session.parked, parked.length], [true, 1, 3]);
  gate.open = true;
  session.resume(parked[0]);
  assert.equal(answer.value.length, 4);
});

Deno.test("a parked request can be failed", () => {
  const { kernel, session, parked } = parkingRig();
  const answer = kernel.read(5, { handle: 1, offset: 0, size: 4 });
  session.fail(parked[0], Errno.EINTR);
  assert.equal(answer.errno, Errno.EINTR);
  assert.equal(session.parked, 0);
});

Deno.test("what fails when it is resumed has failed for good", () => {
  const { kernel, session, parked, answers } = parkingRig();
  const answer = kernel.read(5, { handle: 1, offset: 0, size: 4 });
  answers.read = failure("EIO");
  session.resume(parked[0]);
  assert.equal(answer.errno, Errno.EIO);
  assert.equal(session.parked, 0);
});

Deno.test("answering twice, or resuming what is not parked, breaks an invariant", () => {
  const { kernel, session, parked, gate } = parkingRig();
  kernel.read(5, { handle: 1, offset: 0, size: 4 });
  const stranger = { ...parked[0] };
  assert.throws(() => session.resume(stranger), InvariantError);
  assert.throws(() => session.fail(stranger, Errno.EIO), InvariantError);
  gate.open = true;
  session.resume(parked[0]);
  assert.throws(() => session.resume(parked[0]), InvariantError);
  assert.throws(() => session.fail(parked[0], Errno.EIO), InvariantError);
});

Deno.test("the bytes of a parked write stay as they were, though the buffer moves on", () => {
  const { kernel, session, answers } = rig();
  let parked: WriteRequest | undefined;
  let written: Uint8Array | undefined;
  answers.write = (request: WriteRequest) => {
    if (parked === undefined) {
      parked = request;
      return PARKED;
    }
    written = request.data.slice();
    return request.data.length;
  };
  const answer = kernel.write(5, { handle: 1, offset: 0, data });
  kernel.mkdir(1, { name: "x".repeat(200) });
  session.resume(parked!);
  assert.deepEqual(written, data);
  assert.equal(answer.value, data.length);
});

Deno.test("resuming inside another request waits until that one is answered", () => {
  const { kernel, session, parked, gate, answers } = parkingRig();
  const waiting = kernel.read(5, { handle: 1, offset: 9, size: 4 });
  gate.open = true;
  const read = answers.read as (request: ReadRequest, into: Uint8Array) => number;
  answers.read = (request: ReadRequest, into: Uint8Array) => {
    const count = read(request, into);
    if (request.offset === 1) {
      session.resume(parked[0]);
      assert.throws(() => session.resume(parked[0]), InvariantError);
      assert.equal(waiting.pending, true);
    }
    return count;
  };
  const outer = kernel.read(5, { handle: 1, offset: 1, size: 2 });
  assert.deepEqual(outer.value, new Uint8Array([1, 1]));
  assert.deepEqual(waiting.value, new Uint8Array([9, 9, 9, 9]));
});

Deno.test("failing inside another request answers at once and spoils nothing", () => {
  const { kernel, session, parked, answers } = parkingRig();
  const waiting = kernel.read(5, { handle: 1, offset: 9, size: 4 });
  answers.read = (_request: ReadRequest, into: Uint8Array) => {
    into.set([7, 8]);
    session.fail(parked[0], Errno.EINTR);
    return 2;
  };
  assert.deepEqual(kernel.read(5, { handle: 1, offset: 0, size: 2 }).value[1], 8);
  assert.equal(waiting.errno, Errno.EINTR);
});

Deno.test("what is failed while its turn to resume is coming is not run again", () => {
  const { kernel, session, parked, answers, calls } = parkingRig();
  const waiting = kernel.read(5, { handle: 1, offset: 9, size: 4 });
  answers.unlink = () => {
    session.resume(parked[0]);
    session.fail(parked[0], Errno.EINTR);
  };
  kernel.unlink(1, "a");
  assert.equal(waiting.errno, Errno.EINTR);
  assert.equal(calls.filter((call) => call.method === "read").length, 1);
});

Deno.test("INTERRUPT reaches the file system for parked requests only", () => {
  const { kernel, session, calls, parked, filesystem } = parkingRig();
  const answer = kernel.read(5, { handle: 1, offset: 0, size: 4 });
  kernel.interrupt(answer.unique + 100);
  kernel.interrupt(answer.unique);
  assert.deepEqual(calls.filter((call) => call.method === "interrupt"), [
    { method: "interrupt", request: { unique: answer.unique } },
  ]);
  assert.equal(answer.pending, true);
  filesystem.interrupt = () => session.fail(parked[0], Errno.EINTR);
  kernel.interrupt(answer.unique);
  assert.equal(answer.errno, Errno.EINTR);
  kernel.interrupt(answer.unique);
});

Deno.test("every kind of request can park, and is answered as if it never had", () => {
  const { kernel, session, answers } = rig();
  const parked: RequestHeader[] = [];
  const once = (answer: unknown) => (request: RequestHeader) => {
    if (parked.includes(request)) return answer;
    parked.push(request);
    return PARKED;
  };
  answers.getxattr = once(data);
  answers.fsync = once(undefined);
  answers.lseek = once(7);
  answers.readdir = once(undefined);
  const waiting = [
    kernel.getxattrSize(5, "user.a"),
    kernel.getxattr(5, { name: "user.a", room: 3 }),
    kernel.fsync(5, { handle: 1 }),
    kernel.lseek(5, { handle: 1, offset: 0, whence: 3 }),
    kernel.readdir(1),
  ];
  assert.equal(session.parked, 5);
  for (const request of [...parked].reverse()) session.resume(request);
  assert.deepEqual(waiting.map((answer) => answer.errno || answer.value), [8, 34, {}, 7, []]);
});

Deno.test("after the end, parked requests are let go without a word", () => {
  const { kernel, session, parked, calls } = parkingRig();
  kernel.read(5, { handle: 1, offset: 0, size: 4 });
  kernel.read(5, { handle: 1, offset: 0, size: 4 });
  kernel.end(Errno.ENODEV);
  const before = calls.length;
  session.resume(parked[0]);
  assert.equal(session.parked, 1);
  assert.equal(calls.length, before);
});
