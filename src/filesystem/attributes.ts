/**
 * stat and its opposites: chmod, chown, utimens, truncate. Size and content are the content half's;
 * the kernel has checked who may do what.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import {
  type AttributeReply,
  type GetattrRequest,
  PARKED,
  type Parked,
  type RequestHeader,
  type SetattrRequest,
} from "../fuse/operations.ts";
import type { Timestamp } from "../runtime/clock.ts";
import { ACL_ACCESS, decodeAcl, encodeAcl, withMode } from "./acl.ts";
import { maySetGroupId } from "./caller.ts";
import { FileType, type Inode, isDirectory, isRegular } from "./inode.ts";
import type { NamespaceContext } from "./namespace_context.ts";
import { PERMISSION_BITS, withoutPrivileges } from "./permissions.ts";

/** File capabilities: a privilege like setuid, kept in an xattr. */
const CAPABILITY = new TextEncoder().encode("security.capability");

export function getattr(context: NamespaceContext, request: GetattrRequest): AttributeReply {
  return context.attributeReply(context.inodes.require(request.inode));
}

export function setattr(
  context: NamespaceContext,
  request: SetattrRequest,
): AttributeReply | Parked {
  context.assertWritable();
  const inode = context.inodes.require(request.inode);
  if (request.size !== undefined) {
    if (isDirectory(inode)) throw new FsError(Errno.EISDIR);
    if (!isRegular(inode)) throw new FsError(Errno.EINVAL);
    if (context.content.resize(request, inode, request.size) === PARKED) return PARKED;
  }
  if (request.size === undefined || setsMoreThanSize(request)) {
    // Whoever unpacks an archive sets times, owner and mode of each file before closing it: they are written
    // with its size then, like it after a second at the latest.
    if (context.content.isBeingWritten(inode.id) && context.xattrs.knowsBare(inode.id)) {
      apply(context, inode, request);
      context.inodes.touch(inode);
      context.content.changed(inode);
    } else {
      context.database.transaction(() => {
        apply(context, inode, request);
        context.inodes.write(inode);
        context.content.changed(inode);
      });
    }
  }
  return context.attributeReply(inode);
}

const setsMoreThanSize = (request: SetattrRequest) =>
  request.mode !== undefined || request.newOwner !== undefined ||
  request.newGroup !== undefined || request.atime !== undefined ||
  request.mtime !== undefined || request.ctime !== undefined || request.killPrivileges;

/** Changes the record, and attributes that go with it where there are some. The caller writes the record. */
function apply(context: NamespaceContext, inode: Inode, request: SetattrRequest): void {
  const now = context.now();
  const group = inode.gid;
  if (request.mode !== undefined) {
    inode.mode = (inode.mode & FileType.MASK) | (request.mode & PERMISSION_BITS);
    const acl = context.xattrs.get(inode.id, ACL_ACCESS);
    if (acl !== undefined) {
      context.xattrs.set(inode.id, ACL_ACCESS, encodeAcl(withMode(decodeAcl(acl), request.mode)));
    }
  }
  const ownerChanges = request.newOwner !== undefined || request.newGroup !== undefined;
  if (request.newOwner !== undefined) inode.uid = request.newOwner;
  if (request.newGroup !== undefined) inode.gid = request.newGroup;
  // A mode that comes along with a new owner is the kernel's, which has done this itself.
  if (request.killPrivileges || (ownerChanges && request.mode === undefined)) {
    dropPrivileges(context, inode, () => maySetGroupId(request, group));
  }
  if (request.atime !== undefined) {
    const atime = pick(request.atime, now);
    inode.atimeS = atime.seconds;
    inode.atimeNs = atime.nanoseconds;
  }
  if (request.mtime !== undefined) {
    const mtime = pick(request.mtime, now);
    inode.mtimeS = mtime.seconds;
    inode.mtimeNs = mtime.nanoseconds;
  }
  const ctime = request.ctime ?? now;
  inode.ctimeS = ctime.seconds;
  inode.ctimeNs = ctime.nanoseconds;
}

const pick = (time: Timestamp | "now", now: Timestamp) => time === "now" ? now : time;

/** Takes setuid, setgid and file capabilities away, in the record and the xattrs; the caller writes the record. */
function dropPrivileges(
  context: NamespaceContext,
  inode: Inode,
  keepsGroup: () => boolean,
): void {
  if (isDirectory(inode)) return;
  inode.mode = withoutPrivileges(inode.mode, keepsGroup);
  context.xattrs.delete(inode.id, CAPABILITY);
}

/**
 * For whoever changes content on behalf of a caller without privileges (`killPrivileges` of OPEN,
 * CREATE, WRITE): the same, written. Costs nothing where there is nothing to lose but one query.
 */
export function killPrivileges(
  context: NamespaceContext,
  inode: Inode,
  request: RequestHeader,
): void {
  if (isDirectory(inode)) return;
  const keepsGroup = () => maySetGroupId(request, inode.gid);
  const loses = withoutPrivileges(inode.mode, keepsGroup) !== inode.mode ||
    context.xattrs.get(inode.id, CAPABILITY) !== undefined;
  if (!loses) return;
  context.database.transaction(() => {
    dropPrivileges(context, inode, keepsGroup);
    context.attributesChanged(inode, context.now());
  });
}

/** The same for a caller with privileges: setuid and setgid stay, file capabilities do not. */
export function loseCapabilities(context: NamespaceContext, inode: Inode): void {
  if (context.xattrs.get(inode.id, CAPABILITY) === undefined) return;
  context.database.transaction(() => {
    context.xattrs.delete(inode.id, CAPABILITY);
    context.attributesChanged(inode, context.now());
  });
}
