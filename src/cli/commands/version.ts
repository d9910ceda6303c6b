/** `zero version`. */
import { ExitCode } from "../../domain/errors.ts";
import { VERSION } from "../../daemon/version.ts";
import type { CommandContext } from "../context.ts";

export function versionCommand(context: CommandContext, options: { json?: boolean }): number {
  const { deno, v8 } = Deno.version;
  context.print(
    options.json
      ? JSON.stringify({ zero: VERSION, deno, v8, target: Deno.build.target })
      : `zero ${VERSION} (Deno ${deno}, ${Deno.build.target})`,
  );
  return ExitCode.ok;
}
