/** `zero init`: creates a file system, where cache and bucket prefix are both empty. */
import { ExitCode } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";
import { keyFrom } from "../key_options.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";

export async function initCommand(
  context: CommandContext,
  options: PlaceOptions & { encrypt?: boolean; json?: boolean },
): Promise<number> {
  const [{ requirePlaces }, { initFilesystem }] = await Promise.all([
    import("../../daemon/mount_request.ts"),
    import("../../daemon/init.ts"),
  ]);
  const settings = await settingsFrom(options);
  const { store, cache } = await requirePlaces(settings);
  const { credentials } = settings;
  const key = await keyFrom(settings, options);
  const encrypt = options.encrypt === true;
  const made = await initFilesystem({ store, cache, credentials, encrypt, key });
  context.print(
    options.json
      ? JSON.stringify(made)
      : `created ${
        made.encrypted ? "encrypted " : ""
      }file system ${made.fileSystem} in ${made.store}, cache ${made.cache}`,
  );
  if (made.encrypted && !options.json) {
    context.print("without its passphrase nothing of it can be read, by anybody;");
    context.print("`zero key export` prints a recovery key to keep in a safe place");
  }
  return ExitCode.ok;
}
