import assert from "node:assert/strict";
import { Errno } from "../../../src/domain/errno.ts";
import { FsError, InvariantError } from "../../../src/domain/errors.ts";
import { failure, rig } from "./recording_filesystem.ts";

Deno.test("an FsError becomes the caller's errno and is no defect", () => {
  const { kernel, answers, defects } = rig();
  answers.unlink = failure("ENOENT");
  answers.mkdir = failure("EDQUOT");
  assert.equal(kernel.unlink(1, "a").errno, Errno.ENOENT);
  assert.equal(kernel.mkdir(1, { name: "a" }).errno, Errno.EDQUOT);
  assert.deepEqual(defects, []);
});

Deno.test("anything else that is thrown becomes EIO and is reported with the request's name", () => {
  const { kernel, answers, defects } = rig();
  answers.rmdir = new InvariantError("a broken invariant");
  assert.equal(kernel.rmdir(1, "a").errno, Errno.EIO);
  answers.rmdir = new FsError(0);
  assert.equal(kernel.rmdir(1, "a").errno, Errno.EIO);
  answers.rmdir = new FsError(4096);
  assert.equal(kernel.rmdir(1, "a").errno, Errno.EIO);
  assert.deepEqual(defects.map((defect) => defect.opcode), ["RMDIR", "RMDIR", "RMDIR"]);
  answers.rmdir = undefined;
  assert.equal(kernel.rmdir(1, "a").errno, 0);
});

Deno.test("a failed reply shows nothing of what was put into it", () => {
  const { kernel, answers } = rig();
  answers.read = (_request: unknown, into: Uint8Array) => {
    into.fill(0xff);
    throw failure("EIO");
  };
  assert.equal(kernel.read(5, { handle: 1, offset: 0, size: 100 }).errno, Errno.EIO);
});

Deno.test("requests that nobody implements are answered ENOSYS, ioctl ENOTTY", () => {
  const { kernel, calls, defects } = rig({ without: ["copyFileRange", "syncfs"] });
  const body = new Uint8Array(64);
  const range = { handle: 1, offset: 0, targetInode: 6, targetHandle: 2, targetOffset: 0 };
  for (const opcode of [31, 32, 33, 34, 37, 40, 48, 49, 50, 52, 54, 4096]) {
    assert.equal(kernel.raw(opcode, 1, body).errno, Errno.ENOSYS, `opcode ${opcode}`);
  }
  assert.equal(kernel.copyFileRange(5, { ...range, length: 1 }).errno, Errno.ENOSYS);
  assert.equal(kernel.copyFileRange(5, { ...range, length: 1, wide: true }).errno, Errno.ENOSYS);
  assert.equal(kernel.raw(39, 5, body).errno, Errno.ENOTTY);
  assert.deepEqual([calls, defects], [[], []]);
});

Deno.test("OPENDIR says ENOSYS once so that the kernel stops asking; RELEASEDIR is fine", () => {
  const { kernel, calls } = rig();
  assert.equal(kernel.opendir(1).errno, Errno.ENOSYS);
  assert.equal(kernel.releasedir(1).errno, 0);
  assert.deepEqual(calls, []);
});

Deno.test("rename flags that mean nothing together are refused", () => {
  const { kernel, calls } = rig();
  for (const flags of [4, 3, 8, 0x8000_0000]) {
    const answer = kernel.rename(1, { name: "a", newParent: 1, newName: "b", flags });
    assert.equal(answer.errno, Errno.EINVAL, `flags ${flags}`);
  }
  assert.deepEqual(calls, []);
  for (const flags of [0, 1, 2]) {
    assert.equal(kernel.rename(1, { name: "a", newParent: 1, newName: "b", flags }).errno, 0);
  }
});

Deno.test("unmounting ends the session once", () => {
  const { kernel, session, calls } = rig();
  assert.equal(session.serve(10), "drained");
  assert.equal(kernel.end(Errno.ENODEV), "unmounted");
  assert.equal(session.serve(10), "unmounted");
  assert.deepEqual(calls, [{ method: "destroy", request: {} }]);
});

Deno.test("an abort is told from an unmount", () => {
  const { kernel, session } = rig();
  assert.equal(kernel.end(Errno.ECONNABORTED), "aborted");
  assert.equal(session.serve(1), "aborted");
});

Deno.test("DESTROY is answered and ends the session", () => {
  const { kernel, session, calls } = rig();
  assert.equal(kernel.destroy().errno, 0);
  assert.equal(session.serve(1), "unmounted");
  assert.deepEqual(calls.map((call) => call.method), ["destroy"]);
});

Deno.test("serve stops at its limit and says that more may wait", () => {
  const { kernel, session, calls } = rig();
  const first = { serve: (_limit: number) => "drained" };
  kernel.attach(first);
  kernel.getattr(1);
  kernel.getattr(2);
  kernel.getattr(3);
  assert.equal(session.serve(2), "more");
  assert.equal(calls.length, 2);
  assert.equal(session.serve(2), "drained");
  assert.equal(calls.length, 3);
});

Deno.test("attributes are invalidated by a notification of its own", () => {
  const { kernel, session, answers } = rig();
  session.invalidateAttributes(2 ** 52 + 1);
  assert.deepEqual(kernel.invalidated, [2 ** 52 + 1]);
  answers.read = (_request: unknown, into: Uint8Array) => {
    into.set([1, 2, 3]);
    session.invalidateAttributes(5);
    return 3;
  };
  const answer = kernel.read(5, { handle: 1, offset: 0, size: 3 });
  assert.deepEqual(answer.value, new Uint8Array([1, 2, 3]));
  assert.deepEqual(kernel.invalidated, [2 ** 52 + 1, 5]);
});

Deno.test("backing files are registered through the device", () => {
  const { kernel, session } = rig();
  const id = session.openBacking(17);
  assert.deepEqual([...kernel.backing], [[id, 17]]);
  assert.equal(session.closeBacking(id), 0);
  assert.equal(session.closeBacking(id), -Errno.ENOENT);
});
