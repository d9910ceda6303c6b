/**
 * POSIX access control lists: their bytes, and how they and the mode follow each other. The kernel
 * checks them; the file system keeps them. Pure. The rules are those of Linux' fs/posix_acl.c.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";

const encoder = new TextEncoder();
/** Names of the attributes that hold the lists. */
export const ACL_ACCESS = encoder.encode("system.posix_acl_access");
export const ACL_DEFAULT = encoder.encode("system.posix_acl_default");

/** What an entry is for, as in linux/posix_acl_xattr.h. */
const Tag = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 16, OTHER: 32 } as const;
const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;

interface AclEntry {
  readonly tag: number;
  /** rwx, as three bits. */
  permissions: number;
  /** uid or gid where the tag is USER or GROUP. */
  readonly id: number;
}

export type Acl = AclEntry[];

/** Reads the value of an attribute. Throws EINVAL where it is not a list that a mode can follow. */
export function decodeAcl(bytes: Uint8Array): Acl {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = bytes.length - HEADER_BYTES;
  if (size < 0 || size % ENTRY_BYTES !== 0 || view.getUint32(0, true) !== VERSION) {
    throw new FsError(Errno.EINVAL, "not an access control list");
  }
  const acl: Acl = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    acl.push({
      tag: view.getUint16(at, true),
      permissions: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
    });
  }
  const once = (tag: number) => acl.filter((entry) => entry.tag === tag).length === 1;
  if (!once(Tag.USER_OBJ) || !once(Tag.GROUP_OBJ) || !once(Tag.OTHER)) {
    throw new FsError(Errno.EINVAL, "an access control list without owner, group or others");
  }
  return acl;
}

export function encodeAcl(acl: Acl): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + acl.length * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, VERSION, true);
  acl.forEach(({ tag, permissions, id }, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, id, true);
  });
  return bytes;
}

const entry = (acl: Acl, tag: number) => acl.find((each) => each.tag === tag);
/** The entry that the group's bits of the mode stand for: the mask, where there is one. */
const groupClass = (acl: Acl) => entry(acl, Tag.MASK) ?? entry(acl, Tag.GROUP_OBJ)!;

/** The nine permission bits that a list means. */
export function modeOf(acl: Acl): number {
  return entry(acl, Tag.USER_OBJ)!.permissions << 6 | groupClass(acl).permissions << 3 |
    entry(acl, Tag.OTHER)!.permissions;
}

/** Whether the mode alone says as much as the list: then the list is not kept. */
export function isPlain(acl: Acl): boolean {
  return acl.every(({ tag }) => tag === Tag.USER_OBJ || tag === Tag.GROUP_OBJ || tag === Tag.OTHER);
}

/** The list after chmod to `mode`. */
export function withMode(acl: Acl, mode: number): Acl {
  const changed = acl.map((each) => ({ ...each }));
  entry(changed, Tag.USER_OBJ)!.permissions = mode >> 6 & 7;
  groupClass(changed).permissions = mode >> 3 & 7;
  entry(changed, Tag.OTHER)!.permissions = mode & 7;
  return changed;
}

/** The access list of what is created with `mode` under a directory with this default list. */
export function inheritedAcl(acl: Acl, mode: number): Acl {
  return withMode(acl, mode & modeOf(acl));
}
