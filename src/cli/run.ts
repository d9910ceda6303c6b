/**
 * Where a command line becomes a command and its exit code. Every error ends here: one line
 * `zero: message` and, where there is one, `hint: …` on standard error.
 */
import { type Command, CommanderError } from "commander";
import { ExitCode, UserError } from "../domain/errors.ts";
import { DAEMON_FLAG } from "../daemon/background.ts";
import { describeError } from "../daemon/control_server.ts";
import type { CommandContext } from "./context.ts";
import { buildProgram } from "./program.ts";
import { RawArguments } from "./raw_arguments.ts";

/** Runs the command that the process was started with. Returns its exit code; never throws. */
export async function run(): Promise<number> {
  if (Deno.args[0] === DAEMON_FLAG) {
    const { runDaemonChild } = await import("../daemon/session.ts");
    return await runDaemonChild();
  }
  const encoder = new TextEncoder();
  const write = (file: typeof Deno.stdout, text: string) => {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
  };
  let code: number = ExitCode.ok;
  try {
    const context: CommandContext = {
      raw: RawArguments.ofThisProcess(),
      print: (text) => write(Deno.stdout, `${text}\n`),
    };
    const configure = (command: Command) =>
      void command.exitOverride().configureOutput({
        writeOut: (text) => write(Deno.stdout, text),
        // Errors are printed below, in the one form that all commands share.
        writeErr: () => {},
      });
    const program = buildProgram(context, (result) => code = result, configure);
    if (Deno.args.length === 0) {
      write(Deno.stderr, program.helpInformation());
      return ExitCode.usage;
    }
    await program.parseAsync(Deno.args, { from: "user" });
    return code;
  } catch (thrown) {
    const error = translate(thrown);
    if (error === undefined) return ExitCode.ok;
    // Whoever read our output has stopped (as in `zero ls | head`): nothing to say, to nobody.
    if (error instanceof Deno.errors.BrokenPipe) return ExitCode.failure;
    const { message, hint, exitCode } = describeError(error);
    const lines = message.split("\n").map((line) => `zero: ${line}\n`).join("");
    write(Deno.stderr, lines + (hint === undefined ? "" : `hint: ${hint}\n`));
    if (!(error instanceof UserError) && Deno.env.get("ZERO_DEBUG") !== undefined) {
      write(Deno.stderr, `${error instanceof Error ? error.stack : error}\n`);
    }
    return exitCode;
  }
}

/** Commander's complaints in our words; undefined where help or the version was asked for. */
function translate(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.exitCode === 0) return undefined;
  if (error.code === "commander.help") {
    return new UserError("a command is missing", {
      hint: "see zero COMMAND --help",
      exitCode: ExitCode.usage,
    });
  }
  const [message, ...rest] = error.message.replace(/^error: /, "").split("\n");
  const suggestion = /Did you mean (?:one of )?(.*)\?/.exec(rest.join(" "))?.[1];
  return new UserError(message, {
    hint: suggestion === undefined ? "see zero --help" : `did you mean ${suggestion}?`,
    exitCode: ExitCode.usage,
  });
}
