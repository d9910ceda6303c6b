/**
 * Walks names and residency through the filesystem isolate, in small pieces, so that it never waits for
 * a walk. Reads only.
 */
import { UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import type { FilesystemPort } from "../filesystem/port.ts";
import type { FileResidency } from "../filesystem/protocol.ts";
import { fromHex } from "../runtime/random.ts";
import type { FileReport, WirePath } from "./control_protocol.ts";
import { LIMITS } from "./limits.ts";

/** st_mode >> 12 of what the walk tells apart. */
const DIRECTORY = 4;
const REGULAR = 8;
const LINK = 10;

/** A place in the tree: its inode and its names from the root. */
export interface Place {
  inode: number;
  names: Uint8Array[];
}

/** Names as they came over the wire. Throws UserError where they are none. */
export function namesOf(path: WirePath): Uint8Array[] {
  const good = Array.isArray(path) &&
    path.every((name) => typeof name === "string" && /^([0-9a-f]{2}){1,255}$/.test(name));
  if (!good) throw new UserError("the request holds a malformed path", { exitCode: 2 });
  return path.map((name) => fromHex(name));
}

/** Names for people, from the root of the mount. */
export function printPath(names: Uint8Array[]): string {
  return `/${names.map(printName).join("/")}`;
}

/** The place at a path. Throws UserError where there is none. */
export async function placeAt(filesystem: FilesystemPort, path: WirePath): Promise<Place> {
  const names = namesOf(path);
  const inode = await filesystem.call("resolve", { names });
  if (inode === undefined) {
    throw new UserError(`${printPath(names)} does not exist on the mount`, {
      hint: "links are not followed here; names are as `zero ls` prints them",
    });
  }
  return { inode, names };
}

/** How much content a file has, and has here. */
export type ContentSizes = Pick<FileResidency, "allocatedBytes" | "residentBytes" | "dirty">;

interface Child extends Place {
  type: number;
  sizes: ContentSizes;
}

/** What directories hold, in batches. */
async function* batches(filesystem: FilesystemPort, place: Place): AsyncIterable<Child[]> {
  for (let after = 0;;) {
    const batch = await filesystem.call("children", {
      inode: place.inode,
      after,
      limit: LIMITS.WALK_BATCH_NAMES,
    });
    yield batch.map(({ type, inode, name, allocatedBytes, residentBytes, dirty }) => ({
      type,
      inode,
      names: [...place.names, name],
      sizes: { allocatedBytes, residentBytes, dirty },
    }));
    after = batch.at(-1)?.cookie ?? after;
    if (batch.length < LIMITS.WALK_BATCH_NAMES) return;
  }
}

/** Every regular file at or below a place; a file with several names comes once per name. */
export async function* filesBelow(
  filesystem: FilesystemPort,
  start: Place,
  signal: AbortSignal,
): AsyncIterable<{ place: Place; sizes: ContentSizes }> {
  const stack: Place[] = [start];
  for (let place; (place = stack.pop()) !== undefined;) {
    signal.throwIfAborted();
    const residency = await filesystem.call("residency", { inode: place.inode });
    if (residency?.type === REGULAR) yield { place, sizes: residency };
    if (residency?.type !== DIRECTORY) continue;
    for await (const batch of batches(filesystem, place)) {
      signal.throwIfAborted();
      for (const child of batch) {
        if (child.type === DIRECTORY) stack.push(child);
        else if (child.type === REGULAR) yield { place: child, sizes: child.sizes };
      }
    }
  }
}

/** One entry as `zero ls` shows it; undefined where it has just gone. */
export async function reportOf(
  filesystem: FilesystemPort,
  place: Place,
): Promise<FileReport | undefined> {
  const residency = await filesystem.call("residency", { inode: place.inode });
  if (residency === undefined) return undefined;
  const { type } = residency;
  return {
    path: printPath(place.names),
    type: type === REGULAR
      ? "file"
      : type === DIRECTORY
      ? "directory"
      : type === LINK
      ? "link"
      : "other",
    size: residency.size,
    allocatedBytes: residency.allocatedBytes,
    residentBytes: residency.residentBytes,
    localBytes: residency.localBytes,
    dirty: residency.dirty,
    pinned: residency.pinnedUntilMs !== undefined,
    local: residency.kept === true,
    openHandles: residency.openHandles,
    lastUsedMs: residency.lastUsedMs,
  };
}

/** The entries of a directory (and below), or the file itself. */
export async function* entriesAt(
  filesystem: FilesystemPort,
  start: Place,
  options: { recursive: boolean; signal: AbortSignal },
): AsyncIterable<FileReport> {
  const first = await reportOf(filesystem, start);
  if (first === undefined) return;
  if (first.type !== "directory") return yield first;
  const stack = [start];
  for (let place; (place = stack.pop()) !== undefined;) {
    const below: Place[] = [];
    for await (const batch of batches(filesystem, place)) {
      options.signal.throwIfAborted();
      const entries = await Promise.all(batch.map((child) => reportOf(filesystem, child)));
      for (const [at, child] of batch.entries()) {
        const entry = entries[at];
        if (entry === undefined) continue;
        yield entry;
        if (options.recursive && entry.type === "directory") below.push(child);
      }
    }
    stack.push(...below.reverse());
  }
}
