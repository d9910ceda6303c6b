/**
 * Policy files as commands need them: read from the disk, judged by src/policy, reported as plain
 * data. Owns the reading; decides nothing about policies.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { loadPolicy } from "../policy/load.ts";
import { renderTap, runPolicyTests, type TestReport } from "../policy/policy_tests.ts";
import { type Problem, renderProblem } from "../policy/problems.ts";

export interface LintReport {
  file: string;
  /** No error; warnings may be there. */
  valid: boolean;
  problems: Problem[];
}

export interface PolicyTestReport extends LintReport, Partial<TestReport> {
  /** TAP; undefined where the policy is not valid. */
  tap?: string[];
}

/** Reads a policy file. Throws UserError where it cannot be read. */
export function readPolicyText(file: string): string {
  try {
    const bytes = Deno.readFileSync(file);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof TypeError
      ? "it is not text in UTF-8"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new UserError(`policy '${file}' cannot be read: ${why}`, {
      hint: "name a YAML file; see the policies folder for examples",
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}

/** Every problem in a policy file. */
export function lintPolicyFile(file: string, { now }: { now: number }): LintReport {
  const { policy, problems } = loadPolicy(readPolicyText(file), { file, now });
  return { file, valid: policy !== undefined, problems };
}

/** Runs the tests of a policy file. */
export function testPolicyFile(file: string, { now }: { now: number }): PolicyTestReport {
  const { policy, problems } = loadPolicy(readPolicyText(file), { file, now });
  if (policy === undefined) return { file, valid: false, problems };
  const report = runPolicyTests(policy, { now });
  return { file, valid: true, problems, ...report, tap: renderTap(report) };
}

export { type Problem, renderProblem };
