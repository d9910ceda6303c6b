/**
 * What the operations on names and attributes share: the tables, the checks that open each of them,
 * the replies that close them, and the end of an inode that nobody can reach any more.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { AttributeReply, Attributes, Entry, NegativeEntry } from "../fuse/operations.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import type { AttributeTuple } from "../metadata/inode_table.ts";
import { OrphanTable } from "../metadata/orphan_table.ts";
import type { XattrTable } from "../metadata/xattr_table.ts";
import type { Clock, Timestamp } from "../runtime/clock.ts";
import { accessed } from "./access_times.ts";
import type { ContentPort } from "./content_port.ts";
import { FileType, type Inode, isDirectory, isRegular } from "./inode.ts";
import type { InodeCache } from "./inode_cache.ts";
import { Listers } from "./listers.ts";
import type { LookupCounts } from "./lookup_counts.ts";
import { Names } from "./names.ts";

/** Only this mount changes names and attributes, and it tells the kernel by its replies: one day. */
export const TIMEOUT_MS = 86_400_000;
/** Another mount changes them, and the kernel cannot safely be told from the loop: it asks again. */
export const FOLLOWING_TIMEOUT_MS = 1_000;
/** What a directory says it occupies; its rows are not the user's content. */
export const DIRECTORY_BYTES = 4096;
/** Of a file, as ext4. Directories may have as many subdirectories as they like, as there. */
export const MAXIMUM_LINKS = 65_000;
const BLOCK_BYTES = 4096;
/**
 * Bytes that a program is to read a directory with, which the C library asks st_blksize for. A name alone
 * takes five times its room where there could be attributes: with less, listing were mostly requests.
 */
const LISTING_BYTES = 64 * 1024;
const STAT_BLOCK_BYTES = 512;

export interface NamespaceOptions {
  database: MetadataDatabase;
  inodes: InodeCache;
  lookups: LookupCounts;
  xattrs: XattrTable;
  content: ContentPort;
  clock: Clock;
  /** True: every change is refused with EROFS. */
  readOnly: () => boolean;
  /** Another mount changes what is shown. */
  following?: boolean;
}

export class NamespaceContext {
  readonly database: MetadataDatabase;
  readonly inodes: InodeCache;
  readonly lookups: LookupCounts;
  readonly content: ContentPort;
  readonly dentries: Names;
  readonly listers = new Listers();
  readonly xattrs: XattrTable;
  readonly orphans: OrphanTable;
  readonly #clock: Clock;
  readonly #readOnly: () => boolean;
  /** How long the kernel may keep what it is told. */
  readonly #timeoutMs: number;
  /** Inodes that lost their last name in this mount: those for which a FORGET must look at the row. */
  readonly #nameless = new Set<number>();

  constructor(options: NamespaceOptions) {
    this.database = options.database;
    this.inodes = options.inodes;
    this.lookups = options.lookups;
    this.content = options.content;
    this.dentries = new Names(options.database);
    this.xattrs = options.xattrs;
    this.orphans = new OrphanTable(options.database);
    this.#clock = options.clock;
    this.#readOnly = options.readOnly;
    this.#timeoutMs = options.following ? FOLLOWING_TIMEOUT_MS : TIMEOUT_MS;
  }

  /** Names and attributes were changed by somebody else, in the tables. */
  forget(): void {
    this.dentries.forget();
    this.xattrs.forget();
  }

  now(): Timestamp {
    return this.#clock.now();
  }

  /** Opens every operation that changes something. */
  assertWritable(): void {
    if (this.#readOnly()) throw new FsError(Errno.EROFS);
  }

  /** A directory in which names can be looked up or changed: it is one, and it has not been removed. */
  directory(id: number): Inode {
    const inode = this.inodes.require(id);
    if (!isDirectory(inode)) throw new FsError(Errno.ENOTDIR);
    if (inode.nlink === 0) throw new FsError(Errno.ENOENT);
    return inode;
  }

  /** In transaction: the names in `directory` have changed. */
  namesChanged(directory: Inode, time: Timestamp): void {
    directory.mtimeS = directory.ctimeS = time.seconds;
    directory.mtimeNs = directory.ctimeNs = time.nanoseconds;
    this.inodes.write(directory);
  }

  /** In transaction: attributes or the number of names have changed. */
  attributesChanged(inode: Inode, time: Timestamp): void {
    inode.ctimeS = time.seconds;
    inode.ctimeNs = time.nanoseconds;
    this.inodes.write(inode);
    // What is about to go interests no policy any more.
    if (inode.nlink > 0 || this.content.isOpen(inode.id)) this.content.changed(inode);
  }

  /** A program has read the names or the target of `inode`. */
  accessed(inode: Inode): void {
    if (!this.#readOnly()) accessed(inode, this.inodes, this.#clock);
  }

  /** In transaction, where nlink has become 0: the row stays until nobody can reach the inode. */
  orphan(inode: Inode): void {
    this.orphans.insert(inode.id);
    this.#nameless.add(inode.id);
  }

  /** In transaction: a nameless inode (O_TMPFILE) gets a name. */
  adopt(inode: Inode): void {
    this.orphans.delete(inode.id);
  }

  /**
   * Lets go of an inode without name, handle or lookup. Call it, outside a transaction, whenever one
   * of the three may have been the last.
   */
  reap(inode: Inode): void {
    if (!this.#nameless.has(inode.id)) return;
    if (inode.nlink > 0) {
      // It has been given a name, or the transaction that took the last one was rolled back.
      this.#nameless.delete(inode.id);
      return;
    }
    if (this.lookups.get(inode.id) > 0 || this.content.isOpen(inode.id)) return;
    this.#nameless.delete(inode.id);
    this.content.discard(inode);
  }

  /** The kernel has forgotten an inode: the common case must not touch the database. */
  forgotten(id: number): void {
    if (!this.#nameless.has(id)) return;
    const inode = this.inodes.get(id);
    if (inode === undefined) this.#nameless.delete(id);
    else this.reap(inode);
  }

  attributes(inode: Inode): Attributes {
    return {
      inode: inode.id,
      mode: inode.mode,
      nlink: inode.nlink,
      uid: inode.uid,
      gid: inode.gid,
      rdev: inode.rdev,
      size: inode.size,
      blocks: this.#blocks(inode),
      blockSize: blockSize(inode.mode),
      atime: { seconds: inode.atimeS, nanoseconds: inode.atimeNs },
      mtime: { seconds: inode.mtimeS, nanoseconds: inode.mtimeNs },
      ctime: { seconds: inode.ctimeS, nanoseconds: inode.ctimeNs },
    };
  }

  #blocks(inode: Pick<Inode, "id" | "mode" | "size" | "allocated">): number {
    if (isRegular(inode)) return this.content.blocks(inode);
    return isDirectory(inode) ? DIRECTORY_BYTES / STAT_BLOCK_BYTES : 0;
  }

  attributeReply(inode: Inode): AttributeReply {
    const attributeTimeoutMs = this.#attributeTimeout(inode.id);
    return { attributes: this.attributes(inode), attributeTimeoutMs };
  }

  /** An entry that is not yet known to the kernel: count it when it is. */
  describe(inode: Readonly<Inode>): Entry {
    const attributeTimeoutMs = this.#attributeTimeout(inode.id);
    return {
      attributes: this.attributes(inode),
      generation: 1,
      entryTimeoutMs: this.#timeoutMs,
      attributeTimeoutMs,
    };
  }

  /** The same of a row that a query has just read. A record that is in memory knows better. */
  glance(row: AttributeTuple): Entry {
    const attributeTimeoutMs = this.#attributeTimeout(row[0]);
    const inode = this.inodes.peek(row[0]);
    return {
      attributes: inode === undefined ? this.#attributesOf(row) : this.attributes(inode),
      generation: 1,
      entryTimeoutMs: this.#timeoutMs,
      attributeTimeoutMs,
    };
  }

  /** The same, for a reply that makes the kernel know the inode once more. */
  glanced(row: AttributeTuple): Entry {
    this.lookups.add(row[0]);
    return this.glance(row);
  }

  #attributesOf(row: AttributeTuple): Attributes {
    return {
      inode: row[0],
      mode: row[1],
      uid: row[2],
      gid: row[3],
      nlink: row[4],
      rdev: row[5],
      size: row[6],
      blocks: this.#blocks({ id: row[0], mode: row[1], size: row[6], allocated: row[7] }),
      blockSize: blockSize(row[1]),
      atime: { seconds: row[8], nanoseconds: row[9] },
      mtime: { seconds: row[10], nanoseconds: row[11] },
      ctime: { seconds: row[12], nanoseconds: row[13] },
    };
  }

  /** How long the kernel may believe what is said of an inode next. */
  #attributeTimeout(inode: number): number {
    return this.content.refresh(inode) ? this.#timeoutMs : 0;
  }

  /** The kernel has what it was told of `inode`, and may keep it. */
  isKnown(inode: number): boolean {
    return this.#timeoutMs === TIMEOUT_MS && this.lookups.get(inode) > 0;
  }

  /** The reply that makes the kernel know `inode` once more. */
  entry(inode: Inode): Entry {
    this.lookups.add(inode.id);
    return this.describe(inode);
  }

  negativeEntry(): NegativeEntry {
    return { negative: true, entryTimeoutMs: this.#timeoutMs };
  }
}

const blockSize = (mode: number) => isDirectory({ mode }) ? LISTING_BYTES : BLOCK_BYTES;

/** st_mode >> 12, as directory entries carry it. */
export const entryType = (mode: number) => (mode & FileType.MASK) >> 12;
