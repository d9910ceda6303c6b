/** The inodes of `MemoryFilesystem`: what they hold, and what changes them. */
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import type { Attributes } from "../../src/fuse/operations.ts";
import type { Timestamp } from "../../src/runtime/clock.ts";

export const TYPE = 0o170000;
export const DIRECTORY = 0o040000;
export const REGULAR = 0o100000;
export const LINK = 0o120000;
const LARGEST_FILE_BYTES = 64 * 1024 * 1024;

export interface Node {
  inode: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  bytes: Uint8Array;
  size: number;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
  parent: number;
  /** Latin-1 text of the name → (inode, cookie). */
  names: Map<string, { inode: number; cookie: number }> | undefined;
  xattrs: Map<string, Uint8Array>;
  lookups: number;
}

/** Names as text with one character per byte, so that any bytes make a key. */
export const key = (name: Uint8Array) => String.fromCharCode(...name);
export const bytesOf = (text: string) =>
  Uint8Array.from(text, (character) => character.charCodeAt(0));

export function makeNode(
  mode: number,
  now: Timestamp,
  of: { inode: number; parent: number; uid: number; gid: number },
): Node {
  const directory = (mode & TYPE) === DIRECTORY;
  return {
    inode: of.inode,
    mode,
    nlink: directory ? 2 : 1,
    uid: of.uid,
    gid: of.gid,
    rdev: 0,
    bytes: new Uint8Array(0),
    size: 0,
    atime: now,
    mtime: now,
    ctime: now,
    parent: of.parent,
    names: directory ? new Map() : undefined,
    xattrs: new Map(),
    lookups: 0,
  };
}

export function resize(node: Node, size: number, now: Timestamp): void {
  if (size > LARGEST_FILE_BYTES) throw new FsError(Errno.EFBIG);
  if (size > node.bytes.length) {
    const grown = new Uint8Array(Math.max(size, Math.min(2 * size, LARGEST_FILE_BYTES)));
    grown.set(node.bytes.subarray(0, node.size));
    node.bytes = grown;
  }
  if (size < node.size) node.bytes.fill(0, size, node.size);
  node.size = size;
  node.mtime = node.ctime = now;
}

/** Clears setuid, and setgid where the group may execute. */
export function killPrivileges(node: Node): void {
  node.mode &= node.mode & 0o010 ? ~0o6000 : ~0o4000;
}

export function attributesOf(node: Node): Attributes {
  const { inode, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime } = node;
  const blocks = Math.ceil(size / 512);
  return {
    inode,
    mode,
    nlink,
    uid,
    gid,
    rdev,
    size,
    blocks,
    blockSize: 4096,
    atime,
    mtime,
    ctime,
  };
}
