/**
 * The namespace half of the file system: names, attributes, extended attributes. A facade; each
 * operation stands in the file of its name.
 *
 * Promises: every operation is one transaction, committed before it returns; where it throws, nothing
 * has happened. Knows content only through `ContentPort`, and the kernel not at all.
 */
import type {
  AttributeReply,
  Attributes,
  CreateRequest,
  DirectoryFiller,
  Entry,
  GetattrRequest,
  GetxattrRequest,
  LinkRequest,
  LookupRequest,
  MkdirRequest,
  MknodRequest,
  NegativeEntry,
  Parked,
  ReaddirRequest,
  RenameRequest,
  RequestHeader,
  SetattrRequest,
  SetxattrRequest,
  SymlinkRequest,
  UnlinkRequest,
} from "../fuse/operations.ts";
import { getattr, killPrivileges, loseCapabilities, setattr } from "./attributes.ts";
import { mkdir, readdir, rmdir } from "./directories.ts";
import type { Inode } from "./inode.ts";
import { createFile, link, mknod, readlink, symlink, unlink } from "./links.ts";
import { children, forget, lookup, pathOf, resolve } from "./lookup.ts";
import type { NewInode } from "../metadata/inode_table.ts";
import { NamespaceContext, type NamespaceOptions } from "./namespace_context.ts";
import type { Commands } from "./protocol.ts";
import { rename } from "./rename.ts";
import { getxattr, listxattr, removexattr, setxattr } from "./xattrs.ts";

export class Namespace {
  readonly #context: NamespaceContext;

  constructor(options: NamespaceOptions) {
    this.#context = new NamespaceContext(options);
  }

  /** A failing or full disk shows as an errno, in queries outside transactions too. */
  #run<T>(operation: () => T): T {
    return this.#context.database.guard(operation);
  }

  lookup(request: LookupRequest): Entry | NegativeEntry {
    return this.#run(() => lookup(this.#context, request));
  }

  forget(inode: number, count: number): void {
    this.#run(() => forget(this.#context, { inode, count }));
  }

  getattr(request: GetattrRequest): AttributeReply {
    return this.#run(() => getattr(this.#context, request));
  }

  setattr(request: SetattrRequest): AttributeReply | Parked {
    return this.#run(() => setattr(this.#context, request));
  }

  readlink(request: RequestHeader): Uint8Array {
    return this.#run(() => readlink(this.#context, request));
  }

  symlink(request: SymlinkRequest): Entry {
    return this.#run(() => symlink(this.#context, request));
  }

  mknod(request: MknodRequest): Entry {
    return this.#run(() => mknod(this.#context, request));
  }

  mkdir(request: MkdirRequest): Entry {
    return this.#run(() => mkdir(this.#context, request));
  }

  unlink(request: UnlinkRequest): void {
    this.#run(() => unlink(this.#context, request));
  }

  rmdir(request: UnlinkRequest): void {
    this.#run(() => rmdir(this.#context, request));
  }

  rename(request: RenameRequest): void | Parked {
    return this.#run(() => rename(this.#context, request));
  }

  link(request: LinkRequest): Entry {
    return this.#run(() => link(this.#context, request));
  }

  readdir(request: ReaddirRequest, filler: DirectoryFiller): void {
    this.#run(() => readdir(this.#context, request, filler));
  }

  getxattr(request: GetxattrRequest): Uint8Array | undefined {
    return this.#run(() => getxattr(this.#context, request));
  }

  setxattr(request: SetxattrRequest): void {
    this.#run(() => setxattr(this.#context, request));
  }

  listxattr(request: RequestHeader): Uint8Array {
    return this.#run(() => listxattr(this.#context, request));
  }

  removexattr(request: GetxattrRequest): void {
    this.#run(() => removexattr(this.#context, request));
  }

  /**
   * For CREATE and TMPFILE (empty name): adds the regular file. Joins the caller's transaction. Throws
   * EEXIST where the name is taken.
   */
  createFile(request: CreateRequest, born?: NewInode["born"]): Inode {
    return this.#run(() => createFile(this.#context, request, born));
  }

  attributes(inode: Inode): Attributes {
    return this.#context.attributes(inode);
  }

  /** The reply that makes the kernel know `inode`; each call counts as one lookup. */
  entry(inode: Inode): Entry {
    return this.#context.entry(inode);
  }

  /** Another mount's changes were put into the tables: nothing that was remembered of names holds. */
  changedElsewhere(): void {
    this.#context.forget();
  }

  /** The last handle of `inode` was closed: if it has no name and the kernel has forgotten it, it goes. */
  released(inode: Inode): void {
    this.#context.reap(inode);
  }

  /** Somebody without privileges changes the content: setuid, setgid and file capabilities go. Joins a transaction. */
  killPrivileges(inode: Inode, request: RequestHeader): void {
    this.#run(() => killPrivileges(this.#context, inode, request));
  }

  /** Anybody changes the content: file capabilities go. Looks for them once. */
  loseCapabilities(file: { readonly inode: Inode; incapable: boolean }): void {
    if (file.incapable) return;
    this.#run(() => loseCapabilities(this.#context, file.inode));
    file.incapable = true;
  }

  /** The inode at a path below the root; undefined where there is none. Follows no symlinks. */
  resolve(names: readonly Uint8Array[]): number | undefined {
    return this.#run(() => resolve(this.#context, names));
  }

  /** One path of an inode, from the root down; undefined for the nameless. */
  pathOf(inode: number): Uint8Array[] | undefined {
    return this.#run(() => pathOf(this.#context, inode));
  }

  /** Up to `limit` names in a directory after a cookie, without `.` and `..`. */
  children(
    options: { inode: number; after: number; limit: number },
  ): Commands["children"][1] {
    return this.#run(() => children(this.#context, options));
  }
}
