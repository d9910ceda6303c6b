/**
 * The specification of the namespace, as plainly as it can be written: a tree of objects in memory,
 * with link counts counted afresh each time and no thought of speed. Shares no code with the file
 * system that is compared with it, but errno numbers and the words of the seam.
 *
 * What it says is what Linux does on a local file system (rename(2), xattr(7), inode(7)), seen by a
 * caller whom the kernel has already let through.
 */
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import type { Timestamp } from "../../src/runtime/clock.ts";

export type ReferenceType = "directory" | "file" | "symlink" | "fifo" | "socket" | "block" | "char";

const TYPE_BITS: Record<ReferenceType, number> = {
  socket: 0o14,
  symlink: 0o12,
  file: 0o10,
  block: 0o6,
  directory: 0o4,
  char: 0o2,
  fifo: 0o1,
};

/** Names are held as strings of one character per byte. */
export const nameKey = (name: Uint8Array) => String.fromCharCode(...name);

export class ReferenceNode {
  readonly children = new Map<string, ReferenceNode>();
  readonly xattrs = new Map<string, Uint8Array>();
  /** Permission bits with setuid, setgid and sticky. */
  permissions = 0;
  uid = 0;
  gid = 0;
  rdev = 0;
  size = 0;
  target: Uint8Array | undefined;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
  /** A directory that rmdir or rename has taken out of the tree. */
  removed = false;

  constructor(readonly type: ReferenceType, time: Timestamp) {
    this.atime = this.mtime = this.ctime = time;
    if (type === "directory") this.size = 4096;
  }

  get mode(): number {
    return (TYPE_BITS[this.type] << 12) | this.permissions;
  }
}

interface Creator {
  uid: number;
  gid: number;
  mode: number;
  umask: number;
}

function refuse(errno: number): never {
  throw new FsError(errno);
}

export class ReferenceFilesystem {
  readonly root: ReferenceNode;
  /** The time of the operation that comes next. */
  time: Timestamp;
  readOnly = false;

  constructor(time: Timestamp) {
    this.time = time;
    this.root = new ReferenceNode("directory", time);
    this.root.permissions = 0o755;
  }

  /** Every node that has a name, the root first, each once. */
  reachable(): Set<ReferenceNode> {
    const found = new Set([this.root]);
    for (const node of found) node.children.forEach((child) => found.add(child));
    return found;
  }

  /** st_nlink of everything that has a name: names, or, for directories, 2 and one per child directory. */
  linkCounts(): Map<ReferenceNode, number> {
    const counts = new Map<ReferenceNode, number>();
    const count = (node: ReferenceNode) => counts.set(node, (counts.get(node) ?? 0) + 1);
    for (const node of this.reachable()) {
      if (node.type === "directory") counts.set(node, (counts.get(node) ?? 0) + 2);
      for (const child of node.children.values()) {
        count(child.type === "directory" ? node : child);
      }
    }
    return counts;
  }

  parent(node: ReferenceNode): ReferenceNode {
    for (const directory of this.reachable()) {
      if ([...directory.children.values()].includes(node)) return directory;
    }
    return node;
  }

  lookup(directory: ReferenceNode, name: string): ReferenceNode | undefined {
    this.#usable(directory);
    return directory.children.get(name);
  }

  list(directory: ReferenceNode): Map<string, ReferenceNode> {
    this.#usable(directory);
    this.#accessed(directory);
    return new Map([[".", directory], ["..", this.parent(directory)], ...directory.children]);
  }

  create(
    directory: ReferenceNode,
    name: string,
    options: Creator & { type: ReferenceType; rdev?: number; target?: Uint8Array },
  ): ReferenceNode {
    this.#writable();
    this.#usable(directory);
    if (directory.children.has(name)) refuse(Errno.EEXIST);
    const node = this.#node(directory, options);
    if (node.type === "block" || node.type === "char") node.rdev = options.rdev ?? 0;
    if (options.target !== undefined) {
      node.target = options.target;
      node.size = options.target.length;
    }
    directory.children.set(name, node);
    this.#changed(directory);
    return node;
  }

  temporary(directory: ReferenceNode, options: Creator): ReferenceNode {
    this.#writable();
    this.#usable(directory);
    return this.#node(directory, { ...options, type: "file" });
  }

  link(directory: ReferenceNode, name: string, target: ReferenceNode): void {
    this.#writable();
    this.#usable(directory);
    if (directory.children.has(name)) refuse(Errno.EEXIST);
    if (target.type === "directory") refuse(Errno.EPERM);
    directory.children.set(name, target);
    this.#changed(directory);
    target.ctime = this.time;
  }

  unlink(directory: ReferenceNode, name: string): void {
    this.#writable();
    this.#usable(directory);
    const node = directory.children.get(name) ?? refuse(Errno.ENOENT);
    if (node.type === "directory") refuse(Errno.EISDIR);
    directory.children.delete(name);
    this.#changed(directory);
    node.ctime = this.time;
  }

  rmdir(directory: ReferenceNode, name: string): void {
    this.#writable();
    this.#usable(directory);
    const node = directory.children.get(name) ?? refuse(Errno.ENOENT);
    if (node.type !== "directory") refuse(Errno.ENOTDIR);
    if (node.children.size > 0) refuse(Errno.ENOTEMPTY);
    directory.children.delete(name);
    node.removed = true;
    this.#changed(directory);
    node.ctime = this.time;
  }

  rename(
    from: { directory: ReferenceNode; name: string },
    to: { directory: ReferenceNode; name: string },
    { exchange, noReplace }: { exchange: boolean; noReplace: boolean },
  ): void {
    this.#writable();
    if (exchange && noReplace) refuse(Errno.EINVAL);
    this.#usable(from.directory);
    this.#usable(to.directory);
    const source = from.directory.children.get(from.name) ?? refuse(Errno.ENOENT);
    const target = to.directory.children.get(to.name);
    if (noReplace && target !== undefined) refuse(Errno.EEXIST);
    if (exchange && target === undefined) refuse(Errno.ENOENT);
    if (from.directory !== to.directory) {
      if (contains(source, to.directory)) refuse(Errno.EINVAL);
      if (target !== undefined && contains(target, from.directory)) {
        refuse(exchange ? Errno.EINVAL : Errno.ENOTEMPTY);
      }
    }
    if (source === target) return;
    if (exchange) {
      from.directory.children.set(from.name, target!);
      target!.ctime = this.time;
    } else {
      if (target !== undefined) this.#makeWay(source, target);
      from.directory.children.delete(from.name);
    }
    to.directory.children.set(to.name, source);
    source.ctime = this.time;
    this.#changed(from.directory);
    this.#changed(to.directory);
  }

  #makeWay(source: ReferenceNode, target: ReferenceNode): void {
    if (source.type === "directory" && target.type !== "directory") refuse(Errno.ENOTDIR);
    if (source.type !== "directory" && target.type === "directory") refuse(Errno.EISDIR);
    if (target.children.size > 0) refuse(Errno.ENOTEMPTY);
    if (target.type === "directory") target.removed = true;
    target.ctime = this.time;
  }

  readlink(node: ReferenceNode): Uint8Array {
    const target = node.target ?? refuse(Errno.EINVAL);
    this.#accessed(node);
    return target;
  }

  setAttributes(node: ReferenceNode, set: {
    mode?: number;
    uid?: number;
    gid?: number;
    size?: number;
    atime?: Timestamp | "now";
    mtime?: Timestamp | "now";
    killPrivileges: boolean;
  }): void {
    this.#writable();
    if (set.size !== undefined) {
      if (node.type === "directory") refuse(Errno.EISDIR);
      if (node.type !== "file") refuse(Errno.EINVAL);
      node.size = set.size;
      node.mtime = this.time;
    }
    if (set.mode !== undefined) node.permissions = set.mode & 0o7777;
    const givenAway = (set.uid !== undefined || set.gid !== undefined) && set.mode === undefined;
    node.uid = set.uid ?? node.uid;
    node.gid = set.gid ?? node.gid;
    if ((set.killPrivileges || givenAway) && node.type !== "directory") {
      node.permissions &= ~0o4000;
      if (node.permissions & 0o10) node.permissions &= ~0o2000;
      node.xattrs.delete("security.capability");
    }
    if (set.atime !== undefined) node.atime = set.atime === "now" ? this.time : set.atime;
    if (set.mtime !== undefined) node.mtime = set.mtime === "now" ? this.time : set.mtime;
    node.ctime = this.time;
  }

  getXattr(node: ReferenceNode, name: string): Uint8Array {
    checkXattrName(name);
    return node.xattrs.get(name) ?? refuse(Errno.ENODATA);
  }

  setXattr(
    node: ReferenceNode,
    name: string,
    { value, create, replace }: { value: Uint8Array; create: boolean; replace: boolean },
  ): void {
    this.#xattrWritable(node, name);
    if (value.length > 65536) refuse(Errno.E2BIG);
    if (create && node.xattrs.has(name)) refuse(Errno.EEXIST);
    if (replace && !node.xattrs.has(name)) refuse(Errno.ENODATA);
    node.xattrs.set(name, value);
    node.ctime = this.time;
  }

  removeXattr(node: ReferenceNode, name: string): void {
    this.#xattrWritable(node, name);
    if (!node.xattrs.delete(name)) refuse(Errno.ENODATA);
    node.ctime = this.time;
  }

  listXattr(node: ReferenceNode, { uid }: { uid: number }): string[] {
    return [...node.xattrs.keys()].filter((name) => uid === 0 || !name.startsWith("trusted."));
  }

  #xattrWritable(node: ReferenceNode, name: string): void {
    this.#writable();
    checkXattrName(name);
    if (name.startsWith("user.zero.")) refuse(Errno.EPERM);
    if (name.startsWith("user.") && node.type !== "file" && node.type !== "directory") {
      refuse(Errno.EPERM);
    }
  }

  #node(directory: ReferenceNode, options: Creator & { type: ReferenceType }): ReferenceNode {
    const node = new ReferenceNode(options.type, this.time);
    node.permissions = options.type === "symlink" ? 0o777 : options.mode & 0o7777 & ~options.umask;
    node.uid = options.uid;
    node.gid = options.gid;
    if (directory.permissions & 0o2000) {
      node.gid = directory.gid;
      if (options.type === "directory") node.permissions |= 0o2000;
    }
    return node;
  }

  #writable(): void {
    if (this.readOnly) refuse(Errno.EROFS);
  }

  /** The rule of relatime (mount(8)): at the first look after a change, and once a day. */
  #accessed(node: ReferenceNode): void {
    const ns = (time: Timestamp) =>
      BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds);
    const [atime, mtime, ctime] = [node.atime, node.mtime, node.ctime].map(ns);
    const old = this.time.seconds - node.atime.seconds >= 86_400;
    if (!this.readOnly && (atime <= mtime || atime <= ctime || old)) node.atime = this.time;
  }

  #usable(directory: ReferenceNode): void {
    if (directory.type !== "directory") refuse(Errno.ENOTDIR);
    if (directory.removed) refuse(Errno.ENOENT);
  }

  #changed(directory: ReferenceNode): void {
    directory.mtime = directory.ctime = this.time;
  }
}

/** Whether `node` is `inner` or lies above it. */
function contains(node: ReferenceNode, inner: ReferenceNode): boolean {
  const below = new Set([node]);
  for (const each of below) each.children.forEach((child) => below.add(child));
  return node.type === "directory" && below.has(inner);
}

function checkXattrName(name: string): void {
  const known = ["user.", "trusted.", "security."].find((prefix) => name.startsWith(prefix));
  if (known === undefined) refuse(Errno.EOPNOTSUPP);
  if (known === name) refuse(Errno.EINVAL);
}
