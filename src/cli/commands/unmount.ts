/** `zero unmount`: what is dirty goes up first; then the mount goes, and its daemon. */
import { ExitCode, UserError } from "../../domain/errors.ts";
import { printName } from "../../domain/name_text.ts";
import { parseDuration } from "../../domain/units.ts";
import { isServed } from "../../daemon/cache_directory.ts";
import type { UnmountResult } from "../../daemon/control_protocol.ts";
import { clearStaleMount } from "../../daemon/mountpoint.ts";
import { type CommandContext, targetOf, withProgress } from "../context.ts";
import { callDaemon } from "../control_client.ts";
import { requireText } from "../raw_arguments.ts";
import { renderUnsafe } from "../render.ts";

export async function unmountCommand(
  context: CommandContext,
  path: string,
  options: { flush: boolean; timeout?: string; json?: boolean },
): Promise<number> {
  const timeoutMs = options.timeout === undefined ? undefined : parseDuration(options.timeout);
  const { mount, names } = targetOf(context, path);
  const mountpoint = printName(mount.mountpoint);
  if (names.length > 0) {
    throw new UserError(`${path} is inside a mount, not a mount point`, {
      hint: `zero unmount '${mountpoint}'`,
      exitCode: ExitCode.usage,
    });
  }
  if (!isServed(mount.cache)) {
    const text = requireText(new TextDecoder().decode(mount.mountpoint));
    clearStaleMount(text);
    context.print(
      options.json
        ? JSON.stringify({ mountpoint: text, stale: true })
        : `removed the stale mount at ${text}; what was dirty is kept in ${mount.cache}`,
    );
    return ExitCode.ok;
  }
  const result = await withProgress(
    options,
    (progress) =>
      callDaemon<UnmountResult>(
        mount,
        { command: "unmount", flush: options.flush, timeoutMs },
        progress.follow("uploading"),
      ),
  );
  const safe = result.unsafe.files === 0;
  if (result.stopped !== undefined && !safe) console.error(`zero: ${result.stopped}`);
  if (options.json) context.print(JSON.stringify({ mountpoint, ...result }));
  else if (safe) context.print(`unmounted ${mountpoint}; ${renderUnsafe(result.unsafe)}`);
  else {
    context.print(
      `unmounted ${mountpoint}; ${
        renderUnsafe(result.unsafe)
      }: kept in ${mount.cache} for the next mount`,
    );
  }
  return safe ? ExitCode.ok : ExitCode.unsafe;
}
