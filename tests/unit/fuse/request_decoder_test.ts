import assert from "node:assert/strict";
import { Errno } from "../../../src/domain/errno.ts";
import { rig } from "./recording_filesystem.ts";
import { rows } from "./request_rows.ts";

const name = (text: string) => new TextEncoder().encode(text);
const big = 2 ** 52 + 3;

for (const row of rows) {
  Deno.test(`the decoder understands ${row.what}`, () => {
    const { kernel, calls } = rig();
    kernel.caller = { uid: 1000, gid: 4_294_967_295, pid: 321 };
    row.ask(kernel);
    assert.equal(calls.length, 1);
    assert.equal(calls[0].method, row.method);
    const seen = calls[0].request as Record<string, unknown>;
    assert.equal(seen.uid, 1000);
    assert.equal(seen.gid, 4_294_967_295);
    assert.equal(seen.pid, 321);
    for (const [field, value] of Object.entries(row.request)) {
      assert.deepEqual(seen[field], value, field);
    }
  });
}

Deno.test("FORGET and BATCH_FORGET reach the file system and are not answered", () => {
  const { kernel, calls, defects } = rig();
  kernel.forget(big, 3);
  kernel.batchForget([[5, 1], [6, 2 ** 40]]);
  kernel.forget(7, 2n ** 64n - 1n);
  assert.deepEqual(calls.map((call) => call.request), [
    { inode: big, count: 3 },
    { inode: 5, count: 1 },
    { inode: 6, count: 2 ** 40 },
    { inode: 7, count: Number.MAX_SAFE_INTEGER },
  ]);
  assert.deepEqual(defects, []);
});

Deno.test("SETXATTR has the long layout once SETXATTR_EXT was agreed", () => {
  const { kernel, calls } = rig({ session: { acl: true } });
  kernel.setxattr(5, { name: "user.a", value: name("v"), flags: 2, xattrFlags: 1 });
  const { killSetgid, flags, value } = calls[0].request as Record<string, unknown>;
  assert.deepEqual({ killSetgid, flags, value }, { killSetgid: true, flags: 2, value: name("v") });
});

Deno.test("extensions behind a request are not taken for a part of it", () => {
  const { kernel, calls } = rig();
  kernel.extensions = new Uint8Array([8, 0, 0, 0, 0, 0, 0, 0]);
  kernel.create(1, { name: "c" });
  kernel.write(5, { handle: 3, offset: 0, data: name("abc") });
  assert.deepEqual((calls[0].request as { name: unknown }).name, name("c"));
  assert.deepEqual((calls[1].request as { data: unknown }).data, name("abc"));
});

Deno.test("names that no file can have are refused before the file system is asked", () => {
  const { kernel, calls } = rig();
  const refusals: [string, number][] = [
    ["", Errno.EINVAL],
    [".", Errno.EINVAL],
    ["..", Errno.EINVAL],
    ["a/b", Errno.EINVAL],
    ["x".repeat(256), Errno.ENAMETOOLONG],
  ];
  for (const [text, errno] of refusals) {
    // What `.` and `..` are asked for stands at FilesystemOperations.lookup.
    if (!text.startsWith(".")) assert.equal(kernel.lookup(1, text).errno, errno, text);
    assert.equal(kernel.mkdir(1, { name: text }).errno, errno, text);
    assert.equal(kernel.create(1, { name: text }).errno, errno, text);
    assert.equal(
      kernel.rename(1, { name: "a", newParent: 1, newName: text }).errno,
      errno,
      text,
    );
  }
  assert.equal(kernel.symlink(1, { name: "l", target: "" }).errno, Errno.ENOENT);
  assert.equal(kernel.symlink(1, { name: "l", target: "x".repeat(4096) }).errno, 36);
  assert.deepEqual(calls, []);
  kernel.lookup(1, "x".repeat(255));
  kernel.lookup(1, "...");
  kernel.lookup(1, ".a");
  assert.equal(calls.length, 3);
});

Deno.test("numbers above 2^53 are refused, never rounded", () => {
  const { kernel, calls } = rig();
  const huge = 2n ** 53n;
  const last = 2n ** 63n - 1n;
  const data = name("x");
  assert.equal(kernel.setattr(5, { size: huge }).errno, Errno.EFBIG);
  assert.equal(kernel.write(5, { handle: 1, offset: last, data }).errno, Errno.EFBIG);
  assert.equal(kernel.write(5, { handle: 1, offset: huge - 1n, data }).errno, Errno.EFBIG);
  assert.equal(kernel.fallocate(5, { handle: 1, offset: 0, length: last }).errno, Errno.EFBIG);
  assert.equal(kernel.lseek(5, { handle: 1, offset: last, whence: 3 }).errno, Errno.ENXIO);
  assert.equal(kernel.getattr(5, huge).errno, Errno.EINVAL);
  assert.equal(kernel.release(5, { handle: 2n ** 64n - 1n }).errno, Errno.EINVAL);
  assert.equal(kernel.readdir(1, { cookie: huge }).errno, Errno.EINVAL);
  assert.deepEqual(calls, []);
});

Deno.test("a read behind every possible file finds nothing, as read(2) promises", () => {
  const { kernel, calls } = rig();
  const answer = kernel.read(5, { handle: 1, offset: 2n ** 63n - 1n, size: 4096 });
  assert.equal(answer.value.length, 0);
  assert.deepEqual(calls, []);
});
