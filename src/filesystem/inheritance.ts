/**
 * What a new inode has from its directory: owner, group, mode, and access control lists. A directory
 * with a default list decides instead of the umask.
 */
import type { RequestHeader } from "../fuse/operations.ts";
import {
  ACL_ACCESS,
  ACL_DEFAULT,
  decodeAcl,
  encodeAcl,
  inheritedAcl,
  isPlain,
  modeOf,
} from "./acl.ts";
import { FileType, type Inode } from "./inode.ts";
import type { NamespaceContext } from "./namespace_context.ts";
import { ownership } from "./permissions.ts";

const PERMISSIONS = 0o777;

export interface Inheritance {
  readonly owned: { mode: number; uid: number; gid: number };
  /** In transaction, once the inode is there: gives it its lists. */
  readonly complete: (inode: Inode) => void;
}

/** For an inode of `type` that `request` creates in `parent`. `mode` as asked for, before the umask. */
export function inherit(
  context: NamespaceContext,
  parent: Inode,
  { request, type, mode, umask }: {
    request: RequestHeader;
    type: number;
    mode: number;
    umask: number;
  },
): Inheritance {
  const standing = type === FileType.SYMLINK
    ? undefined
    : context.xattrs.get(parent.id, ACL_DEFAULT);
  if (standing === undefined) {
    return { owned: ownership(request, parent, { type, mode, umask }), complete: () => {} };
  }
  const acl = inheritedAcl(decodeAcl(standing), mode);
  const allowed = (mode & ~PERMISSIONS) | modeOf(acl);
  return {
    owned: ownership(request, parent, { type, mode: allowed, umask: 0 }),
    complete: (inode) => {
      if (type === FileType.DIRECTORY) context.xattrs.set(inode.id, ACL_DEFAULT, standing);
      if (!isPlain(acl)) context.xattrs.set(inode.id, ACL_ACCESS, encodeAcl(acl));
    },
  };
}
