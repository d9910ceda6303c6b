/** Carries out what the command line asks about bucket, cache and trash of a running mount. Owns nothing. */
import { ExitCode, unreachable, UserError } from "../domain/errors.ts";
import { printName, splitPath } from "../domain/name_text.ts";
import { StoreError } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import { refusal } from "../tiering/garbage_collector.ts";
import type { CareRequest, PurgeResult, TrashEntry } from "./care_requests.ts";
import type { ControlProgress, WirePath } from "./control_protocol.ts";
import { LIMITS } from "./limits.ts";
import type { Mount } from "./mount.ts";
import { namesOf, placeAt, printPath } from "./walk.ts";

export interface CareContext {
  signal: AbortSignal;
  progress: (progress: ControlProgress) => void;
}

export async function careCommand(
  mount: Mount,
  request: CareRequest,
  { signal, progress }: CareContext,
): Promise<unknown> {
  switch (request.command) {
    case "gc": {
      mount.requireOnline("what is in the bucket cannot be seen");
      const result = await asStoreFailure(mount.care.collect({ ...request, signal }));
      const refused = request.apply ? refusal(result.report) : undefined;
      if (refused !== undefined) throw refused;
      return result;
    }
    case "fsck": {
      const onProgress = (text: string) => progress({ kind: "text", text: `checking: ${text}` });
      return await asStoreFailure(mount.care.fsck({ deep: request.deep, signal, onProgress }));
    }
    case "trash":
      return await list(mount, request.path);
    case "undelete":
      return await undelete(mount, request);
    case "purge":
      return await purge(mount, request);
    default:
      return unreachable(request);
  }
}

async function asStoreFailure<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new UserError(error.message, {
      hint: "what was done stays done; the same command goes on from there",
      exitCode: ExitCode.store,
      cause: error,
    });
  }
}

async function* trashed(mount: Mount): AsyncIterable<TrashEntry> {
  const limit = LIMITS.WALK_BATCH_NAMES;
  for (let after = 0;;) {
    const page = await mount.filesystem.call("trash", { after, limit });
    for (const { path, mtimeS, mtimeNs, inode: _, ...version } of page) {
      const names = path === undefined ? undefined : splitPath(path);
      yield {
        ...version,
        mtimeMs: mtimeS * 1000 + Math.floor(mtimeNs / 1e6),
        path: names === undefined ? undefined : `/${names.map(printName).join("/")}`,
        names: names?.map(hex),
      };
      after = version.version;
    }
    if (page.length < limit) return;
  }
}

async function list(mount: Mount, path: WirePath = []): Promise<TrashEntry[]> {
  const names = namesOf(path).map(hex);
  const entries: TrashEntry[] = [];
  for await (const entry of trashed(mount)) {
    const below = names.every((name, i) => entry.names?.[i] === name);
    if (below) entries.push(entry);
  }
  return entries;
}

async function undelete(
  mount: Mount,
  { version, path }: { version: number; path: WirePath },
): Promise<{ path: string; chunks: number }> {
  const place = await placeAt(mount.filesystem, path);
  const result = await mount.filesystem.call("undelete", { version, inode: place.inode });
  if ("refused" in result) {
    throw new UserError(`version ${version} cannot come back: ${result.refused}`, {
      hint: "zero trash ls shows what is there; give --to a name that is free",
    });
  }
  return { path: printPath(place.names), ...result };
}

async function purge(
  mount: Mount,
  { olderThanMs, apply }: { olderThanMs: number; apply: boolean },
): Promise<PurgeResult> {
  const result: PurgeResult = { versions: 0, bytes: 0, applied: apply };
  const before = Date.now() - olderThanMs;
  let batch: number[] = [];
  const flush = async () => {
    if (apply && batch.length > 0) {
      await mount.filesystem.call("purgeTrash", { versions: batch });
    }
    batch = [];
  };
  for await (const { version, trashedMs, size } of trashed(mount)) {
    if (trashedMs > before) continue;
    result.versions++;
    result.bytes += size;
    batch.push(version);
    if (batch.length >= LIMITS.WALK_BATCH_NAMES) await flush();
  }
  await flush();
  return result;
}
