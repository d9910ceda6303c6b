/**
 * Attributes of files in plain directories: sets all that the process may set, and says what it could
 * not. Never follows a link in the last name. Shared by export and import.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { printName } from "../domain/name_text.ts";
import type { Timestamp } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";

export interface Attributes {
  /** st_mode, with the type. */
  mode: number;
  uid: number;
  gid: number;
  atime: Timestamp;
  mtime: Timestamp;
  /** Access control lists, too. */
  xattrs: { name: Uint8Array; value: Uint8Array }[];
}

/** Who does it: root gives files away, others keep what they make. */
export interface Actor {
  uid: number;
  gid: number;
}

const { S } = libc;
const ACL_PREFIX = "system.posix_acl_";
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** Attributes that Zero makes up, and that mean nothing elsewhere. */
export function isVirtual(name: Uint8Array): boolean {
  return text(name).startsWith("user.zero.");
}

/** Sets everything, the times last. What could not be set, and why. */
export function applyAttributes(path: Uint8Array, wanted: Attributes, actor: Actor): string[] {
  const problems: string[] = [];
  const check = (what: string, result: number) => {
    if (result < 0) problems.push(`${what}: ${errnoName(-result)}`);
  };
  const isLink = (wanted.mode & S.IFMT) === S.IFLNK;
  // The owner first: it takes set-user-id and capabilities away.
  if (actor.uid === 0) check(`owner ${wanted.uid}:${wanted.gid}`, libc.lchown(path, wanted));
  for (const { name, value } of wanted.xattrs) {
    if (isVirtual(name)) continue;
    check(`attribute ${printName(name)}`, libc.lsetxattr(path, name, value));
  }
  if (!isLink) check("permissions", libc.chmod(path, permissionsFor(wanted, actor)));
  check("times", libc.lutimens(path, wanted));
  return problems;
}

/** Set-user-id and set-group-id must not serve another owner than the one they were meant for. */
function permissionsFor({ mode, uid, gid }: Attributes, actor: Actor): number {
  let bits = mode & 0o7777;
  if (actor.uid === 0) return bits;
  if (uid !== actor.uid) bits &= ~S.ISUID;
  if (gid !== actor.gid && (mode & S.IFMT) !== S.IFDIR) bits &= ~S.ISGID;
  return bits;
}

/** Extended attributes of a name and its access control lists; a negative errno where they cannot be read. */
export function readXattrs(path: Uint8Array): Attributes["xattrs"] | number {
  const names = libc.llistxattr(path);
  if (names === -Errno.EOPNOTSUPP) return [];
  if (typeof names === "number") return names;
  const xattrs: Attributes["xattrs"] = [];
  for (const name of names) {
    if (isVirtual(name)) continue;
    const value = libc.lgetxattr(path, name);
    if (value === -Errno.ENODATA) continue; // taken away meanwhile
    if (typeof value === "number") {
      // What another file system makes up (its own lists of rights, quotas) cannot be copied anyway.
      if (text(name).startsWith("system.") && !text(name).startsWith(ACL_PREFIX)) continue;
      return value;
    }
    xattrs.push({ name, value });
  }
  return xattrs;
}
