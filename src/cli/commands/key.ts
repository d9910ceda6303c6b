/** `zero key export`, `zero key passphrase`: the key of an encrypted file system. */
import { ExitCode } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";
import { keyFrom, type KeyOptions, newKeyFrom } from "../key_options.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";

type Options = PlaceOptions & KeyOptions & { json?: boolean };

async function requestFrom(options: Options) {
  const { requirePlaces } = await import("../../daemon/mount_request.ts");
  const settings = await settingsFrom(options);
  const { store, cache } = await requirePlaces(settings);
  const key = await keyFrom(settings, options);
  return { store, cache, credentials: settings.credentials, key };
}

export async function keyExportCommand(
  context: CommandContext,
  options: Options,
): Promise<number> {
  const { exportKey } = await import("../../daemon/key_commands.ts");
  const exported = await exportKey(await requestFrom(options));
  if (options.json) context.print(JSON.stringify(exported));
  else {
    context.print(`# Recovery key of file system ${exported.fileSystem}`);
    context.print(`# in ${exported.store}.`);
    context.print("# Whoever has it can read everything, whatever the passphrase is or will be.");
    context.print("# Keep it where neither this machine's disk nor the bucket is.");
    context.print(exported.recoveryKey);
  }
  return ExitCode.ok;
}

export async function keyPassphraseCommand(
  context: CommandContext,
  options: Options & { newPassphraseFile?: string; newPassphraseCommand?: string },
): Promise<number> {
  const { replacePassphrase } = await import("../../daemon/key_commands.ts");
  const next = await newKeyFrom(options);
  const changed = await replacePassphrase({ ...await requestFrom(options), next });
  context.print(
    options.json
      ? JSON.stringify(changed)
      : `file system ${changed.fileSystem} in ${changed.store} has a new passphrase; ` +
        "the old one opens it no more, a recovery key still does",
  );
  return ExitCode.ok;
}
