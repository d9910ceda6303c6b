/** `zero policy lint FILE…`: is it valid, and if not, where and why. */
import { ExitCode } from "../../domain/errors.ts";
import { lintPolicyFile, renderProblem } from "../../daemon/policy_files.ts";
import type { CommandContext } from "../context.ts";

export function policyLintCommand(
  context: CommandContext,
  files: string[],
  options: { json?: boolean },
): number {
  const reports = files.map((file) => lintPolicyFile(file, { now: Date.now() }));
  if (options.json) context.print(JSON.stringify(reports, null, 2));
  else {
    for (const { file, valid, problems } of reports) {
      for (const problem of problems) context.print(renderProblem(problem));
      if (valid) context.print(`${file}: valid`);
    }
  }
  return reports.every((report) => report.valid) ? ExitCode.ok : ExitCode.usage;
}
