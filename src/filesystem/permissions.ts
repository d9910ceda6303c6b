/**
 * Mode bits and owners that the kernel leaves to the file system (`default_permissions` does the
 * checks): what a new inode inherits, and when setuid and setgid are lost. Pure.
 */
import type { RequestHeader } from "../fuse/operations.ts";
import { FileType, type Inode } from "./inode.ts";

const SET_UID = 0o4000;
const SET_GID = 0o2000;
const GROUP_EXECUTE = 0o0010;
/** Everything in st_mode that is not the file's type. */
export const PERMISSION_BITS = 0o7777;

/** Owner and mode of an inode that `request` creates in `parent`. `mode` may carry setuid, setgid and sticky. */
export function ownership(
  request: RequestHeader,
  parent: Inode,
  { type, mode, umask }: { type: number; mode: number; umask: number },
): { mode: number; uid: number; gid: number } {
  const permissions = mode & PERMISSION_BITS & ~umask;
  // A setgid directory hands its group on, and itself to its child directories (mkdir(2)).
  if ((parent.mode & SET_GID) === 0) {
    return { mode: type | permissions, uid: request.uid, gid: request.gid };
  }
  const inherited = type === FileType.DIRECTORY ? SET_GID : 0;
  return { mode: type | permissions | inherited, uid: request.uid, gid: parent.gid };
}

/** `mode` with the permission bits of an access control list; setgid goes where its setter may not set it. */
export function withAcl(mode: number, permissions: number, killSetgid: boolean): number {
  const kept = mode & ~0o777 & (killSetgid ? ~SET_GID : ~0);
  return kept | permissions;
}

/**
 * `mode` without what a change by others must take away: setuid, and setgid where the group may
 * execute or the caller may not set it (`maySetGroupId`, asked only then). Directories keep theirs
 * (chown(2)). Source: `setattr_should_drop_suidgid` of Linux' fs/attr.c.
 */
export function withoutPrivileges(mode: number, maySetGroupId: () => boolean): number {
  if ((mode & FileType.MASK) === FileType.DIRECTORY) return mode;
  const kept = mode & ~SET_UID;
  if ((kept & SET_GID) === 0) return kept;
  return (kept & GROUP_EXECUTE) !== 0 || !maySetGroupId() ? kept & ~SET_GID : kept;
}
