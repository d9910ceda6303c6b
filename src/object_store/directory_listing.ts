/**
 * The listing of a directory store, in key order, one directory at a time.
 *
 * Within a directory an object sorts by its segment and a subdirectory by its segment and a slash:
 * that is the order of the full keys, because all keys of a subdirectory begin with both. Names that
 * the store did not make are no objects and are passed over.
 */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { objectOfName, segmentOfName } from "./directory_paths.ts";
import { codeOf } from "./directory_identity.ts";
import { compareKeys } from "./keys.ts";
import type { ObjectInfo } from "./object_store.ts";

/** One version, as `listVersions` tells it. */
export type ListedVersion = ObjectInfo & { marker: boolean; latest: boolean };

interface Entry {
  /** The key, or for a directory what all its keys begin with. */
  key: string;
  path: string;
  /** Undefined for a directory. */
  versionId: string | undefined;
}

/** Pages of versions below `root` whose key begins with `prefix` and comes after `startAfter`. */
export async function* listDirectory(
  root: string,
  options: { prefix: string; startAfter?: string; below?: string },
): AsyncGenerator<ListedVersion[]> {
  const { prefix, startAfter, below = "" } = options;
  let page: ListedVersion[] = [];
  let previousKey: string | undefined;
  for (const entry of await entriesOf(root, below)) {
    if (entry.versionId === undefined) {
      const reachable = entry.key.startsWith(prefix) || prefix.startsWith(entry.key);
      const ahead = startAfter === undefined || startAfter.startsWith(entry.key) ||
        compareKeys(entry.key, startAfter) > 0;
      if (!reachable || !ahead) continue;
      yield page;
      page = [];
      yield* listDirectory(entry.path, { prefix, startAfter, below: entry.key });
      continue;
    }
    if (!entry.key.startsWith(prefix)) continue;
    if (startAfter !== undefined && compareKeys(entry.key, startAfter) <= 0) continue;
    const version = await describe(entry, previousKey !== entry.key);
    if (version === undefined) continue;
    previousKey = entry.key;
    page.push(version);
    if (page.length === 1000) {
      yield page;
      page = [];
    }
  }
  yield page;
}

async function entriesOf(directory: string, below: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const item of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, item.name);
    if (item.isDirectory()) {
      const segment = segmentOfName(item.name);
      if (segment !== undefined) {
        entries.push({ key: `${below}${segment}/`, path, versionId: undefined });
      }
    } else if (item.isFile()) {
      const object = objectOfName(item.name);
      if (object !== undefined) {
        entries.push({ key: below + object.segment, path, versionId: object.versionId });
      }
    }
  }
  // Versions of one key: newest first.
  return entries.sort((a, b) =>
    compareKeys(a.key, b.key) || ((a.versionId ?? "") < (b.versionId ?? "") ? 1 : -1)
  );
}

async function describe(entry: Entry, latest: boolean): Promise<ListedVersion | undefined> {
  try {
    const { size, mtimeMs } = await lstat(entry.path);
    return {
      key: entry.key,
      length: size,
      versionId: entry.versionId!,
      modifiedMs: Math.floor(mtimeMs),
      marker: false,
      latest,
    };
  } catch (error) {
    // Deleted since the directory was read. A vanished store is noticed when the listing ends.
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
