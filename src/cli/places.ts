/** From the options of a command line to settings. */
import { processEnvironment } from "../daemon/user_directories.ts";
import type { ResolvedSettings } from "../daemon/resolve_settings.ts";
import { requireText } from "./raw_arguments.ts";

export interface PlaceOptions {
  config?: string;
  store?: string;
  cache?: string;
  diskTarget?: string;
  policy?: string;
  passphraseFile?: string;
  passphraseCommand?: string;
}

/** Finds every setting, the mount point from the command line included. */
export async function settingsFrom(
  options: PlaceOptions,
  mountpoint?: string,
): Promise<ResolvedSettings> {
  // The YAML parser and the schema are loaded by the commands that need them only.
  const { resolveSettings } = await import("../daemon/resolve_settings.ts");
  return resolveSettings({
    commandLine: {
      store: options.store,
      cache: options.cache === undefined ? undefined : requireText(options.cache),
      "disk.target": options.diskTarget,
      policy: options.policy,
      "passphrase.file": options.passphraseFile === undefined
        ? undefined
        : requireText(options.passphraseFile),
      "passphrase.command": options.passphraseCommand,
      mountpoint: mountpoint === undefined ? undefined : requireText(mountpoint),
    },
    configurationPath: options.config,
    environment: processEnvironment,
    workingDirectory: Deno.cwd(),
  });
}
