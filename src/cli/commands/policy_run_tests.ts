/** `zero policy test FILE…`: runs the tests in the file; TAP on standard output. */
import { ExitCode } from "../../domain/errors.ts";
import { renderProblem, testPolicyFile } from "../../daemon/policy_files.ts";
import type { CommandContext } from "../context.ts";

export function policyTestCommand(
  context: CommandContext,
  files: string[],
  options: { json?: boolean },
): number {
  const reports = files.map((file) => testPolicyFile(file, { now: Date.now() }));
  if (options.json) {
    const plain = reports.map(({ tap: _tap, ...report }) => report);
    context.print(JSON.stringify(plain, null, 2));
  } else {
    for (const { file, problems, tap } of reports) {
      // Comments, so that several files are still TAP for whoever reads only one.
      if (reports.length > 1) context.print(`# ${file}`);
      if (tap === undefined) {
        for (const problem of problems) context.print(renderProblem(problem));
      }
      for (const line of tap ?? []) context.print(line);
    }
  }
  if (reports.some((report) => !report.valid)) return ExitCode.usage;
  const passed = reports.every((report) => report.results!.every((result) => result.passed));
  return passed ? ExitCode.ok : ExitCode.failure;
}
