/** All that a daemon needs to know, as plain data: what the parent sends over the pipe. Holds secrets. */
import { ExitCode, UserError } from "../domain/errors.ts";
import { StoreError } from "../object_store/object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Credentials } from "./credentials.ts";
import type { Unlocking } from "./key_source.ts";
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
  /** Opens an encrypted file system; travels as bytes, and is wiped once it was used. */
  unlocking: Unlocking | undefined;
  /** Takes the lease over from another mount that may still be running. */
  takeOver: boolean;
  /** Only follows what another mount ships; takes no lease. */
  readOnly?: boolean;
  foreground: boolean;
}

/**
 * The store and cache that were chosen. A bucket that is given by its id (as the 2018 project did) is
 * looked up by name. Throws UserError where there is none, or where it cannot be looked up.
 */
export async function requirePlaces(
  settings: ResolvedSettings,
): Promise<{ store: string; cache: string }> {
  const { cache } = settings.values;
  const store = settings.values.store ?? await storeOfBucketId(settings);
  if (store === undefined || cache === undefined) {
    throw new UserError("no store was given", {
      hint:
        "--store URL, ZERO_STORE, or 'store:' in the configuration; a folder will do: file:///mnt/usb/zero",
      exitCode: ExitCode.usage,
    });
  }
  return { store, cache };
}

async function storeOfBucketId(settings: ResolvedSettings): Promise<string | undefined> {
  const { bucketId, credentials } = settings;
  if (bucketId === undefined) return undefined;
  if (credentials === undefined) {
    throw new UserError(`there are no credentials to look up bucket ${bucketId} with`, {
      hint:
        "accountId and applicationKey in the configuration, or B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY",
      exitCode: ExitCode.usage,
    });
  }
  const { resolveB2Bucket } = await import("../object_store/b2_account.ts");
  try {
    const { bucketName, region } = await resolveB2Bucket(bucketId, {
      clock: systemClock,
      credentials: { keyId: credentials.keyId, applicationKey: credentials.key },
    });
    return `b2://${bucketName}?region=${region}`;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`bucket ${bucketId} cannot be looked up: ${error.message}`, {
      hint:
        "name the bucket instead, 'store: b2://BUCKET?region=REGION'; then a mount can also begin offline",
      exitCode: ExitCode.store,
      cause: error,
    });
  }
}
