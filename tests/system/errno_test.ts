/**
 * Errors and permissions, call by call from the manual pages, on a mount and on the local file system in
 * the same run: both must say what the page says, for root, for a member of the group and for strangers.
 */
import { PosixComparison } from "../harness/posix/comparison.ts";
import { ERRNO_CASES, SLOW_ERRNO_CASES } from "../harness/posix/errno_cases.ts";
import { PERMISSION_CASES } from "../harness/posix/permission_cases.ts";
import { TIME_CASES } from "../harness/posix/time_cases.ts";

const cases = Deno.env.get("ZERO_SOAK") === "1"
  ? { ...ERRNO_CASES, ...PERMISSION_CASES, ...TIME_CASES, ...SLOW_ERRNO_CASES }
  : { ...ERRNO_CASES, ...PERMISSION_CASES, ...TIME_CASES };

Deno.test("every call fails as its manual page says, as on the local file system", async (test) => {
  await using comparison = await PosixComparison.create();
  for (const [name, steps] of Object.entries(cases)) {
    await test.step(name, () => comparison.expectSame(steps));
  }
  await comparison.mount.unmount();
});
