/**
 * What once went wrong, as the shortest steps that showed it: each is taken on a mount and on the local
 * file system. Afterwards everything is removed, and nothing may be left behind.
 */
import { PosixComparison } from "../harness/posix/comparison.ts";
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
