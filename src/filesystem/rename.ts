/**
 * rename(2) and renameat2(2): plain, NOREPLACE, EXCHANGE. All checks come before the first change, in
 * the order in which Linux makes them; what follows is one transaction.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { PARKED, type Parked, RenameFlag, type RenameRequest } from "../fuse/operations.ts";
import type { DentryRow } from "../metadata/dentry_table.ts";
import { assertEmptyDirectory, removeDirectory } from "./directories.ts";
import { type Inode, isDirectory, isRegular } from "./inode.ts";
import { dropName } from "./links.ts";
import type { NamespaceContext } from "./namespace_context.ts";

/** One end of a rename: a directory, and what its name stands for. */
interface Place {
  parent: Inode;
  dentry: DentryRow;
  inode: Inode;
}

export function rename(context: NamespaceContext, request: RenameRequest): void | Parked {
  context.assertWritable();
  const exchange = (request.flags & RenameFlag.EXCHANGE) !== 0;
  const noReplace = (request.flags & RenameFlag.NOREPLACE) !== 0;
  if (exchange && noReplace) throw new FsError(Errno.EINVAL);
  const oldParent = context.directory(request.inode);
  const newParent = context.directory(request.newParent);
  const source = place(context, oldParent, request.name);
  if (source === undefined) throw new FsError(Errno.ENOENT);
  const target = place(context, newParent, request.newName);
  if (target !== undefined && noReplace) throw new FsError(Errno.EEXIST);
  if (target === undefined && exchange) throw new FsError(Errno.ENOENT);
  assertNoLoop(context, { source, target, newParent, exchange });
  // Two names of one inode: rename(2) does nothing, and says that it succeeded.
  if (target?.inode === source.inode) return;
  if (exchange) return swap(context, source, target!);
  if (target === undefined) return move(context, source, { newParent, name: request.newName });
  assertReplaceable(context, source.inode, target.inode);
  if (isRegular(source.inode)) {
    if (context.content.beforeReplace(request, source.inode) === PARKED) return PARKED;
  }
  replace(context, source, { target, name: request.newName });
}

function place(context: NamespaceContext, parent: Inode, name: Uint8Array): Place | undefined {
  const dentry = context.dentries.find(parent.id, name);
  if (dentry === undefined) return undefined;
  return { parent, dentry, inode: context.inodes.require(dentry.inode) };
}

/** A directory must not become its own descendant; nor is one that holds the source ever in its way. */
function assertNoLoop(
  context: NamespaceContext,
  { source, target, newParent, exchange }: {
    source: Place;
    target: Place | undefined;
    newParent: Inode;
    exchange: boolean;
  },
): void {
  if (source.parent === newParent) return;
  if (isWithin(context, newParent.id, source.inode)) throw new FsError(Errno.EINVAL);
  if (target !== undefined && isWithin(context, source.parent.id, target.inode)) {
    throw new FsError(exchange ? Errno.EINVAL : Errno.ENOTEMPTY);
  }
}

/** Whether the directory `id` is `ancestor` or lies below it: O(depth). */
function isWithin(context: NamespaceContext, id: number, ancestor: Inode): boolean {
  if (!isDirectory(ancestor)) return false;
  for (let at: number | undefined = id; at !== undefined; at = context.dentries.parentOf(at)) {
    if (at === ancestor.id) return true;
  }
  return false;
}

function assertReplaceable(context: NamespaceContext, source: Inode, victim: Inode): void {
  if (isDirectory(source)) assertEmptyDirectory(context, victim);
  else if (isDirectory(victim)) throw new FsError(Errno.EISDIR);
}

function move(
  context: NamespaceContext,
  source: Place,
  { newParent, name }: { newParent: Inode; name: Uint8Array },
): void {
  const time = context.now();
  context.database.transaction(() => {
    context.dentries.move(source.dentry.id, newParent.id, name);
    if (isDirectory(source.inode)) {
      source.parent.nlink--;
      newParent.nlink++;
    }
    context.namesChanged(source.parent, time);
    if (newParent !== source.parent) context.namesChanged(newParent, time);
    context.attributesChanged(source.inode, time);
  });
  moved(context, source.inode);
}

/** Whatever is below a directory has moved with it. */
function moved(context: NamespaceContext, inode: Inode): void {
  if (isDirectory(inode)) context.content.moved(inode);
}

/** The name that is replaced keeps its row: whoever reads the directory meanwhile sees it exactly once. */
function replace(
  context: NamespaceContext,
  source: Place,
  { target, name }: { target: Place; name: Uint8Array },
): void {
  const victim = target.inode;
  const time = context.now();
  context.database.transaction(() => {
    context.dentries.delete(source.dentry.id);
    context.dentries.point(target.dentry.id, source.inode.id);
    if (isDirectory(victim)) {
      // The source, a directory as well, takes the victim's place among the links of the new parent.
      source.parent.nlink--;
      removeDirectory(context, victim);
      context.attributesChanged(victim, time);
    } else {
      dropName(context, victim, time);
    }
    context.namesChanged(source.parent, time);
    if (target.parent !== source.parent) context.namesChanged(target.parent, time);
    context.attributesChanged(source.inode, time);
    replacedContent(context, source.inode, { victim, name, parent: target.parent.id });
  });
  context.reap(victim);
  moved(context, source.inode);
}

function replacedContent(
  context: NamespaceContext,
  source: Inode,
  { victim, name, parent }: { victim: Inode; name: Uint8Array; parent: number },
): void {
  if (!isRegular(victim)) return;
  if (isRegular(source)) context.content.replaced(source, victim, name);
  else if (victim.nlink === 0) context.content.unlinked(victim, name, parent);
}

function swap(context: NamespaceContext, source: Place, target: Place): void {
  const difference = Number(isDirectory(target.inode)) - Number(isDirectory(source.inode));
  const time = context.now();
  context.database.transaction(() => {
    context.dentries.point(source.dentry.id, target.inode.id);
    context.dentries.point(target.dentry.id, source.inode.id);
    source.parent.nlink += difference;
    target.parent.nlink -= difference;
    context.namesChanged(source.parent, time);
    if (target.parent !== source.parent) context.namesChanged(target.parent, time);
    context.attributesChanged(source.inode, time);
    context.attributesChanged(target.inode, time);
  });
  moved(context, source.inode);
  moved(context, target.inode);
}
