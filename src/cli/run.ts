/** Where a command line becomes a command and its exit code. */
import { ExitCode } from "../domain/errors.ts";

/** Runs the command that the process was started with. Returns its exit code; never throws. */
export function run(): Promise<number> {
  console.error("zero: no command");
  return Promise.resolve(ExitCode.usage);
}
