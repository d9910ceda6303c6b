/** `zero fsck` of a cache that nobody serves: takes its lock, checks, repairs where asked, lets go. */
import { ExitCode, UserError } from "../domain/errors.ts";
import { isFollowing } from "../metadata/follow.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { finish } from "../metadata/finish.ts";
import { ChunkTable } from "../metadata/chunk_table.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { StoreError } from "../object_store/object_store.ts";
import { RetryingObjectStore } from "../object_store/retrying_object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { systemRandom } from "../runtime/random.ts";
import type { FsckReport } from "../tiering/fsck_report.ts";
import { CacheDirectory } from "./cache_directory.ts";
import { cacheLayout } from "./cache_layout.ts";
import type { DeepRequest } from "./care_requests.ts";
import type { Credentials } from "./credentials.ts";
import { runFsck } from "./fsck_run.ts";
import { checkAgain } from "./identity.ts";
import { KeyFile } from "./key_file.ts";
import type { KeySource } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import { openStore } from "./open_store.ts";
import { unlockCache } from "./unlock.ts";

/** The store that a cache belongs to, as its database says. Throws UserError where there is no cache. */
export function storeOfCache(cache: string): string {
  if (typeof libc.lstat(cacheLayout(cache).metadata) === "number") {
    throw new UserError(`${cache} holds no file system`, {
      hint: "--cache DIR names the cache, or PATH a place on a mount",
      exitCode: ExitCode.usage,
    });
  }
  const database = MetadataDatabase.open({ directory: cache, readOnly: true });
  try {
    return String(database.setting("store"));
  } finally {
    database.close({ clean: false });
  }
}

export interface OfflineFsck {
  cache: string;
  /** Undefined: the bucket is left out. */
  store: { url: string; credentials: Credentials | undefined } | undefined;
  repair: boolean;
  deep: DeepRequest | undefined;
  /** Opens an encrypted file system; a deep check asks for it. */
  key: KeySource;
  signal: AbortSignal;
  onProgress: (text: string) => void;
}

/** Throws UserError: in use, damaged, not this bucket, or the bucket cannot be asked. */
export async function fsckOffline(options: OfflineFsck): Promise<FsckReport> {
  const cache = CacheDirectory.open(options.cache);
  // A deep check marks what it finds damaged.
  const writes = options.repair || options.deep !== undefined;
  let database: MetadataDatabase | undefined;
  let store: ObjectStore | undefined;
  try {
    store = options.store === undefined ? undefined : await openRightStore(cache, options.store);
    finish(cache.path);
    const open = database = MetadataDatabase.open({ directory: cache.path, readOnly: !writes });
    if (isFollowing(open)) {
      throw new UserError(`${cache.path} is the cache of a mount that only follows another one`, {
        hint: "nothing in it is precious: where it seems wrong, remove it and mount anew",
        exitCode: ExitCode.refused,
      });
    }
    const report = await runFsck({
      ...options,
      cache: cache.path,
      database: open,
      secrets: options.deep && await unlockCache(new KeyFile(cache.layout.key), {
        key: options.key,
        store,
      }),
      mounted: false,
      store: store ?? { skipped: "it was left out" },
      markLost: ({ pack, chunks }) =>
        open.transaction(() => {
          for (const chunk of chunks) new ChunkTable(open).markLostIn(pack, chunk);
        }),
    });
    return report;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(error.message, {
      hint: "--no-bucket checks the cache alone",
      exitCode: ExitCode.store,
      cause: error,
    });
  } finally {
    database?.close({ clean: writes && database.wasClean });
    store?.close();
    cache.close();
  }
}

async function openRightStore(
  cache: CacheDirectory,
  { url, credentials }: { url: string; credentials: Credentials | undefined },
): Promise<ObjectStore> {
  const opened = openStore({ url, credentials, create: false });
  const known = MetadataDatabase.open({ directory: cache.path, readOnly: true });
  const identity = {
    fileSystem: String(known.setting("file_system_id")),
    chunkSize: Number(known.setting("chunk_size")),
    encrypted: new KeyFile(cache.layout.key).read() !== undefined,
  };
  known.close({ clean: false });
  try {
    if (await checkAgain({ cache, store: opened }, identity)) {
      return new RetryingObjectStore(opened, {
        clock: systemClock,
        random: systemRandom,
        budget: { deadlineMs: LIMITS.STORE_CALL_MS },
      });
    }
    throw new UserError(`${opened.description} cannot be reached`, {
      hint: "--no-bucket checks the cache alone; zero doctor says what is wrong",
      exitCode: ExitCode.store,
    });
  } catch (error) {
    opened.close();
    throw error;
  }
}
