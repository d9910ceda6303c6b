/**
 * What once went wrong, as the shortest steps that showed it: each is taken on a mount and on the local
 * file system. Afterwards everything is removed, and nothing may be left behind.
 */
import assert from "node:assert/strict";
import { PosixComparison } from "../harness/posix/comparison.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";
import type { Step } from "../harness/posix/generator.ts";

const CASES: Record<string, Step[]> = {
  "a file that is removed while its content is being trimmed goes all the same": [
    { op: "open", slot: 0, path: "a", flags: ["RDWR", "CREAT"], mode: 0o644 },
    { op: "write", slot: 0, seed: 1, size: 4312 },
    { op: "ftruncate", slot: 0, size: 0 },
  ],
  "fallocate moves the times even where the size stays": [
    { op: "open", slot: 0, path: "a", flags: ["RDWR", "CREAT"], mode: 0o644 },
    ...[1, 3, 17].map((mode) => ({ op: "fallocate", slot: 0, mode, at: 147456, size: 1 })),
  ],
  "setgid goes when somebody outside the group writes, whoever may execute": [
    { op: "mkdir", path: "d", mode: 0o777 },
    { op: "open", slot: 2, path: "d/b", flags: ["WRONLY", "CREAT"], mode: 0o2644 },
    { op: "chown", path: "d/b", uid: -1, gid: 63001 },
    { op: "chmod", path: "d/b", mode: 0o2644 },
    { op: "write", slot: 2, seed: 1, size: 1, as: 1 },
    { op: "chown", path: "d/b", uid: -1, gid: 0 },
    { op: "write", slot: 2, seed: 1, size: 1, as: 1 },
  ],
  "an access control list that is not there can be removed": [
    { op: "mkdir", path: "d", mode: 0o777 },
    { op: "removexattr", path: "d", name: "system.posix_acl_access", expect: null },
    { op: "removexattr", path: "d", name: "system.posix_acl_default", expect: null },
  ],
  "a default list decides instead of the umask, and its mask follows chmod": [
    { op: "mkdir", path: "d", mode: 0o777 },
    // u::rwx, u:61001:rwx, g::r-x, m::rwx, o::---
    {
      op: "setxattr",
      path: "d",
      name: "system.posix_acl_default",
      value:
        "0200000001000700ffffffff0200070049ee000004000500ffffffff10000700ffffffff20000000ffffffff",
      expect: null,
    },
    { op: "umask", mask: 0o077 },
    { op: "open", slot: 0, path: "d/f", flags: ["RDWR", "CREAT"], mode: 0o666 },
    { op: "mkdir", path: "d/s", mode: 0o777 },
    { op: "getxattr", path: "d/f", name: "system.posix_acl_access" },
    { op: "getxattr", path: "d/s", name: "system.posix_acl_default" },
    { op: "chmod", path: "d/f", mode: 0o640 },
    { op: "getxattr", path: "d/f", name: "system.posix_acl_access" },
    { op: "chmod", path: "d", mode: 0o755 },
    { op: "open", slot: 1, path: "d/f", flags: ["RDONLY"], as: 1, expect: "open" },
    { op: "open", slot: 1, path: "d/f", flags: ["RDWR"], as: 1, expect: "EACCES" },
    { op: "open", slot: 1, path: "d/f", flags: ["RDONLY"], as: 2, expect: "EACCES" },
  ],
  "an attribute that is given the value that it has moves no time": [
    { op: "mkdir", path: "d", mode: 0o777 },
    ...["user.one", "user.one", "trusted.one", "trusted.one"].map((name) => (
      { op: "setxattr", path: "d", name, value: "0102", expect: null }
    )),
    { op: "setxattr", path: "d", name: "user.one", value: "0102", flags: 1, expect: "EEXIST" },
    { op: "setxattr", path: "d", name: "user.one", value: "0103", flags: 2, expect: null },
    ...["default", "default", "access", "access"].map((kind) => ({
      op: "setxattr",
      path: "d",
      name: `system.posix_acl_${kind}`,
      value:
        "0200000001000700ffffffff0200070049ee000004000500ffffffff10000700ffffffff20000000ffffffff",
      expect: null,
    })),
    // u::rwx, g::r-x, o::r-x, which the mode can say
    ...[1, 2].map(() => ({
      op: "setxattr",
      path: "d",
      name: "system.posix_acl_access",
      value: "0200000001000700ffffffff04000500ffffffff20000500ffffffff",
      expect: null,
    })),
  ],
};

Deno.test("differences from the local file system that were found once", async (test) => {
  await using comparison = await PosixComparison.create();
  const { mount } = comparison;
  for (const [name, steps] of Object.entries(CASES)) {
    await test.step(name, async () => {
      await comparison.expectSame(steps);
      // What was removed goes in the background.
      await until(
        "nothing waits for the bucket",
        async () => (await mount.zero(["sync", mount.mountpoint])).code === 0,
      );
    });
  }
  await mount.unmount();
});

Deno.test({
  name: "setuid that a write took away is not shown to who asks for the mode alone",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using mount = await ScratchMount.create();
    // stat(1) asks statx for what its format names, and no more.
    const modeAfter = (change: string) =>
      mount.sh(
        `chmod 6755 f; stat -c %a f >/dev/null
         setpriv --reuid=1234 --regid=1234 --clear-groups sh -c '${change}'; stat -c %a f`,
      );
    await mount.sh("chmod 1777 .; echo x > f; chown 1234:1234 f");
    assert.equal(await modeAfter(": > f"), "755\n", "O_TRUNC");
    assert.equal(await modeAfter("echo y >> f"), "755\n", "a write, opened for writing only");
    assert.equal(await modeAfter("echo z 1<> f"), "755\n", "a write, opened for both");
    await mount.unmount();
  },
});
