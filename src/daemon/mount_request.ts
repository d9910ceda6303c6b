/** All that a daemon needs to know, as plain data: what the parent sends over the pipe. Holds secrets. */
import { ExitCode, UserError } from "../domain/errors.ts";
import type { Credentials } from "./credentials.ts";
import type { ResolvedSettings } from "./resolve_settings.ts";
import type { SettingValues } from "./settings.ts";

export interface MountRequest {
  /** Absolute; links above it resolved. */
  mountpoint: string;
  cache: string;
  store: string;
  values: SettingValues;
  origins: ResolvedSettings["origins"];
  credentials: Credentials | undefined;
  /** Takes the lease over from another mount that may still be running. */
  takeOver: boolean;
  foreground: boolean;
}

/** The store and cache that were chosen. Throws UserError where there is none. */
export function requirePlaces(settings: ResolvedSettings): { store: string; cache: string } {
  const { store, cache } = settings.values;
  if (store === undefined || cache === undefined) {
    throw new UserError("no store was given", {
      hint:
        "--store URL, ZERO_STORE, or 'store:' in the configuration; a folder will do: file:///mnt/usb/zero",
      exitCode: ExitCode.usage,
    });
  }
  return { store, cache };
}
