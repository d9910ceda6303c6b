/**
 * Carries out what the command line asks of a running mount. Owns nothing; asks the engine and, in small
 * pieces, the filesystem isolate.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { formatDuration } from "../domain/units.ts";
import type { SyncProgress } from "../tiering/sync_run.ts";
import { careCommand } from "./care_commands.ts";
import type { ControlHandler } from "./control_server.ts";
import type {
  ControlProgress,
  ControlRequest,
  EvictResult,
  FileReport,
  ListResult,
  PinResult,
  PolicyState,
  RecallResult,
  SyncResult,
  UnsafeReport,
  WirePath,
} from "./control_protocol.ts";
import { LIMITS } from "./limits.ts";
import type { Mount } from "./mount.ts";
import { entriesAt, filesBelow, placeAt, printPath, reportOf } from "./walk.ts";

type Context = Parameters<ControlHandler>[1];

/** Examples of files in an answer, at most; the rest is counted. */
const NAMED_FILES = 100;

/** The handler of a mount's control socket. `unmount` ends the mount and resolves when it has ended. */
export function controlHandler(mount: Mount, unmount: () => Promise<UnsafeReport>): ControlHandler {
  return async (request: ControlRequest, context) => {
    switch (request.command) {
      case "status":
        return request.path === undefined || request.path.length === 0
          ? await mount.status()
          : await fileStatus(mount, request.path);
      case "sync":
        return await sync(mount, request.path, context);
      case "evict":
        return await evict(mount, request.paths, context);
      case "recall":
        return await recall(mount, request.paths, context);
      case "pin":
        return await pin(mount, request);
      case "policyState":
        return await policyState(mount);
      case "list":
        return await list(mount, request, context);
      case "unmount": {
        const stopped = request.flush
          ? await flushForUnmount(mount, request.timeoutMs, context)
          : undefined;
        return { unsafe: await unmount(), stopped };
      }
      case "gc":
      case "fsck":
      case "trash":
      case "undelete":
      case "purge":
        return await careCommand(mount, request, {
          signal: context.signal,
          progress: paced(context),
        });
      default:
        throw unknownCommand(request);
    }
  };
}

function unknownCommand(request: never): UserError {
  const { command } = request as { command?: unknown };
  return new UserError(`the daemon does not know the command '${command}'`, {
    hint: "unmount and mount again: another version of zero serves this mount",
    exitCode: ExitCode.usage,
  });
}

async function fileStatus(mount: Mount, path: WirePath): Promise<FileReport> {
  const place = await placeAt(mount.filesystem, path);
  const report = await reportOf(mount.filesystem, place);
  if (report === undefined) throw new UserError(`${printPath(place.names)} has just gone`);
  return report;
}

/** Sends progress at its own pace: the newest state, and never more than the client takes. */
function paced(context: Context): (progress: ControlProgress) => void {
  let lastMs = -Infinity;
  let sending = false;
  return (progress) => {
    const now = performance.now();
    if (sending || now - lastMs < LIMITS.PROGRESS_MS) return;
    lastMs = now;
    sending = true;
    // A client that has gone aborts the command by its signal; here it only ends the progress.
    context.progress(progress).then(() => sending = false, () => {});
  };
}

/** Uploads, and gives up when the store has failed for STORE_PATIENCE_MS in a row. */
async function upload(
  mount: Mount,
  inodes: number[] | "all",
  options: {
    signal: AbortSignal;
    progress: (progress: ControlProgress) => void;
    /** As the engine's. */
    onUploaded?: () => Promise<void>;
  },
): Promise<void> {
  const impatience = new AbortController();
  let troubleSinceMs: number | undefined;
  const onProgress = ({ saved, waiting, trouble }: SyncProgress) => {
    options.progress({ kind: "upload", saved, waiting, trouble });
    if (trouble === undefined) {
      troubleSinceMs = undefined;
      return;
    }
    troubleSinceMs ??= performance.now();
    if (performance.now() - troubleSinceMs < LIMITS.STORE_PATIENCE_MS) return;
    impatience.abort(
      new UserError(`the store fails: ${trouble}`, {
        hint: "everything stays in the cache and is tried again; see zero status",
        exitCode: ExitCode.store,
      }),
    );
  };
  const signal = AbortSignal.any([options.signal, impatience.signal]);
  await mount.engine.sync({ inodes, signal, onProgress, onUploaded: options.onUploaded });
}

async function sync(
  mount: Mount,
  path: WirePath | undefined,
  context: Context,
): Promise<SyncResult> {
  mount.requireOnline("nothing can be uploaded now");
  const { signal } = context;
  const progress = paced(context);
  let unsafe: UnsafeReport = { files: 0, bytes: 0, etaMs: undefined };
  if (path === undefined || path.length === 0) {
    const onUploaded = async () => void (unsafe = await mount.unsafe());
    await upload(mount, "all", { signal, progress, onUploaded });
    return { unsafe };
  }
  const place = await placeAt(mount.filesystem, path);
  const inodes = new Set<number>();
  for await (const { place: { inode }, sizes } of filesBelow(mount.filesystem, place, signal)) {
    if (sizes.dirty) inodes.add(inode);
  }
  const onUploaded = async () => {
    for (const inode of inodes) {
      const left = await mount.filesystem.call("residency", { inode });
      if (left?.dirty !== true) continue;
      unsafe.files++;
      unsafe.bytes += left.localBytes;
    }
  };
  await upload(mount, [...inodes], { signal, progress, onUploaded });
  return { unsafe };
}

/**
 * Uploads before an unmount. A store that fails or keeps silent does not hold the unmount up, since what
 * is dirty is safe in the cache: returns why it went on without.
 */
async function flushForUnmount(
  mount: Mount,
  timeoutMs: number | undefined,
  context: Context,
): Promise<string | undefined> {
  if (!await mount.hasUnsent()) return undefined;
  if (mount.offline !== undefined) return mount.offline;
  const watch = mount.watchStore({
    patienceMs: LIMITS.STORE_ALIVE_MS,
    hint: "what is dirty stays in the cache and is uploaded by the next mount",
  });
  const late = new AbortController();
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
    late.abort(
      new UserError(`uploading took longer than ${formatDuration(timeoutMs)}`, {
        exitCode: ExitCode.store,
      }),
    );
  }, timeoutMs);
  try {
    const signal = AbortSignal.any([context.signal, watch.signal, late.signal]);
    await upload(mount, "all", { signal, progress: paced(context) });
    return undefined;
  } catch (error) {
    // Refusals, such as a lease that was lost, are for the user to decide on.
    const stops = error instanceof UserError && error.exitCode === ExitCode.store;
    if (!stops || context.signal.aborted) throw error;
    mount.log.warn(`uploading before the unmount stopped: ${error.message}`);
    return error.message;
  } finally {
    clearTimeout(timer);
    watch.stop();
  }
}

/** Runs what needs the store, and gives up when the store has answered nothing for STORE_PATIENCE_MS. */
async function whileStoreAnswers<T>(
  mount: Mount,
  context: Context,
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const watch = mount.watchStore({
    patienceMs: LIMITS.STORE_PATIENCE_MS,
    hint: "everything stays as it is; see zero status",
  });
  try {
    return await action(AbortSignal.any([context.signal, watch.signal]));
  } finally {
    watch.stop();
  }
}

/** Files at and below paths, each once, with a name for people. Told apart by `wanted`. */
async function* batches(
  mount: Mount,
  paths: WirePath[],
  options: {
    signal: AbortSignal;
    wanted: (sizes: { residentBytes: number; allocatedBytes: number }) => boolean;
  },
): AsyncIterable<Map<number, string>> {
  // A file with several names is asked for once per batch; a second time it has nothing left to do.
  let batch = new Map<number, string>();
  for (const path of paths) {
    const start = await placeAt(mount.filesystem, path);
    for await (const found of filesBelow(mount.filesystem, start, options.signal)) {
      if (!options.wanted(found.sizes)) continue;
      batch.set(found.place.inode, printPath(found.place.names));
      if (batch.size < LIMITS.BATCH_FILES) continue;
      yield batch;
      batch = new Map();
    }
  }
  if (batch.size > 0) yield batch;
}

const REFUSALS: Record<string, string> = {
  changed: "it was changed meanwhile",
  open: "it is open",
  unstaged: "not in the bucket yet",
  pinned: "pinned",
  dirty: "not in the bucket yet",
  local: "its policy keeps it out of the bucket",
  unverified: "the bucket has not confirmed it yet",
  readOnly: "the mount is read-only, so that nothing may leave it",
  gone: "it has gone",
};

async function evict(mount: Mount, paths: WirePath[], context: Context): Promise<EvictResult> {
  const { signal } = context;
  const progress = paced(context);
  const result: EvictResult = { files: 0, bytes: 0, stayed: [], stayedFiles: 0 };
  const wanted = (file: { residentBytes: number }) => file.residentBytes > 0;
  // What a program has just read is not resident before it is durable: it would be passed over, and stay.
  await mount.filesystem.call("settleRecalls", {});
  for await (const batch of batches(mount, paths, { signal, wanted })) {
    mount.requireOnline("what would be evicted cannot be confirmed");
    const answer = await whileStoreAnswers(
      mount,
      context,
      (signal) =>
        mount.engine.evictFiles([...batch.keys()], {
          signal,
          onProgress: (done) =>
            progress({ kind: "count", done: result.files + done, all: result.files + batch.size }),
        }),
    );
    result.files += answer.evicted;
    result.bytes += answer.freedBytes;
    result.stayedFiles += answer.refused.length;
    for (const { inode, why } of answer.refused.slice(0, NAMED_FILES - result.stayed.length)) {
      result.stayed.push({ path: batch.get(inode)!, reason: REFUSALS[why] ?? why });
    }
  }
  return result;
}

async function recall(mount: Mount, paths: WirePath[], context: Context): Promise<RecallResult> {
  const { signal } = context;
  const progress = paced(context);
  const wanted = (file: { residentBytes: number; allocatedBytes: number }) =>
    file.residentBytes < file.allocatedBytes;
  const found = batches(mount, paths, { signal, wanted })[Symbol.asyncIterator]();
  const first = await found.next();
  if (first.done) return { files: 0, chunks: 0, failed: [], failedFiles: 0 };
  mount.requireOnline("nothing can be recalled now");
  let all = 0;
  const inodes = async function* () {
    for (let batch: IteratorResult<Map<number, string>> = first; !batch.done;) {
      all += batch.value.size;
      yield [...batch.value.keys()];
      batch = await found.next();
    }
  };
  const answer = await whileStoreAnswers(
    mount,
    context,
    (signal) =>
      mount.engine.recallFiles(inodes(), {
        signal,
        onDone: (done) => progress({ kind: "count", done, all }),
      }),
  );
  const named = answer.failed.slice(0, NAMED_FILES);
  const failed = await Promise.all(named.map(async ({ inode, why }) => {
    return { path: await mount.pathOf(inode), reason: why };
  }));
  const { recalled: files, chunks } = answer;
  return { files, chunks, failed, failedFiles: answer.failed.length };
}

async function pin(
  mount: Mount,
  { paths, pinned, untilMs }: { paths: WirePath[]; pinned: boolean; untilMs?: number },
): Promise<PinResult> {
  const result: PinResult = { done: [], stillPinned: [] };
  for (const path of paths) {
    const { inode, names } = await placeAt(mount.filesystem, path);
    await mount.filesystem.call("pin", {
      inode,
      pinned,
      ...(untilMs === undefined ? {} : { untilMs }),
    });
    result.done.push(printPath(names));
    const residency = await mount.filesystem.call("residency", { inode });
    if (!pinned && residency?.pinnedUntilMs !== undefined) {
      result.stillPinned.push(printPath(names));
    }
  }
  // A pin that was answered holds after a power cut.
  await mount.filesystem.call("flush", {});
  return result;
}

/** Also writes down what is in memory, so that a preview sees it. */
async function policyState(mount: Mount): Promise<PolicyState> {
  const needs = { uses: false, xattrs: false };
  const open = await mount.filesystem.call("openFacts", { needs });
  const { reserved, leaving = 0 } = await mount.filesystem.call("space", {});
  return { open: open.map(({ inode, writing }) => ({ inode, writing })), reserved, leaving };
}

async function list(
  mount: Mount,
  request: { path: WirePath; recursive: boolean },
  context: Context,
): Promise<ListResult> {
  const start = await placeAt(mount.filesystem, request.path);
  let entries = 0;
  const { recursive } = request;
  const { signal } = context;
  for await (const entry of entriesAt(mount.filesystem, start, { recursive, signal })) {
    await context.progress({ kind: "entry", entry });
    entries++;
  }
  return { entries };
}
