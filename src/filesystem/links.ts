/** Everything that gives an inode a name or takes one away, but directories and rename. */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type {
  CreateRequest,
  Entry,
  LinkRequest,
  MknodRequest,
  RequestHeader,
  SymlinkRequest,
  UnlinkRequest,
} from "../fuse/operations.ts";
import type { NewInode } from "../metadata/inode_table.ts";
import type { Timestamp } from "../runtime/clock.ts";
import { inherit } from "./inheritance.ts";
import { FileType, type Inode, isDirectory, isRegular } from "./inode.ts";
import { MAXIMUM_LINKS, type NamespaceContext } from "./namespace_context.ts";

export function symlink(context: NamespaceContext, request: SymlinkRequest): Entry {
  return context.entry(add(context, request, {
    type: FileType.SYMLINK,
    mode: 0o777,
    umask: 0,
    more: { size: request.target.length, target: request.target },
  }));
}

export function readlink(context: NamespaceContext, request: RequestHeader): Uint8Array {
  const inode = context.inodes.require(request.inode);
  if (inode.target === undefined) throw new FsError(Errno.EINVAL);
  context.accessed(inode);
  return inode.target;
}

/** Devices, FIFOs, sockets and empty regular files. */
export function mknod(context: NamespaceContext, request: MknodRequest): Entry {
  const type = request.mode & FileType.MASK;
  switch (type) {
    case FileType.REGULAR:
    case FileType.FIFO:
    case FileType.SOCKET:
    case FileType.BLOCK:
    case FileType.CHARACTER:
      break;
    default:
      throw new FsError(type === FileType.DIRECTORY ? Errno.EPERM : Errno.EINVAL);
  }
  const isDevice = type === FileType.BLOCK || type === FileType.CHARACTER;
  const { mode, umask } = request;
  const more = { rdev: isDevice ? request.rdev : 0 };
  return context.entry(add(context, request, { type, mode, umask, more }));
}

/**
 * The regular file that CREATE makes, or, where the request's name is empty, the nameless one of
 * TMPFILE. Joins the caller's transaction. The caller replies with `entry`, which counts the lookup.
 */
export function createFile(
  context: NamespaceContext,
  request: CreateRequest,
  born?: NewInode["born"],
): Inode {
  const { mode, umask } = request;
  const kind = { type: FileType.REGULAR, mode, umask, more: { born } };
  if (request.name.length > 0) return add(context, request, kind);
  context.assertWritable();
  const parent = context.directory(request.inode);
  const { owned, complete } = inherit(context, parent, { request, ...kind });
  return context.database.transaction(() => {
    const inode = context.inodes.insert({ ...owned, born, nlink: 0, time: context.now() });
    context.xattrs.isBare(inode.id);
    complete(inode);
    context.orphan(inode);
    return inode;
  });
}

/** Adds one inode under a free name. */
function add(
  context: NamespaceContext,
  request: RequestHeader & { readonly name: Uint8Array },
  kind: { type: number; mode: number; umask: number; more?: Partial<NewInode> },
): Inode {
  context.assertWritable();
  const parent = context.directory(request.inode);
  if (context.dentries.find(parent.id, request.name) !== undefined) throw new FsError(Errno.EEXIST);
  const { owned, complete } = inherit(context, parent, { request, ...kind });
  const time = context.now();
  return context.database.transaction(() => {
    const inode = context.inodes.insert({ ...kind.more, ...owned, nlink: 1, time });
    context.xattrs.isBare(inode.id);
    complete(inode);
    context.dentries.insert(parent.id, request.name, inode.id);
    context.namesChanged(parent, time);
    return inode;
  });
}

export function link(context: NamespaceContext, request: LinkRequest): Entry {
  context.assertWritable();
  const parent = context.directory(request.inode);
  const inode = context.inodes.require(request.target);
  if (context.dentries.find(parent.id, request.name) !== undefined) throw new FsError(Errno.EEXIST);
  if (isDirectory(inode)) throw new FsError(Errno.EPERM);
  if (inode.nlink >= MAXIMUM_LINKS) throw new FsError(Errno.EMLINK);
  const time = context.now();
  context.database.transaction(() => {
    context.dentries.insert(parent.id, request.name, inode.id);
    context.namesChanged(parent, time);
    // Without a name it is an O_TMPFILE: the kernel lets no other nameless inode be linked.
    if (inode.nlink++ === 0) context.adopt(inode);
    context.attributesChanged(inode, time);
  });
  return context.entry(inode);
}

export function unlink(context: NamespaceContext, request: UnlinkRequest): void {
  context.assertWritable();
  const parent = context.directory(request.inode);
  const dentry = context.dentries.find(parent.id, request.name);
  if (dentry === undefined) throw new FsError(Errno.ENOENT);
  const inode = context.inodes.require(dentry.inode);
  if (isDirectory(inode)) throw new FsError(Errno.EISDIR);
  const time = context.now();
  context.database.transaction(() => {
    context.dentries.remove(parent.id, request.name, dentry.id);
    context.namesChanged(parent, time);
    dropName(context, inode, time);
    if (inode.nlink === 0 && isRegular(inode)) {
      context.content.unlinked(inode, request.name, parent.id);
    }
  });
  context.reap(inode);
}

/** In transaction: an inode that is no directory has one name less. */
export function dropName(context: NamespaceContext, inode: Inode, time: Timestamp): void {
  inode.nlink--;
  if (inode.nlink === 0) context.orphan(inode);
  context.attributesChanged(inode, time);
}
