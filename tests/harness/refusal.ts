/** What every refusal owes its reader: an exit code, one line with the reason, one with the way out. */
import assert from "node:assert/strict";
import type { ScratchMount } from "./scratch_mount.ts";
import { requireCode, run, type RunOptions, type RunResult } from "./zero_process.ts";

/** What is looked at: everything but what every start writes (who holds the lock, the log, SQLite's index). */
const SNAPSHOT =
  "find . -xdev \\( -name zero.log -o -name lock -o -name '*-shm' -o -name '*-wal' " +
  "-o -name ballast \\) -prune -o -printf '%p %y %m %s %l\\n' | sort; " +
  "find . -xdev -name zero.log -prune -o -name '*-shm' -prune -o -name '*-wal' -prune " +
  "-o -name ballast -prune -o -name lock -prune -o -type f -print0 | sort -z | xargs -0r sha256sum";

/** Names, types, sizes and bytes of all below a directory that is not a mount. */
export async function snapshot(directory: string): Promise<string> {
  const result = await run("sh", ["-c", `cd "$0" && ${SNAPSHOT}`, directory]);
  return requireCode(result, 0, `a snapshot of ${directory}`).stdout;
}

/** Runs `zero` and insists on a refusal in the form that all share. Returns what it wrote. */
export async function expectRefusal(
  mount: ScratchMount,
  args: string[],
  expected: RunOptions & { code: number; reason: RegExp; hint?: RegExp },
): Promise<RunResult> {
  const result = await mount.zeroOk(args, expected);
  const [first, ...rest] = result.stderr.split("\n");
  assert.match(first, /^zero: \S/);
  assert.match(first, expected.reason);
  assert.equal(rest.length, 2, `a reason and a hint are wanted:\n${result.stderr}`);
  assert.match(rest[0], /^hint: \S/);
  if (expected.hint !== undefined) assert.match(rest[0], expected.hint);
  assert.equal(result.stdout, "");
  return result;
}
