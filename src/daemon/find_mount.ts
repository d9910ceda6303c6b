/** Which of Zero's mounts a path is on, from the mount table alone: a mount that hangs is not touched. */
import { UserError } from "../domain/errors.ts";
import { printName, splitPath } from "../domain/name_text.ts";
import { type MountEntry, readMountTable } from "../fuse/mount_table.ts";
import { cacheOfMount } from "./mountpoint.ts";

/** One of Zero's mounts. */
export interface ZeroMount {
  mountpoint: Uint8Array;
  cache: string;
}

/** Every mount of Zero that this process sees, in the order in which they were made. */
export function zeroMounts(table: MountEntry[] = readMountTable()): ZeroMount[] {
  return table.flatMap((entry) => {
    const cache = cacheOfMount(entry);
    return cache === undefined ? [] : [{ mountpoint: entry.mountPoint, cache }];
  });
}

const same = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** The innermost mount that holds `path` (absolute), and the names below it. */
export function mountHolding(
  path: Uint8Array,
  mounts: ZeroMount[],
): { mount: ZeroMount; names: Uint8Array[] } | undefined {
  const names = splitPath(path);
  let best: { mount: ZeroMount; names: Uint8Array[] } | undefined;
  let bestLength = -1;
  for (const mount of mounts) {
    const prefix = splitPath(mount.mountpoint);
    if (prefix.length > names.length || prefix.length < bestLength) continue;
    if (!prefix.every((name, i) => same(name, names[i]))) continue;
    best = { mount, names: names.slice(prefix.length) };
    bestLength = prefix.length;
  }
  return best;
}

/**
 * The mount that holds `path`, given as typed (relative paths start at the working directory). Links
 * outside mounts are followed only where the path as typed leads to none.
 */
export function findMount(path: Uint8Array): { mount: ZeroMount; names: Uint8Array[] } {
  const mounts = zeroMounts();
  const absolute = absoluteBytes(path);
  const found = mountHolding(absolute, mounts) ?? mountHolding(resolved(absolute), mounts);
  if (found !== undefined) return found;
  const known = mounts.map((mount) => printName(mount.mountpoint)).join(", ");
  throw new UserError(`${printName(path)} is not on a mounted file system of Zero`, {
    hint: known === "" ? "zero mount MOUNTPOINT" : `mounted: ${known}`,
  });
}

export function absoluteBytes(path: Uint8Array): Uint8Array {
  if (path[0] === 0x2f) return path;
  const cwd = new TextEncoder().encode(`${Deno.cwd()}/`);
  const joined = new Uint8Array(cwd.length + path.length);
  joined.set(cwd);
  joined.set(path, cwd.length);
  return joined;
}

/** With links followed, where the path is text and exists; otherwise as it is. */
function resolved(path: Uint8Array): Uint8Array {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(path);
    return new TextEncoder().encode(Deno.realPathSync(text));
  } catch {
    // Not text, not there, not ours to see, or on a dead mount: the caller says that nothing holds it.
    return path;
  }
}
