/**
 * Extended attributes. Owns which names exist: `user.`, `trusted.` and `security.` are stored, and so
 * are access control lists, which the mode follows; `user.zero.` is answered by the content half, and
 * of it only the pin can be set; the rest is not supported. Limits are Linux's own: 64 KiB for a value, 64 KiB for the list of names.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { GetxattrRequest, RequestHeader, SetxattrRequest } from "../fuse/operations.ts";
import { PIN_NAME } from "../metadata/pins.ts";
import { ACL_ACCESS, ACL_DEFAULT, decodeAcl, isPlain, modeOf } from "./acl.ts";
import { type Inode, isDirectory, isRegular } from "./inode.ts";
import type { NamespaceContext } from "./namespace_context.ts";
import { withAcl } from "./permissions.ts";

const MAXIMUM_NAME_BYTES = 255;
const MAXIMUM_VALUE_BYTES = 65_536;
const MAXIMUM_LIST_BYTES = 65_536;
const MAXIMUM_PIN_BYTES = 64;
const CREATE = 1;
const REPLACE = 2;

const encoder = new TextEncoder();
const VIRTUAL = encoder.encode("user.zero.");
const USER = encoder.encode("user.");
const TRUSTED = encoder.encode("trusted.");
const SECURITY = encoder.encode("security.");

export function getxattr(
  context: NamespaceContext,
  request: GetxattrRequest,
): Uint8Array | undefined {
  const inode = context.inodes.require(request.inode);
  assertKnown(request.name);
  if (startsWith(request.name, VIRTUAL)) return virtual(context, inode, request.name);
  return context.xattrs.get(inode.id, request.name);
}

function virtual(
  context: NamespaceContext,
  inode: Inode,
  name: Uint8Array,
): Uint8Array | undefined {
  const text = context.content.virtualXattr(inode, new TextDecoder().decode(name));
  return text === undefined ? undefined : encoder.encode(text);
}

/** The value that is there already changes nothing, not even times, as on ext4. */
export function setxattr(context: NamespaceContext, request: SetxattrRequest): void {
  if (equal(request.name, PIN_NAME)) {
    const text = new TextDecoder().decode(request.value.subarray(0, MAXIMUM_PIN_BYTES));
    return setPin(context, request, text);
  }
  const inode = changeable(context, request);
  if (request.value.length > MAXIMUM_VALUE_BYTES) throw new FsError(Errno.E2BIG);
  if ((request.flags & ~(CREATE | REPLACE)) !== 0) throw new FsError(Errno.EINVAL);
  if (isAcl(request.name)) return setAcl(context, inode, request);
  const before = context.xattrs.get(inode.id, request.name);
  const exists = before !== undefined;
  if (exists && (request.flags & CREATE) !== 0) throw new FsError(Errno.EEXIST);
  if (!exists && (request.flags & REPLACE) !== 0) throw new FsError(Errno.ENODATA);
  if (!exists) {
    const listed = context.xattrs.nameBytes(inode.id) + request.name.length + 1;
    if (listed > MAXIMUM_LIST_BYTES) throw new FsError(Errno.ENOSPC);
  }
  if (isSame(before, request.value)) return;
  context.database.transaction(() => {
    context.xattrs.set(inode.id, request.name, request.value);
    context.attributesChanged(inode, context.now());
  });
}

/** The user's veto on eviction, of a file or of all below a directory, as `zero pin` sets it. */
function setPin(
  context: NamespaceContext,
  request: RequestHeader,
  text: string | undefined,
): void {
  context.assertWritable();
  const inode = context.inodes.require(request.inode);
  if (!isRegular(inode) && !isDirectory(inode)) throw new FsError(Errno.EPERM);
  context.content.setPin(inode, text);
}

/** A list that the mode alone can say is not kept, and the mode always says what the list means. */
function setAcl(context: NamespaceContext, inode: Inode, request: SetxattrRequest): void {
  const acl = decodeAcl(request.value);
  const isDefault = equal(request.name, ACL_DEFAULT);
  if (isDefault && !isDirectory(inode)) throw new FsError(Errno.EACCES);
  const before = context.xattrs.get(inode.id, request.name);
  const after = isDefault || !isPlain(acl) ? request.value : undefined;
  const mode = isDefault ? inode.mode : withAcl(inode.mode, modeOf(acl), request.killSetgid);
  if (mode === inode.mode && isSame(before, after)) return;
  context.database.transaction(() => {
    if (after !== undefined) context.xattrs.set(inode.id, request.name, after);
    else context.xattrs.delete(inode.id, request.name);
    inode.mode = mode;
    context.attributesChanged(inode, context.now());
  });
}

const isSame = (before: Uint8Array | undefined, after: Uint8Array | undefined) =>
  before === undefined || after === undefined ? before === after : equal(before, after);

export function removexattr(context: NamespaceContext, request: GetxattrRequest): void {
  if (equal(request.name, PIN_NAME)) return setPin(context, request, undefined);
  const inode = changeable(context, request);
  if (context.xattrs.get(inode.id, request.name) === undefined) {
    // Without a list the mode is the list: there is nothing to remove, and nothing wrong.
    if (isAcl(request.name)) return;
    throw new FsError(Errno.ENODATA);
  }
  context.database.transaction(() => {
    context.xattrs.delete(inode.id, request.name);
    context.attributesChanged(inode, context.now());
  });
}

/** The names, each followed by NUL. `trusted.` is for root only, as in xattr(7). */
export function listxattr(context: NamespaceContext, request: RequestHeader): Uint8Array {
  const inode = context.inodes.require(request.inode);
  const names = context.xattrs.names(inode.id)
    .filter((name) => !startsWith(name, VIRTUAL))
    .filter((name) => request.uid === 0 || !startsWith(name, TRUSTED));
  const list = new Uint8Array(names.reduce((sum, name) => sum + name.length + 1, 0));
  let offset = 0;
  for (const name of names) {
    list.set(name, offset);
    offset += name.length + 1;
  }
  return list;
}

/** The inode, where `request` may set or remove the attribute that it names. */
function changeable(context: NamespaceContext, request: GetxattrRequest): Inode {
  context.assertWritable();
  const inode = context.inodes.require(request.inode);
  assertKnown(request.name);
  if (startsWith(request.name, VIRTUAL)) throw new FsError(Errno.EPERM);
  // xattr(7): everybody may write to some devices and symlinks; their attributes would be a free disk.
  if (startsWith(request.name, USER) && !isRegular(inode) && !isDirectory(inode)) {
    throw new FsError(Errno.EPERM);
  }
  return inode;
}

const isAcl = (name: Uint8Array) => equal(name, ACL_ACCESS) || equal(name, ACL_DEFAULT);

const equal = (a: Uint8Array, b: Uint8Array) => a.length === b.length && startsWith(a, b);

function assertKnown(name: Uint8Array): void {
  if (name.length > MAXIMUM_NAME_BYTES) throw new FsError(Errno.ERANGE);
  if (isAcl(name)) return;
  const prefix = [USER, TRUSTED, SECURITY].find((known) => startsWith(name, known));
  if (prefix === undefined) throw new FsError(Errno.EOPNOTSUPP);
  if (prefix.length === name.length) throw new FsError(Errno.EINVAL);
}

function startsWith(name: Uint8Array, prefix: Uint8Array): boolean {
  if (name.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) {
    if (name[i] !== prefix[i]) return false;
  }
  return true;
}
