/**
 * A small but complete file system in memory, for tests of what stands around a file system: the
 * session, the mount, the harness itself. Times come from the given clock. Its only deliberate
 * shortcoming: it holds every byte in memory, and files end at 64 MiB (EFBIG).
 */
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import type { Timestamp } from "../../src/runtime/clock.ts";
import {
  attributesOf,
  bytesOf,
  DIRECTORY,
  key,
  killPrivileges,
  LINK,
  makeNode,
  type Node,
  REGULAR,
  resize,
  TYPE,
} from "./memory_node.ts";
import type * as fuse from "../../src/fuse/operations.ts";

const O_TRUNC = 0o1000;

export class MemoryFilesystem implements fuse.FilesystemOperations {
  readonly nodes = new Map<number, Node>();
  readonly interrupts: number[] = [];
  destroyed = 0;
  timeoutMs = 1000;
  #nextInode = 2;
  #nextCookie = 3;

  constructor(
    private readonly now: () => Timestamp,
    private readonly owner = { uid: 0, gid: 0 },
  ) {
    this.nodes.set(1, makeNode(DIRECTORY | 0o755, this.now(), { inode: 1, parent: 1, ...owner }));
  }

  lookup(request: fuse.LookupRequest): fuse.Entry | fuse.NegativeEntry {
    const found = this.#names(request.inode).get(key(request.name));
    if (found === undefined) return { negative: true, entryTimeoutMs: this.timeoutMs };
    return this.#entry(this.#node(found.inode));
  }

  forget(inode: number, count: number): void {
    const node = this.nodes.get(inode);
    if (node === undefined) return;
    node.lookups -= count;
    this.#reap(node);
  }

  getattr(request: fuse.GetattrRequest): fuse.AttributeReply {
    return this.#attributeReply(this.#node(request.inode));
  }

  setattr(request: fuse.SetattrRequest): fuse.AttributeReply {
    const node = this.#node(request.inode);
    const time = (value: Timestamp | "now") => value === "now" ? this.now() : value;
    if (request.size !== undefined) resize(node, request.size, this.now());
    if (request.mode !== undefined) node.mode = (node.mode & TYPE) | (request.mode & 0o7777);
    if (request.newOwner !== undefined) node.uid = request.newOwner;
    if (request.newGroup !== undefined) node.gid = request.newGroup;
    if (request.atime !== undefined) node.atime = time(request.atime);
    if (request.mtime !== undefined) node.mtime = time(request.mtime);
    if (request.killPrivileges) killPrivileges(node);
    node.ctime = request.ctime ?? this.now();
    return this.#attributeReply(node);
  }

  readlink(request: fuse.RequestHeader): Uint8Array {
    return this.#node(request.inode).bytes;
  }

  symlink(request: fuse.SymlinkRequest): fuse.Entry {
    const node = this.#create(request, LINK | 0o777);
    node.bytes = request.target;
    node.size = request.target.length;
    return this.#entry(node);
  }

  mknod(request: fuse.MknodRequest): fuse.Entry {
    const node = this.#create(request, request.mode & ~request.umask);
    node.rdev = request.rdev;
    return this.#entry(node);
  }

  mkdir(request: fuse.MkdirRequest): fuse.Entry {
    const mode = DIRECTORY | (request.mode & ~request.umask & 0o7777);
    const node = this.#create(request, mode);
    this.#node(request.inode).nlink++;
    return this.#entry(node);
  }

  unlink(request: fuse.UnlinkRequest): void {
    const names = this.#names(request.inode);
    const found = names.get(key(request.name));
    if (found === undefined) throw new FsError(Errno.ENOENT);
    const node = this.#node(found.inode);
    if (node.names !== undefined) throw new FsError(Errno.EISDIR);
    names.delete(key(request.name));
    this.#drop(node);
  }

  rmdir(request: fuse.UnlinkRequest): void {
    const names = this.#names(request.inode);
    const found = names.get(key(request.name));
    if (found === undefined) throw new FsError(Errno.ENOENT);
    const node = this.#node(found.inode);
    if (this.#names(found.inode).size > 0) throw new FsError(Errno.ENOTEMPTY);
    names.delete(key(request.name));
    this.#node(request.inode).nlink--;
    node.nlink = 1;
    this.#drop(node);
  }

  rename(request: fuse.RenameRequest): void {
    const from = this.#names(request.inode);
    const to = this.#names(request.newParent);
    const moved = from.get(key(request.name));
    const replaced = to.get(key(request.newName));
    if (moved === undefined) throw new FsError(Errno.ENOENT);
    if (request.flags !== 0) {
      if (request.flags === 1 && replaced !== undefined) throw new FsError(Errno.EEXIST);
      if (request.flags === 2) {
        if (replaced === undefined) throw new FsError(Errno.ENOENT);
        from.set(key(request.name), { ...replaced, cookie: moved.cookie });
        to.set(key(request.newName), { ...moved, cookie: replaced.cookie });
        return;
      }
    }
    if (replaced?.inode === moved.inode) return;
    if (replaced !== undefined) {
      const target = this.#node(replaced.inode);
      if (target.names !== undefined && target.names.size > 0) throw new FsError(Errno.ENOTEMPTY);
      to.delete(key(request.newName));
      this.#drop(target);
    }
    from.delete(key(request.name));
    to.set(key(request.newName), { inode: moved.inode, cookie: this.#nextCookie++ });
    const node = this.#node(moved.inode);
    node.ctime = this.now();
    if (node.names !== undefined && request.inode !== request.newParent) {
      this.#node(request.inode).nlink--;
      this.#node(request.newParent).nlink++;
      node.parent = request.newParent;
    }
  }

  link(request: fuse.LinkRequest): fuse.Entry {
    const node = this.#node(request.target);
    this.#add(request.inode, request.name, node);
    node.nlink++;
    return this.#entry(node);
  }

  open(request: fuse.OpenRequest): fuse.OpenReply {
    const node = this.#node(request.inode);
    if (request.flags & O_TRUNC) resize(node, 0, this.now());
    if (request.killPrivileges) killPrivileges(node);
    return { handle: request.inode, flags: 0 };
  }

  create(request: fuse.CreateRequest): fuse.CreateReply {
    const node = this.#create(request, REGULAR | (request.mode & ~request.umask & 0o7777));
    return { entry: this.#entry(node), open: { handle: node.inode, flags: 0 } };
  }

  tmpfile(request: fuse.CreateRequest): fuse.CreateReply {
    const node = makeNode(REGULAR | (request.mode & ~request.umask & 0o7777), this.now(), {
      ...request,
      inode: this.#nextInode++,
      parent: request.inode,
    });
    node.nlink = 0;
    this.nodes.set(node.inode, node);
    return { entry: this.#entry(node), open: { handle: node.inode, flags: 0 } };
  }

  read(request: fuse.ReadRequest, into: Uint8Array): number | fuse.Parked {
    const node = this.#node(request.inode);
    const end = Math.min(node.size, request.offset + into.length);
    if (end <= request.offset) return 0;
    into.set(node.bytes.subarray(request.offset, end));
    return end - request.offset;
  }

  write(request: fuse.WriteRequest): number {
    const node = this.#node(request.inode);
    const end = request.offset + request.data.length;
    if (end > node.size) resize(node, end, this.now());
    node.bytes.set(request.data, request.offset);
    node.mtime = node.ctime = this.now();
    if (request.killPrivileges) killPrivileges(node);
    return request.data.length;
  }

  flush(): void {}
  release(_request: fuse.ReleaseRequest): void {}
  fsync(): void {}
  fsyncdir(): void {}

  readdir(request: fuse.ReaddirRequest, filler: fuse.DirectoryFiller): void {
    const directory = this.#node(request.inode);
    const names = this.#names(request.inode);
    const dots = [
      { name: ".", inode: directory.inode, cookie: 1 },
      { name: "..", inode: directory.parent, cookie: 2 },
    ];
    for (const { name, inode, cookie } of dots) {
      if (cookie <= request.cookie) continue;
      if (!filler.add(bytesOf(name), inode, DIRECTORY >>> 12, cookie)) return;
    }
    for (const [name, { inode, cookie }] of names) {
      if (cookie <= request.cookie) continue;
      const node = this.#node(inode);
      if (filler.plus) {
        const entry = this.#entry(node);
        if (filler.addEntry(bytesOf(name), entry, cookie)) continue;
        node.lookups--;
        return;
      }
      if (!filler.add(bytesOf(name), inode, node.mode >>> 12, cookie)) return;
    }
  }

  statfs(): fuse.FilesystemStatistics {
    return {
      blocks: 1 << 20,
      freeBlocks: 1 << 19,
      availableBlocks: 1 << 19,
      files: this.nodes.size,
      freeFiles: 1 << 20,
      blockSize: 4096,
      maximumNameLength: 255,
    };
  }

  getxattr(request: fuse.GetxattrRequest): Uint8Array {
    const value = this.#node(request.inode).xattrs.get(key(request.name));
    if (value === undefined) throw new FsError(Errno.ENODATA);
    return value;
  }

  setxattr(request: fuse.SetxattrRequest): void {
    const { xattrs } = this.#node(request.inode);
    const exists = xattrs.has(key(request.name));
    if (request.flags === 1 && exists) throw new FsError(Errno.EEXIST);
    if (request.flags === 2 && !exists) throw new FsError(Errno.ENODATA);
    xattrs.set(key(request.name), request.value);
  }

  listxattr(request: fuse.RequestHeader): Uint8Array {
    return bytesOf(
      [...this.#node(request.inode).xattrs.keys()].map((name) => name + "\0").join(""),
    );
  }

  removexattr(request: fuse.GetxattrRequest): void {
    if (!this.#node(request.inode).xattrs.delete(key(request.name))) {
      throw new FsError(Errno.ENODATA);
    }
  }

  fallocate(request: fuse.FallocateRequest): void {
    if (request.mode !== 0) throw new FsError(Errno.EOPNOTSUPP);
    const node = this.#node(request.inode);
    resize(node, Math.max(node.size, request.offset + request.length), this.now());
  }

  lseek(request: fuse.LseekRequest): number {
    const { size } = this.#node(request.inode);
    if (request.offset >= size) throw new FsError(Errno.ENXIO);
    return request.whence === 3 ? request.offset : size;
  }

  interrupt(unique: number): void {
    this.interrupts.push(unique);
  }

  destroy(): void {
    this.destroyed++;
  }

  #node(inode: number): Node {
    const node = this.nodes.get(inode);
    if (node === undefined) throw new FsError(Errno.ESTALE);
    return node;
  }

  #names(inode: number): Map<string, { inode: number; cookie: number }> {
    const { names } = this.#node(inode);
    if (names === undefined) throw new FsError(Errno.ENOTDIR);
    return names;
  }

  #create(request: fuse.LookupRequest, mode: number): Node {
    const node = makeNode(mode, this.now(), {
      inode: this.#nextInode++,
      parent: request.inode,
      uid: request.uid,
      gid: request.gid,
    });
    this.#add(request.inode, request.name, node);
    this.nodes.set(node.inode, node);
    return node;
  }

  #add(parent: number, name: Uint8Array, node: Node): void {
    const names = this.#names(parent);
    if (names.has(key(name))) throw new FsError(Errno.EEXIST);
    names.set(key(name), { inode: node.inode, cookie: this.#nextCookie++ });
    const directory = this.#node(parent);
    directory.mtime = directory.ctime = this.now();
  }

  #drop(node: Node): void {
    node.nlink--;
    node.ctime = this.now();
    this.#reap(node);
  }

  #reap(node: Node): void {
    if (node.nlink === 0 && node.lookups <= 0) this.nodes.delete(node.inode);
  }

  #entry(node: Node): fuse.Entry {
    node.lookups++;
    return {
      attributes: attributesOf(node),
      generation: 1,
      entryTimeoutMs: this.timeoutMs,
      attributeTimeoutMs: this.timeoutMs,
    };
  }

  #attributeReply(node: Node): fuse.AttributeReply {
    return { attributes: attributesOf(node), attributeTimeoutMs: this.timeoutMs };
  }
}
