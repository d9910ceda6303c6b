/** From names to inodes and back. Changes nothing but the kernel's lookup counts. */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { type Entry, isDots, type LookupRequest, type NegativeEntry } from "../fuse/operations.ts";
import { isDirectory, ROOT_INODE } from "./inode.ts";
import { entryType, type NamespaceContext } from "./namespace_context.ts";
import type { Commands } from "./protocol.ts";

const encoder = new TextEncoder();

export function lookup(context: NamespaceContext, request: LookupRequest): Entry | NegativeEntry {
  if (isDots(request.name)) return lookupHandle(context, request);
  const found = context.dentries.seek(request.inode, request.name);
  if (typeof found === "number") {
    const inode = context.inodes.require(found);
    if (!isDirectory(inode)) context.listers.lookedUp(request.inode);
    return context.entry(inode);
  }
  if (found !== undefined) {
    const entry = context.glanced(found);
    if (!isDirectory(entry.attributes)) context.listers.lookedUp(request.inode);
    return entry;
  }
  // Only a directory can say, and be believed, that it lacks a name.
  context.directory(request.inode);
  return context.negativeEntry();
}

/**
 * `.` and `..` are asked for by number alone, for file handles (open_by_handle_at(2), an NFS server)
 * of what the kernel has forgotten: the inode itself, of any type, or the parent of a directory.
 * ENOENT, which its holder sees as ESTALE, once it has no name.
 */
function lookupHandle(context: NamespaceContext, { inode: id, name }: LookupRequest): Entry {
  const inode = context.inodes.get(id);
  if (inode === undefined || inode.nlink === 0) throw new FsError(Errno.ENOENT);
  if (name.length === 1) return context.entry(inode);
  const parent = context.dentries.parentOf(context.directory(id).id);
  return context.entry(parent === undefined ? inode : context.inodes.require(parent));
}

/** FORGET: the kernel drops `count` lookups. */
export function forget(
  context: NamespaceContext,
  { inode, count }: { inode: number; count: number },
): void {
  if (context.lookups.subtract(inode, count) === 0) context.forgotten(inode);
}

/** The inode at a path below the root, given as names; undefined where there is none. Follows no symlinks. */
export function resolve(
  context: NamespaceContext,
  names: readonly Uint8Array[],
): number | undefined {
  let inode = ROOT_INODE;
  for (const name of names) {
    const row = context.dentries.find(inode, name);
    if (row === undefined) return undefined;
    inode = row.inode;
  }
  return inode;
}

/** One path of an inode, as names from the root down; empty for the root, undefined for the nameless. */
export function pathOf(context: NamespaceContext, inode: number): Uint8Array[] | undefined {
  const names: Uint8Array[] = [];
  for (let at = inode; at !== ROOT_INODE;) {
    const place = context.dentries.placeOf(at);
    if (place === undefined) return undefined;
    names.push(place.name);
    at = place.parent;
  }
  return names.reverse();
}

/** Up to `limit` names in a directory after the cookie `after`, without `.` and `..`. */
export function children(
  context: NamespaceContext,
  { inode, after, limit }: { inode: number; after: number; limit: number },
): Commands["children"][1] {
  if (!isDirectory(context.inodes.require(inode))) throw new FsError(Errno.ENOTDIR);
  return context.dentries.listContents(inode, { after, limit }).map((row) => {
    // Rows may be behind what is in memory.
    const { allocated, resident, dirty } = context.inodes.peek(row.inode) ?? row;
    return {
      name: typeof row.name === "string" ? encoder.encode(row.name) : row.name,
      inode: row.inode,
      type: entryType(row.mode),
      cookie: row.id,
      allocatedBytes: allocated,
      residentBytes: resident,
      dirty,
    };
  });
}
