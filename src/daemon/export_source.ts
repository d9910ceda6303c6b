/**
 * Where an export comes from: the cache of a file system that nobody serves, with its bucket for what is
 * not here; or the bucket alone. Owns what has to be let go of in the end. Changes neither.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { joinNames, printName } from "../domain/name_text.ts";
import type { Secrets } from "../format/secrets.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { finish } from "../metadata/finish.ts";
import type { NotNewest } from "../metadata/rebuild.ts";
import { TreeReader, type WorkingPiece } from "../metadata/tree_reader.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { RetryingObjectStore } from "../object_store/retrying_object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { CacheDirectory } from "./cache_directory.ts";
import type { Credentials } from "./credentials.ts";
import { checkAgain } from "./identity.ts";
import { KeyFile } from "./key_file.ts";
import type { KeySource } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import { openStore } from "./open_store.ts";
import { notesOf, recoverTo, withSource } from "./recover.ts";
import { withScratch } from "./recover_drill.ts";
import { unlockCache } from "./unlock.ts";

export interface ExportSource {
  tree: TreeReader;
  fileSystem: string;
  chunkSize: number;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  /** For people. */
  description: string;
  /** Time of the state, by the writer's clock; undefined: what the cache shows. */
  pointMs: number | undefined;
  /** Directory of the content files; undefined: there are none. */
  content: string | undefined;
  notNewest: NotNewest[];
  notes: string[];
  /** The bucket, once it has been found to be the right one. Rejects with UserError. */
  store: () => Promise<ObjectStore>;
  /** Chunks of a file, in order, after a place; at most `limit`. */
  pieces: (inode: number, range: { after: number; limit: number }) => WorkingPiece[];
}

export interface BucketPlace {
  store: string;
  credentials: Credentials | undefined;
  /** Opens an encrypted file system. */
  key: KeySource;
  /** State at this time or before, wall clock of the writer; undefined: the newest. */
  atMs: number | undefined;
  progress: (text: string) => void;
}

/** Runs `action` upon what the bucket alone tells. Throws UserError. */
export async function withBucket<T>(
  place: BucketPlace,
  action: (source: ExportSource) => Promise<T>,
): Promise<T> {
  return await withSource(place, (source) =>
    withScratch(async (directory) => {
      const { notNewest, plan } = await recoverTo(directory, {
        source,
        storeUrl: place.store,
        progress: place.progress,
      });
      const database = MetadataDatabase.open({ directory, readOnly: true });
      try {
        const tree = new TreeReader(database);
        return await action({
          tree,
          fileSystem: source.descriptor.fileSystem,
          chunkSize: source.descriptor.chunkSize,
          secrets: source.secrets,
          description: source.store.description,
          pointMs: plan.pointMs,
          content: undefined,
          notNewest,
          notes: notesOf(plan),
          store: () => Promise.resolve(source.store),
          pieces: (inode, range) =>
            tree.pieces(inode, range).map((bucket) => {
              const { index, valid } = bucket;
              return { index, valid, resident: false, bucket };
            }),
        });
      } finally {
        database.close({ clean: false });
      }
    }));
}

/**
 * Runs `action` upon a cache, which nobody serves meanwhile. The bucket is asked for only where content
 * is needed from it: what is here can be had without. Throws UserError.
 */
export async function withCache<T>(
  place: { cache: string; store: string; credentials: Credentials | undefined; key: KeySource },
  action: (source: ExportSource) => Promise<T>,
): Promise<T> {
  const cache = lock(place.cache);
  let store: ObjectStore | undefined;
  let database: MetadataDatabase | undefined;
  try {
    finish(cache.path);
    const open = database = MetadataDatabase.open({ directory: cache.path, readOnly: true });
    const tree = new TreeReader(database);
    const secrets = await unlockCache(new KeyFile(cache.layout.key), { key: place.key });
    const known = {
      fileSystem: String(open.setting("file_system_id")),
      chunkSize: Number(open.setting("chunk_size")),
      encrypted: secrets !== undefined,
    };
    return await action({
      tree,
      ...known,
      secrets,
      description: cache.path,
      pointMs: undefined,
      content: cache.layout.content,
      notNewest: [],
      notes: [],
      store: async () => store ??= await rightStore(place, { cache, known }),
      pieces: (inode, range) => tree.working(inode, range),
    });
  } finally {
    database?.close({ clean: false });
    store?.close();
    cache.close();
  }
}

/** Content files of a served cache may go while they are read. */
function lock(path: string): CacheDirectory {
  try {
    return CacheDirectory.open(path);
  } catch (error) {
    if (!(error instanceof UserError) || error.exitCode !== ExitCode.refused) throw error;
    throw new UserError(error.message, {
      hint: `${error.hint ?? ""}; or copy from the mount; or export from the bucket alone: ` +
        "--store URL without --cache",
      exitCode: error.exitCode,
      cause: error,
    });
  }
}

async function rightStore(
  place: { store: string; credentials: Credentials | undefined },
  { cache, known }: {
    cache: CacheDirectory;
    known: { fileSystem: string; chunkSize: number; encrypted: boolean };
  },
): Promise<ObjectStore> {
  const opened = openStore({
    url: place.store,
    credentials: place.credentials,
    create: false,
    maxSockets: 16,
  });
  try {
    if (await checkAgain({ cache, store: opened }, known)) {
      return new RetryingObjectStore(opened, {
        clock: systemClock,
        random: systemRandom,
        budget: { deadlineMs: LIMITS.STORE_CALL_MS },
      });
    }
    throw new UserError(
      `${opened.description} cannot be reached, and holds content that is asked for`,
      {
        hint: "what was complete stays; the same command goes on from there",
        exitCode: ExitCode.store,
      },
    );
  } catch (error) {
    opened.close();
    throw error;
  }
}

/** The files at or below a place that are not in their newest state. */
export function notNewestBelow(source: ExportSource, names: Uint8Array[]): NotNewest[] {
  const place = printName(joinNames(names));
  return source.notNewest.filter(({ path }) => {
    const printed = printName(path);
    return place === "" || printed === place || printed.startsWith(`${place}/`);
  });
}
