/** `zero init`: creates a file system, where cache and bucket prefix are both empty. */
import { ExitCode } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";

export async function initCommand(
  context: CommandContext,
  options: PlaceOptions & { json?: boolean },
): Promise<number> {
  const [{ requirePlaces }, { initFilesystem }] = await Promise.all([
    import("../../daemon/mount_request.ts"),
    import("../../daemon/init.ts"),
  ]);
  const settings = await settingsFrom(options);
  const { store, cache } = await requirePlaces(settings);
  const made = await initFilesystem({ store, cache, credentials: settings.credentials });
  context.print(
    options.json
      ? JSON.stringify(made)
      : `created file system ${made.fileSystem} in ${made.store}, cache ${made.cache}`,
  );
  return ExitCode.ok;
}
