/**
 * A namespace over a database in memory (or in a directory), with a stand-in for the content half and
 * requests that are short to write. The stand-in's deviations: it has no bytes; `resize` changes size
 * and times only; `discard` deletes the rows at once instead of in slices.
 */
import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import type { ContentPort } from "../../src/filesystem/content_port.ts";
import type { Inode } from "../../src/filesystem/inode.ts";
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { LookupCounts } from "../../src/filesystem/lookup_counts.ts";
import { Namespace } from "../../src/filesystem/namespace.ts";
import {
  type DirectoryFiller,
  type Entry,
  PARKED,
  type Parked,
  type RequestHeader,
  type SetattrRequest,
} from "../../src/fuse/operations.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { XattrTable } from "../../src/metadata/xattr_table.ts";
import type { Timestamp } from "../../src/runtime/clock.ts";
import { SimulatedClock } from "./simulated_clock.ts";

export class FakeContent implements ContentPort {
  /** Open handles per inode. */
  readonly open = new Map<number, number>();
  /** What was asked of it, in order. */
  readonly calls: string[] = [];
  readonly discarded: number[] = [];
  /** Set: the next `beforeReplace` or `resize` parks. */
  parksNext = false;
  /** Set: `replaced` and `unlinked` throw it, in the middle of the transaction. */
  fault: Error | undefined;
  #database: MetadataDatabase;
  #inodes: InodeCache;
  #now: () => Timestamp;

  constructor(database: MetadataDatabase, inodes: InodeCache, options: { now: () => Timestamp }) {
    this.#database = database;
    this.#inodes = inodes;
    this.#now = options.now;
  }

  resize(_request: RequestHeader, inode: Inode, size: number): void | Parked {
    if (this.#parks()) return PARKED;
    const { seconds, nanoseconds } = this.#now();
    inode.size = size;
    inode.mtimeS = inode.ctimeS = seconds;
    inode.mtimeNs = inode.ctimeNs = nanoseconds;
    this.#inodes.write(inode);
  }

  beforeReplace(_request: RequestHeader, source: Inode): void | Parked {
    this.calls.push(`beforeReplace ${source.id}`);
    if (this.#parks()) return PARKED;
  }

  refresh(): boolean {
    return true;
  }

  #parks(): boolean {
    const parks = this.parksNext;
    this.parksNext = false;
    return parks;
  }

  replaced(source: Inode, victim: Inode, name: Uint8Array): void {
    if (this.fault !== undefined) throw this.fault;
    assert(this.#database.inTransaction);
    this.calls.push(`replaced ${source.id} ${victim.id} ${new TextDecoder().decode(name)}`);
  }

  unlinked(inode: Inode, name: Uint8Array): void {
    if (this.fault !== undefined) throw this.fault;
    assert(this.#database.inTransaction && inode.nlink === 0);
    this.calls.push(`unlinked ${inode.id} ${new TextDecoder().decode(name)}`);
  }

  discard(inode: Inode): void {
    assert(!this.#database.inTransaction && inode.nlink === 0 && !this.isOpen(inode.id));
    this.discarded.push(inode.id);
    this.#database.transaction(() => {
      new XattrTable(this.#database).deleteAll([inode.id]);
      this.#database.statement("DELETE FROM orphan WHERE inode = ?").run(inode.id);
      this.#inodes.remove([inode.id]);
    });
  }

  blocks(inode: Inode): number {
    return Math.ceil(inode.size / 512);
  }

  isBeingWritten(): boolean {
    return false;
  }

  isOpen(inode: number): boolean {
    return (this.open.get(inode) ?? 0) > 0;
  }

  changed(_inode: Inode): void {}
  moved(_directory: Inode): void {}
  setPin(): void {}
  virtualXattr(_inode: Inode, name: string): string | undefined {
    return name === "user.zero.state" ? "resident" : undefined;
  }
}

const NOTHING_SET = {
  handle: undefined,
  mode: undefined,
  newOwner: undefined,
  newGroup: undefined,
  size: undefined,
  atime: undefined,
  mtime: undefined,
  ctime: undefined,
  killPrivileges: false,
};

export const bytes = (text: string) => new TextEncoder().encode(text);
export const text = (data: Uint8Array) => new TextDecoder().decode(data);

/** A name that a listing gave, and whether with attributes. */
interface ListedEntry {
  name: Uint8Array;
  inode: number;
  type: number;
  cookie: number;
  entry: boolean;
}

export class NamespaceFixture {
  readonly database: MetadataDatabase;
  readonly inodes: InodeCache;
  readonly lookups = new LookupCounts();
  readonly content: FakeContent;
  readonly clock = new SimulatedClock();
  readonly namespace: Namespace;
  readOnly = false;

  constructor({ directory = ":memory:", limit = 64 }: { directory?: string; limit?: number } = {}) {
    this.database = MetadataDatabase.create({
      directory,
      fileSystemId: "test",
      chunkSize: 4 << 20,
      store: "file:///bucket",
      clock: this.clock,
    });
    this.inodes = new InodeCache(this.database, { limit });
    this.content = new FakeContent(this.database, this.inodes, { now: () => this.clock.now() });
    this.namespace = this.#open();
  }

  #open(how: { following?: boolean } = {}): Namespace {
    const xattrs = new XattrTable(this.database);
    return new Namespace({ ...this, ...how, xattrs, readOnly: () => this.readOnly });
  }

  /** The same names in a mount that follows another one. */
  following(): Namespace {
    return this.#open({ following: true });
  }

  /** Everything later happens at another time. */
  tick(milliseconds = 1): void {
    this.clock.setWall(this.clock.wallMs() + milliseconds);
  }

  header(inode: number, { uid = 0, gid = 0 }: { uid?: number; gid?: number } = {}): RequestHeader {
    return { unique: 1, inode, uid, gid, pid: 1 };
  }

  /** In directory `parent`, under `name`, root's and 0755. Returns the inode. */
  mkdir(parent: number, name: string): number {
    return this.namespace.mkdir({
      ...this.header(parent),
      name: bytes(name),
      mode: 0o755,
      umask: 0,
    }).attributes.inode;
  }

  create(parent: number, name: string): number {
    const inode = this.namespace.createFile({
      ...this.header(parent),
      name: bytes(name),
      flags: 0,
      mode: 0o644,
      umask: 0,
      killPrivileges: false,
    });
    return this.namespace.entry(inode).attributes.inode;
  }

  /** The value of an attribute; FsError where there is none, as programs see it. */
  getxattr(inode: number, name: string): Uint8Array {
    const request = { ...this.header(inode), name: bytes(name) };
    const value = this.namespace.getxattr(request);
    if (value === undefined) throw new FsError(Errno.ENODATA);
    return value;
  }

  link(target: number, parent: number, name: string): Entry {
    return this.namespace.link({ ...this.header(parent), target, name: bytes(name) });
  }

  unlink(parent: number, name: string): void {
    this.namespace.unlink({ ...this.header(parent), name: bytes(name) });
  }

  rmdir(parent: number, name: string): void {
    this.namespace.rmdir({ ...this.header(parent), name: bytes(name) });
  }

  rename(
    from: readonly [parent: number, name: string],
    to: readonly [parent: number, name: string],
    flags = 0,
  ): void | Parked {
    return this.namespace.rename({
      ...this.header(from[0]),
      name: bytes(from[1]),
      newParent: to[0],
      newName: bytes(to[1]),
      flags,
    });
  }

  setattr(inode: number, set: Partial<SetattrRequest>) {
    return this.namespace.setattr({ ...NOTHING_SET, ...this.header(inode), ...set });
  }

  stat(inode: number) {
    return this.namespace.getattr({ ...this.header(inode), handle: undefined }).attributes;
  }

  /** The inode under a name; undefined where there is none. Leaves the lookup counts as they were. */
  find(parent: number, name: string): number | undefined {
    const entry = this.namespace.lookup({ ...this.header(parent), name: bytes(name) });
    if ("negative" in entry) return undefined;
    this.namespace.forget(entry.attributes.inode, 1);
    return entry.attributes.inode;
  }

  /** All names of a directory with their inodes, read in requests of `slice` entries. `told`: of names that came with attributes. */
  list(
    inode: number,
    { plus = false, slice = 100, told }: {
      plus?: boolean;
      slice?: number;
      told?: (name: string) => void;
    } = {},
  ): Map<string, number> {
    const found = new Map<string, number>();
    for (let cookie = 0;;) {
      const part = this.read(inode, { cookie, plus, slice });
      for (const { name, inode, entry } of part) {
        const key = String.fromCharCode(...name);
        if (entry) told?.(key);
        assert(!found.has(key), `${key} was delivered twice`);
        found.set(key, inode);
      }
      if (part.length === 0) return found;
      cookie = part[part.length - 1].cookie;
    }
  }

  /** One readdir request that has room for `slice` entries. */
  read(
    inode: number,
    { cookie, plus = false, slice, namespace = this.namespace }: {
      cookie: number;
      plus?: boolean;
      slice: number;
      namespace?: Namespace;
    },
  ): ListedEntry[] {
    const taken: ListedEntry[] = [];
    const filler: DirectoryFiller = {
      plus,
      get room() {
        return Math.max(1, slice - taken.length);
      },
      add: (given, inode, type, cookie) => {
        if (taken.length === slice) return false;
        const name = typeof given === "string" ? new TextEncoder().encode(given) : given;
        taken.push({ name, inode, type, cookie, entry: false });
        return true;
      },
      addEntry: (name, { attributes }, cookie) => {
        if (!filler.add(name, attributes.inode, attributes.mode >> 12, cookie)) return false;
        taken[taken.length - 1].entry = true;
        return true;
      },
    };
    namespace.readdir({ ...this.header(inode), handle: 0, cookie }, filler);
    return taken;
  }

  /** Asserts what must hold of the rows at any time: references, sums, link counts, orphans. */
  assertIntact(): void {
    const query = (sql: string) => this.database.statement(sql).all();
    assert.deepEqual(query("PRAGMA main.integrity_check").map((row) => ({ ...row })), [
      { integrity_check: "ok" },
    ]);
    assert.deepEqual(query("PRAGMA main.foreign_key_check"), []);
    assert.deepEqual(
      query(
        `SELECT * FROM total JOIN (SELECT count(*) AS f, sum(allocated) AS a, sum(resident) AS r,
          sum(local) AS l, sum(dirty) AS d FROM inode)
        WHERE files <> f OR allocated <> a OR resident <> r OR local <> l OR dirty_files <> d`,
      ),
      [],
      "totals differ from the sums of the rows",
    );
    assert.deepEqual(
      query(`SELECT i.id, i.nlink FROM inode i WHERE i.nlink <> CASE
          WHEN i.mode & 61440 <> 16384 THEN (SELECT count(*) FROM dentry d WHERE d.inode = i.id)
          WHEN i.id <> 1 AND NOT EXISTS (SELECT 1 FROM dentry d WHERE d.inode = i.id) THEN 0
          ELSE 2 + (SELECT count(*) FROM dentry d JOIN inode c ON c.id = d.inode
                    WHERE d.parent = i.id AND c.mode & 61440 = 16384) END`),
      [],
      "link counts differ from the names",
    );
    assert.deepEqual(
      query(`SELECT id FROM inode WHERE (nlink = 0) <> (id IN (SELECT inode FROM orphan))`),
      [],
      "nameless inodes and orphans differ",
    );
  }

  close(): void {
    this.database.close({ clean: false });
  }
}
