/** `zero policy …`: what can be typed. Each action lives in a file of its own. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";

/** Adds the commands on policies to the program. */
export function addPolicyCommands(
  program: Command,
  context: CommandContext,
  options: { finish: (code: number) => void; configure: (command: Command) => void },
): void {
  const { finish, configure } = options;
  const policy = program.command("policy").description("check and test policy files");
  configure(policy);
  const add = (usage: string, description: string): Command => {
    const command = policy.command(usage).description(description);
    configure(command);
    return command;
  };

  add("lint <file...>", "every mistake and contradiction, with its place and a way out")
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExit codes: 0 valid (warnings may be there), 2 not valid")
    .action(async (files: string[], options) => {
      const { policyLintCommand } = await import("./policy_lint.ts");
      finish(policyLintCommand(context, files, options));
    });

  add("test <file...>", "run the tests that a policy file holds; prints TAP and coverage")
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExit codes: 0 all pass, 1 some fail, 2 not a valid policy")
    .action(async (files: string[], options) => {
      const { policyTestCommand } = await import("./policy_run_tests.ts");
      finish(policyTestCommand(context, files, options));
    });
}
