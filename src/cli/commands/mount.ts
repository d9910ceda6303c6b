/** `zero mount`: checks what can be checked here, then starts the daemon and waits until it serves. */
import { ExitCode, UserError } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";
import { keyFrom, type KeyOptions } from "../key_options.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";
import type { ResolvedSettings } from "../../daemon/resolve_settings.ts";

export async function mountCommand(
  context: CommandContext,
  path: string | undefined,
  options: PlaceOptions & KeyOptions & {
    foreground?: boolean;
    takeOver?: boolean;
    readOnly?: boolean;
  },
): Promise<number> {
  const [{ requirePlaces }, { prepareMountpoint, resolveMountpoint }] = await Promise.all([
    import("../../daemon/mount_request.ts"),
    import("../../daemon/mountpoint.ts"),
  ]);
  const settings = await settingsFrom(options, path);
  const chosen = settings.values.mountpoint;
  if (chosen === undefined) {
    throw new UserError("no mount point was given", {
      hint: "zero mount MOUNTPOINT, or 'mountpoint:' in the configuration",
      exitCode: ExitCode.usage,
    });
  }
  const { loadPolicyFile } = await import("../../daemon/effective_policy.ts");
  // Here as well as in the daemon, so that a wrong one touches nothing.
  loadPolicyFile(settings.values.policy);
  if (options.readOnly && options.takeOver) {
    throw new UserError("--read-only takes nothing over", {
      hint: "leave one of them out",
      exitCode: ExitCode.usage,
    });
  }
  const places = await requirePlaces(settings);
  const { store } = places;
  // The mount that is followed may be on this machine, with the cache that would be chosen for it.
  const beside = options.readOnly && settings.origins.cache === "default";
  const cache = beside ? `${places.cache}-read-only` : places.cache;
  const mountpoint = resolveMountpoint(chosen);
  prepareMountpoint(mountpoint);
  const key = await keyFrom(settings, options);
  const { credentials } = settings;
  const isNeeded = key.given ||
    await isKeyNeeded({ cache, store, credentials, readOnly: options.readOnly === true });
  const request = {
    mountpoint,
    cache,
    store,
    values: settings.values,
    origins: settings.origins,
    credentials,
    // One that is not needed is refused by name; one that is missing, too.
    unlocking: isNeeded ? await key.take() : undefined,
    takeOver: options.takeOver === true,
    readOnly: options.readOnly === true,
    foreground: options.foreground === true,
  };
  if (request.foreground) {
    const { runInForeground } = await import("../../daemon/session.ts");
    return await runInForeground(request, context.print);
  }
  const { startInBackground } = await import("../../daemon/background.ts");
  const { pid, notes } = await startInBackground(request);
  for (const note of notes) console.error(`zero: ${note}`);
  context.print(`mounted ${store} at ${mountpoint} (process ${pid})`);
  return ExitCode.ok;
}

async function isKeyNeeded(
  options: {
    cache: string;
    store: string;
    credentials: ResolvedSettings["credentials"];
    readOnly: boolean;
  },
): Promise<boolean> {
  const [{ needsKey }, { holdsFilesystem }] = await Promise.all([
    import("../../daemon/key_file.ts"),
    import("../../daemon/cache_directory.ts"),
  ]);
  const { cache, readOnly } = options;
  if (!readOnly || holdsFilesystem(cache)) return needsKey(cache);
  // A cache that is to be made says nothing yet. (One that writes is not made for what is there already.)
  const { isBucketEncrypted } = await import("../../daemon/bucket_encrypted.ts");
  return await isBucketEncrypted(options);
}
