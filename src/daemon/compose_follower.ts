/**
 * The object graph of a mount that only follows another one (`zero mount --read-only`): no lease, no
 * uploads, no care for the bucket, which it only ever reads. Builds its cache from the bucket where it is
 * empty, or where what is there cannot be followed on from.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { isEncrypted } from "../format/descriptor.ts";
import type { Secrets } from "../format/secrets.ts";
import { FormatError } from "../format/format_error.ts";
import { startFilesystemIsolate } from "../filesystem/isolate_client.ts";
import { mount as mountFuse, unmount } from "../fuse/mount.ts";
import { followedTo, isFollowing } from "../metadata/follow.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { ComputePool } from "../tiering/compute_pool.ts";
import { Engine } from "../tiering/engine.ts";
import { buildFollower, cannotContinue } from "../tiering/follow_build.ts";
import { MetadataFollower } from "../tiering/metadata_follower.ts";
import { damagedMetadata } from "../tiering/recovery.ts";
import { planRecovery } from "../tiering/recovery_plan.ts";
import type { CacheDirectory } from "./cache_directory.ts";
import { cacheLayout, MOUNT_SOURCE_PREFIX } from "./cache_layout.ts";
import { describeFields, endFilesystem, listen, stackStore } from "./compose.ts";
import { checkAgain, probe, refuseKey, storeHint } from "./identity.ts";
import { KeyFile, needsKey } from "./key_file.ts";
import { takenKey } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import type { LogFile } from "./log_file.ts";
import { Mount } from "./mount.ts";
import type { MountRequest } from "./mount_request.ts";
import { openStore } from "./open_store.ts";
import { PolicyInForce } from "./policy_in_force.ts";
import { unlock, unlockCache } from "./unlock.ts";

const REASON = "it follows another mount";

interface Known {
  fileSystem: string;
  chunkSize: number;
}

/** Mounts. `notes`: what the user should know although it works. Throws UserError. */
export async function composeFollower(
  request: MountRequest,
  { cache, log }: { cache: CacheDirectory; log: LogFile },
): Promise<{ mount: Mount; notes: string[] }> {
  await using undo = new AsyncDisposableStack();
  const policy = new PolicyInForce(request, { cache, log });
  const { values } = policy.effective;
  const store = openStore({
    url: request.store,
    credentials: request.credentials,
    create: false,
    maxSockets: values["recall.parallel"]! + LIMITS.OTHER_CALLS,
  });
  undo.defer(() => store.close());
  const lateMount = Promise.withResolvers<Mount>();
  const { stacked } = stackStore(store, values, (message) => {
    log.warn(`store: ${message}`);
    lateMount.promise.then((mount) => mount.noteStoreError(message));
  });
  const { notes, offline, secrets, ...known } = await prepare(request, {
    cache,
    store: stacked,
    log,
  });

  Deno.mkdirSync(cache.layout.content, { recursive: true, mode: 0o700 });
  const mounted = mountFuse(request.mountpoint, {
    fsname: MOUNT_SOURCE_PREFIX + cache.path,
    readOnly: true,
  });
  undo.defer(() => void unmount(mounted, { lazy: true }));
  const compute = new ComputePool({
    secrets,
    isolates: Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1)),
    onCrash: (message) => log.error(`compute isolate: ${message}`),
  });
  undo.defer(() => compute.close());
  const filesystem = await startFilesystemIsolate({
    device: mounted.fd,
    cacheDirectory: cache.path,
    settings: policy.filesystemSettings,
    readOnly: REASON,
    following: true,
    passthrough: false,
  });
  undo.defer(() => endFilesystem(filesystem));
  // Both listeners are there before the first event can come: nothing is awaited in between.
  const ready = listen(filesystem, log, lateMount.promise);
  const write = (level: "debug" | "info" | "warn" | "error", message: string, fields?: object) => {
    if (level !== "debug") log.write(level, message + describeFields({ ...fields }));
  };
  const follower = new MetadataFollower({
    store: stacked,
    fileSystem: known.fileSystem,
    secrets,
    ...position(cache),
    clock: systemClock,
    intervalMs: values["metadata.interval"]!,
    show: (state) => filesystem.call("follow", state),
    log: write,
  });
  undo.defer(() => follower.stop());
  const engine = new Engine({
    filesystem,
    store: stacked,
    compute,
    clock: systemClock,
    random: systemRandom,
    settings: policy.engineSettings,
    policy: policy.active,
    log: write,
    fileSystemId: known.fileSystem,
    secrets,
    chunkSize: known.chunkSize,
    // Never: nothing is written here, so there is nothing to upload.
    mayWrite: new Promise(() => {}),
    onMissing: () => follower.hurry(),
  });
  engine.start();
  undo.defer(() => engine.stop());
  policy.announce();
  const stopWatching = policy.watch({ filesystem, engine, setUploadRate: () => {} });
  undo.defer(stopWatching);
  await ready;
  const mount = new Mount({
    passthroughObstacle: "what another mount changes must not be read behind the daemon's back",
    request,
    fileSystem: known.fileSystem,
    encrypted: secrets !== undefined,
    cache,
    store: stacked,
    mounted,
    filesystem,
    engine,
    care: undefined,
    follower,
    policy,
    log,
    offline: () => follower.report.lookedMs === undefined ? offline : undefined,
    letGo: () => {
      stopWatching();
      follower.stop();
      compute.close();
      return Promise.resolve();
    },
  });
  lateMount.resolve(mount);
  follower.start();
  undo.move();
  return { mount, notes };
}

/** A cache that can be served: as it is, or made anew from the bucket. Throws UserError. */
async function prepare(
  request: MountRequest,
  parts: { cache: CacheDirectory; store: ObjectStore; log: LogFile },
): Promise<Known & { notes: string[]; offline: string | undefined; secrets?: Secrets }> {
  const { cache, store, log } = parts;
  const found = await probe(store);
  const key = takenKey(request.unlocking);
  const file = new KeyFile(cache.layout.key);
  if (cache.holdsFilesystem) {
    const known = requireFollower(cache);
    if (found.kind === "failed") {
      const offline = found.error.message;
      const notes = [`mounted offline: ${offline}; what is here is shown`];
      return { ...known, offline, notes, secrets: await unlockCache(file, { key }) };
    }
    await checkAgain({ cache, store }, { ...known, encrypted: needsKey(cache.path) });
    const { fileSystem } = known;
    const secrets = await unlockCache(file, { key, store });
    if (secrets === undefined) refuseKey({ store, key });
    const why = await cannotContinue(position(cache).head, { store, fileSystem, secrets })
      .catch((error) => error instanceof StoreError ? undefined : Promise.reject(error));
    if (why === undefined) return { ...known, secrets, notes: [], offline: undefined };
    log.info(`the cache is made anew: ${why}`);
    await build(request, { cache, store, secrets, ...known });
    return { ...known, secrets, notes: [], offline: undefined };
  }
  if (found.kind === "failed") {
    throw new UserError(`the store fails: ${found.error.message}`, {
      hint: storeHint(found.error),
      exitCode: ExitCode.store,
      cause: found.error,
    });
  }
  if (found.kind === "absent") {
    throw new UserError(`${store.description} holds no file system of Zero`, {
      hint: "is it the right bucket and prefix? a mount that writes creates one",
      exitCode: ExitCode.refused,
    });
  }
  const { descriptor } = found;
  const { fileSystem, chunkSize } = descriptor;
  if (!isEncrypted(descriptor)) refuseKey({ store, key });
  // Before there is a file system here: that it is encrypted must never be forgotten.
  const secrets = isEncrypted(descriptor)
    ? (await unlock({ store, descriptor, key, file })).secrets
    : undefined;
  await build(request, { cache, store, secrets, fileSystem, chunkSize });
  return { fileSystem, chunkSize, secrets, notes: [], offline: undefined };
}

/** Beside, and put into place last: what was there before is of no worth, all of it is in the bucket. */
async function build(
  request: MountRequest,
  { cache, store, secrets, fileSystem, chunkSize }: Known & {
    cache: CacheDirectory;
    store: ObjectStore;
    secrets: Secrets | undefined;
  },
): Promise<void> {
  const building = `${cache.path}/recovering`;
  await removeTree(building);
  Deno.mkdirSync(building, { mode: 0o700 });
  try {
    await buildFollower({
      plan: await planRecovery({ store, fileSystem, secrets }),
      secrets,
      store,
      storeUrl: request.store,
      fileSystem,
      chunkSize,
      directory: building,
      clock: systemClock,
      root: { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0, mode: 0o755 },
    });
  } catch (error) {
    await removeTree(building);
    if (error instanceof FormatError) throw damagedMetadata(error);
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(`the store fails: ${error.message}`, {
      hint: storeHint(error),
      exitCode: ExitCode.store,
      cause: error,
    });
  }
  const built = cacheLayout(building);
  await removeTree(cache.layout.content);
  for (const name of ["history", "metadata"] as const) {
    for (const suffix of ["-wal", "-shm"]) await removeTree(cache.layout[name] + suffix);
    Deno.renameSync(built[name], cache.layout[name]);
  }
  await removeTree(`${cache.path}/metadata.redo`);
  await removeTree(building);
}

/** Throws UserError where the cache belongs to a mount that writes. */
function requireFollower(cache: CacheDirectory): Known {
  const database = MetadataDatabase.open({ directory: cache.path, readOnly: true });
  try {
    if (!isFollowing(database)) {
      throw new UserError(`the cache ${cache.path} belongs to a mount that writes`, {
        hint: "give --read-only a cache of its own: an empty --cache",
        exitCode: ExitCode.refused,
      });
    }
    return {
      fileSystem: String(database.setting("file_system_id")),
      chunkSize: Number(database.setting("chunk_size")),
    };
  } finally {
    database.close({ clean: false });
  }
}

function position(cache: CacheDirectory) {
  const database = MetadataDatabase.open({ directory: cache.path, readOnly: true });
  try {
    return followedTo(database);
  } finally {
    database.close({ clean: false });
  }
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
