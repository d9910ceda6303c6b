/**
 * `zero recover`: brings a file system back from its bucket alone. Into an empty cache, which then
 * mounts as any other; or (drill, some files) into a scratch directory, without a trace in the bucket.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import { type Descriptor, isEncrypted } from "../format/descriptor.ts";
import type { Secrets } from "../format/secrets.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { readPolicyCopy } from "../metadata/policy_copy.ts";
import { XattrTable } from "../metadata/xattr_table.ts";
import type { NotNewest } from "../metadata/rebuild.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { RetryingObjectStore } from "../object_store/retrying_object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { systemRandom } from "../runtime/random.ts";
import { acquireLease, type Lease } from "../tiering/lease.ts";
import { damagedMetadata, recoverMetadata, type RecoveryResult } from "../tiering/recovery.ts";
import { planRecovery, type RecoveryPlan } from "../tiering/recovery_plan.ts";
import { CacheDirectory, refuseNesting } from "./cache_directory.ts";
import { cacheLayout } from "./cache_layout.ts";
import { ClaimsFile } from "./claims_file.ts";
import type { Credentials } from "./credentials.ts";
import { probe, refuseKey, storeHint } from "./identity.ts";
import { KeyFile } from "./key_file.ts";
import type { KeySource } from "./key_source.ts";
import { LIMITS } from "./limits.ts";
import { openStore, storeDirectory } from "./open_store.ts";
import { unlock } from "./unlock.ts";

export interface RecoverRequest {
  store: string;
  cache: string;
  credentials: Credentials | undefined;
  /** Opens an encrypted file system. */
  key: KeySource;
  /** State at this time or before, wall clock of the writer; undefined: the newest. */
  atMs: number | undefined;
  /** Claims the bucket although another mount holds it. */
  takeOver: boolean;
  /** What goes on, for people. */
  progress: (text: string) => void;
}

export interface RecoverReport {
  fileSystem: string;
  store: string;
  cache: string;
  /** Time of the last object that was applied, by the writer's clock; undefined: there was none. */
  pointMs: number | undefined;
  /** Inodes of any type. */
  files: number;
  notNewest: NotNewest[];
  /** Metadata that was read. */
  objects: number;
  bytes: number;
  milliseconds: number;
  tookOver: string | undefined;
  /** Where the policy that was in force lies now; undefined: the bucket has none. It is not in force. */
  policy: string | undefined;
  notes: string[];
}

/** A bucket with a file system in it, and the state to go back to. */
export interface RecoverySource {
  store: ObjectStore;
  descriptor: Descriptor;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  /** The wrapped key that a cache keeps of it. */
  wrapped: Uint8Array<ArrayBuffer> | undefined;
  /** What is wanted; a damaged snapshot may make another one of it. */
  plan: RecoveryPlan;
}

/** Rebuilds an empty cache. Throws UserError; then the cache is as before. */
export async function recoverFilesystem(request: RecoverRequest): Promise<RecoverReport> {
  const startedMs = systemClock.monotonicMs();
  refuseNesting({ cache: request.cache, store: storeDirectory(request.store) });
  return await withSource(request, async (source) => {
    const cache = CacheDirectory.open(request.cache);
    let done = false;
    try {
      if (cache.holdsFilesystem) {
        throw new UserError(`the cache ${cache.path} already holds a file system`, {
          hint: "move it away, or give an empty --cache; nothing was changed",
          exitCode: ExitCode.refused,
        });
      }
      const { lease, result, policy } = await recoverInto(cache, { request, source });
      done = true;
      const { plan, ...recovered } = result;
      return {
        fileSystem: source.descriptor.fileSystem,
        store: source.store.description,
        cache: cache.path,
        pointMs: plan.pointMs,
        ...recovered,
        milliseconds: systemClock.monotonicMs() - startedMs,
        policy,
        tookOver: lease.tookOver && `${lease.tookOver.user}@${lease.tookOver.machine}`,
        notes: notesOf(plan),
      };
    } finally {
      if (done) cache.close();
      else cache.closeAfterFailure();
    }
  });
}

/** Opens the bucket, finds its file system and plans the recovery; closes it in the end. */
export async function withSource<T>(
  request: Pick<RecoverRequest, "store" | "credentials" | "key" | "atMs" | "progress">,
  action: (source: RecoverySource) => Promise<T>,
): Promise<T> {
  const { credentials, key, atMs, progress } = request;
  const bare = openStore({ url: request.store, credentials, create: false, maxSockets: 16 });
  const store = new RetryingObjectStore(bare, {
    clock: systemClock,
    random: systemRandom,
    budget: { deadlineMs: LIMITS.STORE_CALL_MS },
  });
  try {
    const found = await probe(store);
    if (found.kind === "failed") throw storeFailed(found.error);
    if (found.kind === "absent") {
      throw new UserError(`${store.description} holds no file system of Zero`, {
        hint: "is it the right bucket and prefix?",
        exitCode: ExitCode.refused,
      });
    }
    const { descriptor } = found;
    if (!isEncrypted(descriptor)) refuseKey({ store, key });
    const opened = isEncrypted(descriptor)
      ? await unlock({ store, descriptor, key, file: undefined })
      : undefined;
    const secrets = opened?.secrets;
    progress("looking for the newest metadata");
    const plan = await planRecovery({ store, fileSystem: descriptor.fileSystem, secrets, atMs });
    return await action({ store, descriptor, secrets, wrapped: opened?.wrapped, plan });
  } catch (error) {
    if (error instanceof FormatError) throw damagedMetadata(error);
    if (error instanceof StoreError) throw storeFailed(error);
    throw error;
  } finally {
    store.close();
  }
}

function storeFailed(error: StoreError): UserError {
  return new UserError(`the store fails: ${error.message}`, {
    hint: storeHint(error),
    exitCode: ExitCode.store,
    cause: error,
  });
}

/** Claims the bucket, rebuilds beside, and puts the databases into place last. */
async function recoverInto(
  cache: CacheDirectory,
  { request, source }: { request: RecoverRequest; source: RecoverySource },
): Promise<{ lease: Lease; result: RecoveryResult; policy: string | undefined }> {
  const { plan, store } = source;
  request.progress("claiming the bucket");
  const claims = new ClaimsFile(cache.layout.claims);
  const lease = await acquireLease({
    store,
    clock: systemClock,
    random: systemRandom,
    fileSystem: source.descriptor.fileSystem,
    machine: Deno.hostname(),
    user: Deno.env.get("USER") ?? Deno.env.get("LOGNAME") ?? `uid ${Deno.uid()}`,
    takeOver: request.takeOver,
    base: plan.tip.hash,
    previous: claims.read(),
    remember: (all) => claims.write(all),
  }).catch((error) => {
    throw error instanceof UserError ? withLastWrite(error, plan) : error;
  });
  try {
    await lease.settled;
    const building = `${cache.path}/recovering`;
    await removeTree(building);
    Deno.mkdirSync(building, { mode: 0o700 });
    const result = await recoverTo(building, { storeUrl: request.store, source, ...request });
    const { descriptor, wrapped } = source;
    const file = new KeyFile(cache.layout.key);
    // Before there is a file system here: that it is encrypted must never be forgotten.
    if (source.secrets !== undefined) file.write({ descriptor, wrapped });
    else libc.unlink(cache.layout.key);
    const built = cacheLayout(building);
    const text = policyIn(building);
    for (const name of ["history", "metadata"] as const) {
      Deno.renameSync(built[name], cache.layout[name]);
    }
    await removeTree(building);
    const policy = text === undefined ? undefined : cache.layout.recoveredPolicy;
    if (policy !== undefined) Deno.writeTextFileSync(policy, text!, { mode: 0o600 });
    syncDirectory(cache.path);
    return { lease, result, policy };
  } finally {
    await lease.release(AbortSignal.timeout(LIMITS.RELEASE_MS));
  }
}

/** The copy of the policy that came with the metadata; undefined: there is none. */
function policyIn(directory: string): string | undefined {
  const database = MetadataDatabase.open({ directory, readOnly: true });
  try {
    return readPolicyCopy(new XattrTable(database));
  } finally {
    database.close({ clean: false });
  }
}

/** Rebuilds the metadata in an empty directory. */
export async function recoverTo(
  directory: string,
  options: {
    source: RecoverySource;
    storeUrl: string;
    progress: (text: string) => void;
  },
): Promise<RecoveryResult> {
  const { source, storeUrl, progress } = options;
  return await recoverMetadata({
    plan: source.plan,
    store: source.store,
    storeUrl,
    fileSystem: source.descriptor.fileSystem,
    secrets: source.secrets,
    chunkSize: source.descriptor.chunkSize,
    directory,
    clock: systemClock,
    root: { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0, mode: 0o755 },
    onProgress: (bytes) => progress(`reading metadata: ${Math.ceil(bytes / 1024)} KiB`),
  });
}

function withLastWrite(error: UserError, plan: RecoveryPlan): UserError {
  if (error.exitCode !== ExitCode.refused || plan.pointMs === undefined) return error;
  return new UserError(
    `${error.message}; it last wrote metadata ${new Date(plan.pointMs).toISOString()}`,
    {
      hint: "unmount it there; if that machine is gone for good, recover with --take-over",
      exitCode: error.exitCode,
      cause: error,
    },
  );
}

/** What a plan has to tell besides its state. */
export function notesOf(plan: RecoveryPlan): string[] {
  const notes = [...plan.notes];
  if (plan.incomplete > 0) {
    notes.push(`${plan.incomplete} objects behind the last complete one were left out`);
  }
  return notes;
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function syncDirectory(path: string): void {
  const fd = libc.open(path, libc.O.RDONLY);
  if (fd < 0) return;
  libc.fsync(fd);
  libc.close(fd);
}
