/** `zero doctor`: what a mount needs, whether it is there, and what to do where it is not. */
import { ExitCode } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";

const MARK = { ok: "ok  ", warn: "warn", fail: "FAIL" } as const;

export async function doctorCommand(
  context: CommandContext,
  options: PlaceOptions & { json?: boolean },
): Promise<number> {
  const { examine } = await import("../../daemon/doctor.ts");
  const { values, credentials } = await settingsFrom(options);
  const found = await examine({ store: values.store, cache: values.cache, credentials });
  if (options.json) context.print(JSON.stringify(found, null, 2));
  else {
    for (const { what, state, detail, hint } of found) {
      context.print(`${MARK[state]}  ${what}: ${detail}`);
      if (hint !== undefined) context.print(`      hint: ${hint}`);
    }
  }
  if (found.every(({ state }) => state !== "fail")) return ExitCode.ok;
  return found.some(({ state, what }) => state === "fail" && !what.startsWith("store"))
    ? ExitCode.failure
    : ExitCode.store;
}
