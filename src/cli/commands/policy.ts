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

  const preview = (usage: string, description: string): Command =>
    add(usage, description)
      .option("--policy <file>", "as if this policy were in force")
      .option("--at <time>", "as if it were then: +30d, or a date")
      .option("--limit <number>", "show so many files")
      .option("--json", "print as JSON");

  preview(
    "check [path]",
    "what would happen now: what leaves, what stays, and why; changes nothing",
  )
    .option("--cache <dir>", "of a cache that is not mounted")
    .option("--path <glob>", "show only these files, named from the root of the mount")
    .addHelpText(
      "after",
      "\nExit codes: 0 nothing to do, 10 a plan exists, 20 the mark cannot be reached, 2 not valid",
    )
    .action(async (path: string | undefined, options) => {
      const { policyCheckCommand } = await import("./policy_preview.ts");
      finish(await policyCheckCommand(context, path, options));
    });

  preview(
    "explain <path...>",
    "every rule tried on a file, the one that decides, and what happens when",
  )
    .action(async (paths: string[], options) => {
      const { policyExplainCommand } = await import("./policy_preview.ts");
      finish(await policyExplainCommand(context, paths, options));
    });

  add("replay [file...]", "what policies would have done with the accesses that were recorded")
    .option("--trace <file>", "a record that was copied, instead of that of the mount")
    .option("--mount <dir>", "of this mount, where there are several")
    .option("--cache <dir>", "of a cache that is not mounted")
    .option("--target <size>", "as if the disk were so large, such as 200GiB")
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      "\nWithout a file: the policy in force. With --trace alone no names are known, so rules that\n" +
        "ask for a path match nothing; add --mount or --cache to take names from there.",
    )
    .action(async (files: string[], options) => {
      const { policyReplayCommand } = await import("./policy_replay.ts");
      finish(await policyReplayCommand(context, files, options));
    });

  add("trace [mount]", "the record of accesses: what it holds, and a copy without names")
    .option("--cache <dir>", "of a cache that is not mounted")
    .option("--export <file>", "write a copy: inodes, sizes and times, no names")
    .option("--json", "print as JSON")
    .action(async (mount: string | undefined, options) => {
      const { policyTraceCommand } = await import("./policy_replay.ts");
      finish(await policyTraceCommand(context, mount, options));
    });

  add("diff <old> <new>", "the files whose verdict changes between two policies")
    .option("--mount <dir>", "of this mount, where there are several")
    .option("--cache <dir>", "of a cache that is not mounted")
    .option("--at <time>", "as if it were then: +30d, or a date")
    .option("--limit <number>", "show so many files")
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExit codes: 0 nothing changes, 10 something does, 2 not valid")
    .action(async (before: string, after: string, options) => {
      const { policyDiffCommand } = await import("./policy_preview.ts");
      finish(await policyDiffCommand(context, { old: before, new: after }, options));
    });
}
