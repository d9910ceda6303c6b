/**
 * The object graph of a mount: the one place that builds it. Starts from the bucket (is it ours?), then
 * the lease, the kernel's mount, the filesystem isolate, the engine. Whatever fails, everything that was
 * started before is taken down again.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { mount as mountFuse, unmount } from "../fuse/mount.ts";
import { startFilesystemIsolate } from "../filesystem/isolate_client.ts";
import type { FilesystemIsolate } from "../filesystem/port.ts";
import type { FilesystemEvent } from "../filesystem/protocol.ts";
import { LimitedObjectStore } from "../object_store/limited_object_store.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { RetryingObjectStore } from "../object_store/retrying_object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { ComputePool } from "../tiering/compute_pool.ts";
import { Engine } from "../tiering/engine.ts";
import { MetadataExportClient } from "../tiering/metadata_export_client.ts";
import { OldCopyError } from "../tiering/metadata_head.ts";
import type { CacheDirectory } from "./cache_directory.ts";
import { Care } from "./care.ts";
import { MOUNT_SOURCE_PREFIX } from "./cache_layout.ts";
import { ClaimsFile } from "./claims_file.ts";
import { checkAgain, establish, type Identity } from "./identity.ts";
import { takenKey } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import type { LogFile } from "./log_file.ts";
import { Mount } from "./mount.ts";
import type { MountRequest } from "./mount_request.ts";
import { openStore } from "./open_store.ts";
import { PolicyInForce } from "./policy_in_force.ts";
import type { SettingValues } from "./settings.ts";
import { recordAccesses } from "./access_trace_file.ts";
import { VerifiedStore } from "./verified_store.ts";
import { WriteRight } from "./write_right.ts";

/** What a cache holds that may not write any more may be in the bucket no more: nothing of it is dropped. */
const NEVER_EVICT = {
  target: Number.MAX_SAFE_INTEGER,
  high: Number.MAX_SAFE_INTEGER,
  low: Number.MAX_SAFE_INTEGER,
  hard: Number.MAX_SAFE_INTEGER,
  minFree: 0,
};

interface Surroundings {
  cache: CacheDirectory;
  log: LogFile;
}

/** Mounts. `notes`: what the user should know although it works. Throws UserError. */
export async function compose(
  request: MountRequest,
  { cache, log }: Surroundings,
): Promise<{ mount: Mount; notes: string[] }> {
  await using undo = new AsyncDisposableStack();
  const notes: string[] = [];
  const policy = new PolicyInForce(request, { cache, log });
  const { values } = policy.effective;
  const store = openStore({
    url: request.store,
    credentials: request.credentials,
    create: !cache.holdsFilesystem,
    maxSockets: values["upload.parallel"]! + values["recall.parallel"]! +
      LIMITS.OTHER_CALLS,
  });
  undo.defer(() => store.close());
  const identity = await establish({
    cache,
    store,
    storeUrl: request.store,
    key: takenKey(request.unlocking),
    clock: systemClock,
    random: systemRandom,
  });
  const { fileSystem, secrets } = identity;
  if (identity.keyWarning !== undefined) notes.push(identity.keyWarning);
  if (identity.created) notes.push(`created file system ${fileSystem} in ${store.description}`);
  const verified = new VerifiedStore(store, {
    verified: identity.offline === undefined,
    check: () => checkAgain({ cache, store }, { ...identity, encrypted: secrets !== undefined }),
  });
  const lateMount = Promise.withResolvers<Mount>();
  const { stacked, limited } = stackStore(verified, values, (message) => {
    log.warn(`store: ${message}`);
    lateMount.promise.then((mount) => mount.noteStoreError(message));
  });
  const writeRight = new WriteRight({
    store: stacked,
    clock: systemClock,
    random: systemRandom,
    fileSystem,
    secrets,
    takeOver: request.takeOver,
    claims: new ClaimsFile(cache.layout.claims),
    machine: Deno.hostname(),
    user: userName(),
    shipping: identity.shipping,
    log,
  });
  undo.defer(() => writeRight.release().catch((error) => log.warn(`lease: ${error}`)));
  const { offline, oldCopy } = await takeWriteRight(writeRight, identity);
  if (oldCopy !== undefined) policy.restrain(NEVER_EVICT);
  if (oldCopy !== undefined) notes.push(`mounted read-only: ${oldCopy.message}; ${oldCopy.hint}`);
  if (offline !== undefined) {
    notes.push(`mounted offline: ${offline}; uploads begin when it answers`);
  }
  if (writeRight.tookOver !== undefined) notes.push(`took over from ${writeRight.tookOver}`);

  Deno.mkdirSync(cache.layout.content, { recursive: true, mode: 0o700 });
  const mounted = mountFuse(request.mountpoint, { fsname: MOUNT_SOURCE_PREFIX + cache.path });
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
    ...(oldCopy === undefined ? {} : { readOnly: oldCopy.message }),
    passthrough: true,
    ...recordAccesses(cache.layout.trace, { bytes: values["trace.size"]!, log }),
  });
  undo.defer(() => endFilesystem(filesystem));
  const exporter = new MetadataExportClient(cache.path, secrets);
  undo.defer(() => exporter.close());
  // Both listeners are there before the first event can come: nothing is awaited in between.
  const ready = listen(filesystem, log, lateMount.promise);
  const engine = new Engine({
    filesystem,
    store: stacked,
    compute,
    clock: systemClock,
    random: systemRandom,
    settings: policy.engineSettings,
    policy: policy.active,
    log: (level, message, fields) => {
      if (level !== "debug") log.write(level, message + describeFields(fields));
    },
    fileSystemId: fileSystem,
    secrets,
    chunkSize: identity.chunkSize,
    mayWrite: writeRight.granted,
    metadata: {
      exporter,
      right: writeRight.right,
      intervalMs: request.values["metadata.interval"]!,
    },
  });
  const forbid = (reason: string) => forbidWriting(filesystem, { policy, log, reason });
  engine.shipper!.onLost = forbid;
  engine.start();
  policy.announce();
  const shipped = policy.ship(filesystem);
  undo.defer(() => shipped);
  const stopWatching = policy.watch({
    filesystem,
    engine,
    setUploadRate: (rate) => limited.setUploadRate(rate),
  });
  undo.defer(stopWatching);
  undo.defer(() => engine.stop());
  const care = new Care({
    cache: cache.path,
    fileSystem,
    filesystem,
    store: stacked,
    compute,
    secrets,
    engine,
    right: writeRight.right,
    values: request.values,
    log,
  });
  undo.defer(() => care.stop());
  const passthroughObstacle = await ready;

  const mount = new Mount({
    request,
    fileSystem,
    encrypted: secrets !== undefined,
    cache,
    store: stacked,
    mounted,
    filesystem,
    engine,
    care,
    policy,
    log,
    passthroughObstacle,
    offline: () => verified.verified ? undefined : offline ?? "the bucket has not answered",
    letGo: async () => {
      stopWatching();
      compute.close();
      exporter.close();
      care.stop();
      await writeRight.release();
    },
  });
  lateMount.resolve(mount);
  if (offline !== undefined) void writeRight.takeLater();
  writeRight.granted.catch((error) => {
    if (error instanceof DOMException && error.name === "AbortError") return; // given back
    log.error(`nothing is uploaded: ${error.message}`);
    mount.noteStoreError(error.message);
    if (error instanceof OldCopyError) forbid(error.message);
  });
  undo.move();
  return { mount, notes };
}

/** Takes the lease where the bucket answers. Why not, where it does not, or where it must not be written to. */
async function takeWriteRight(
  right: WriteRight,
  identity: Identity,
): Promise<{ offline?: string; oldCopy?: OldCopyError }> {
  if (identity.offline !== undefined) return { offline: identity.offline };
  try {
    if (await right.take()) return {};
  } catch (error) {
    if (error instanceof OldCopyError) return { oldCopy: error };
    throw error;
  }
  return { offline: "the store stopped answering while its lease was taken" };
}

/**
 * Somebody else writes to the bucket now: what would be changed here could never get there. Nothing is
 * evicted any more, so what is read is let in as long as the disk takes it.
 */
async function forbidWriting(
  filesystem: FilesystemIsolate,
  { policy, log, reason }: { policy: PolicyInForce; log: LogFile; reason: string },
): Promise<void> {
  policy.restrain(NEVER_EVICT);
  try {
    await filesystem.call("readOnly", { reason });
    await filesystem.call("configure", policy.filesystemSettings);
  } catch (error) {
    log.warn(`not made read-only: ${error instanceof Error ? error.message : error}`);
  }
}

/** Retries outside, so that each attempt passes the limits anew. */
export function stackStore(
  store: ObjectStore,
  values: SettingValues,
  onFailure: (message: string) => void,
): { stacked: ObjectStore; limited: LimitedObjectStore } {
  const limited = new LimitedObjectStore(store, {
    clock: systemClock,
    reads: values["recall.parallel"]!,
    writes: values["upload.parallel"]!,
    others: LIMITS.OTHER_CALLS,
    uploadBytesPerSecond: values["upload.bandwidth"] || undefined,
  });
  const stacked = new RetryingObjectStore(limited, {
    clock: systemClock,
    random: systemRandom,
    budget: { deadlineMs: LIMITS.STORE_CALL_MS },
    onRetry: ({ error }) => onFailure(error instanceof Error ? error.message : String(error)),
  });
  return { stacked, limited };
}

/**
 * Logs what the filesystem isolate tells; resolves, once the kernel has been answered, with what keeps
 * it from passthrough.
 */
export function listen(
  filesystem: FilesystemIsolate,
  log: LogFile,
  mount: Promise<Mount>,
): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const timer = setTimeout(() => {
    reject(
      new UserError(`the kernel did not begin to use the mount in ${LIMITS.MOUNT_READY_MS} ms`),
    );
  }, LIMITS.MOUNT_READY_MS);
  filesystem.ended.then(({ how, error }) =>
    reject(
      new UserError(`the file system ${how} before it was ready: ${error ?? "no reason given"}`, {
        exitCode: ExitCode.failure,
      }),
    )
  );
  filesystem.subscribe((event) => {
    switch (event.event) {
      case "ready":
        log.info(`mounted, FUSE protocol ${event.protocol}`);
        return resolve(event.passthroughObstacle);
      case "readOnly":
        log.error(`read-only: ${event.reason}`);
        void mount.then((each) => each.readOnly = event.reason);
        return;
      case "scanner":
        return log.info(describeScanner(event));
      case "defect":
        return log.error(`defect: ${event.message}`);
    }
  });
  return promise.finally(() => clearTimeout(timer));
}

function describeScanner(
  { program, pid, files, scans }: Extract<FilesystemEvent, { event: "scanner" }>,
): string {
  return scans
    ? `'${program}' (process ${pid}) goes through many cold files in directory order: what it reads ` +
      "counts no longer as use and is not kept; a reader in the policy that names it decides otherwise"
    : `'${program}' (process ${pid}) is treated like any other again, after ${files} files`;
}

export async function endFilesystem(filesystem: FilesystemIsolate): Promise<void> {
  const over = filesystem.ended.then(() => undefined);
  // It may have ended by itself, which is why we are here; then the call is refused.
  const stopped = filesystem.call("stop", { reason: "starting failed" }).catch(() => {});
  await Promise.race([over, stopped]);
  await over;
}

export function describeFields(fields: Record<string, unknown> | undefined): string {
  return Object.entries(fields ?? {})
    .map(([name, value]) => ` ${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("");
}

function userName(): string {
  return Deno.env.get("USER") ?? Deno.env.get("LOGNAME") ?? `uid ${Deno.uid()}`;
}
