/**
 * The inodes in memory: at most one record per inode, shared by everybody in this isolate. Owns when
 * a record is loaded, written back and dropped; what a field means is the schema's business.
 *
 * Promises
 * - After a rollback every record says what its row says, in place, and what was pending before the
 *   transaction is pending again with its values (the undone transaction changed neither).
 * - A record that is held or pending is never dropped. Any other may be dropped once some thousands
 *   of other inodes have been asked for; do not keep one across requests without a hold.
 */
import { Errno } from "../domain/errno.ts";
import { FsError, invariant } from "../domain/errors.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import { type InodeRow, InodeTable, type NewInode } from "../metadata/inode_table.ts";
import type { Inode } from "./inode.ts";

/** A record with what the cache must know of it besides. */
type Cached = Inode & InodeRow & {
  /** The count of rollbacks that it has seen. */
  epoch: number;
  /** Attributes, generation, dirty or changedMs are newer than the row. */
  behind: boolean;
  /** What the row says of the content; the record may be ahead of it until map rows are flushed. */
  storedIncarnation: number;
  storedAllocated: number;
  storedResident: number;
  storedLocal: number;
};

/** The values of a pending record that its row does not have yet. */
type Shadow = Pick<Inode, (typeof shadowed)[number]>;
const shadowed = [
  "mode",
  "uid",
  "gid",
  "nlink",
  "size",
  "atimeS",
  "atimeNs",
  "mtimeS",
  "mtimeNs",
  "ctimeS",
  "ctimeNs",
  "generation",
  "incarnation",
  "allocated",
  "resident",
  "local",
  "dirty",
  "changedMs",
] as const;

export class InodeCache {
  readonly #database: MetadataDatabase;
  readonly #table: InodeTable;
  readonly #half: number;
  /** Two generations instead of a list in order of use: a hit in `#young`, the common case, changes nothing. */
  #young = new Map<number, Cached>();
  #old = new Map<number, Cached>();
  /** Records whose row is behind. Entries written in the open transaction stay until it commits. */
  readonly #pending = new Map<Cached, Shadow>();
  /** Records written, and records removed, in the open transaction. */
  readonly #written: Cached[] = [];
  readonly #removed: Cached[] = [];
  #arrivals = 0;
  #epoch = 0;

  /** `limit`: how many records are kept that nobody holds, roughly. */
  constructor(database: MetadataDatabase, { limit }: { limit: number }) {
    // An operation asks for a handful of records, and none may go before it ends.
    invariant(limit >= 64, () => `an inode cache of ${limit} records is too small`);
    this.#database = database;
    this.#table = new InodeTable(database);
    this.#half = Math.floor(limit / 2);
    database.onCommit(() => this.#committed());
    database.onRollback(() => this.reloadAll());
  }

  /** The record of an inode, loaded if need be; undefined where there is no such inode. */
  get(id: number): Inode | undefined {
    const cached = this.#cached(id);
    if (cached !== undefined) return cached;
    const row = this.#database.guard(() => this.#table.get(id));
    return row === undefined ? undefined : this.#adopt(row);
  }

  /** The same for an inode that must exist. ESTALE: the kernel then resolves the path again. */
  require(id: number): Inode {
    const inode = this.get(id);
    if (inode === undefined) throw new FsError(Errno.ESTALE, `inode ${id} is gone`);
    return inode;
  }

  /**
   * The record where there is one, for whoever has just read the row and only looks: what is not in memory
   * does not come to be there. Or a walk over a million names would push out what is in use, and leave its
   * garbage behind.
   */
  peek(id: number): Readonly<Inode> | undefined {
    return this.#cached(id);
  }

  /** Adds an inode. */
  insert(fields: NewInode): Inode {
    const id = this.#database.guard(() => this.#table.insert(fields));
    const { seconds, nanoseconds } = fields.time;
    return this.#adopt({
      id,
      mode: fields.mode,
      uid: fields.uid,
      gid: fields.gid,
      nlink: fields.nlink,
      rdev: fields.rdev ?? 0,
      size: fields.size ?? 0,
      atimeS: seconds,
      atimeNs: nanoseconds,
      mtimeS: seconds,
      mtimeNs: nanoseconds,
      ctimeS: seconds,
      ctimeNs: nanoseconds,
      btimeS: seconds,
      btimeNs: nanoseconds,
      target: fields.target,
      generation: fields.born?.generation ?? 0,
      incarnation: 0,
      allocated: 0,
      resident: 0,
      local: 0,
      dirty: fields.born !== undefined,
      changedMs: fields.born?.changedMs ?? 0,
      deadFrom: undefined,
      pinned: false,
    });
  }

  /**
   * Says that the record has changed in memory and may be written later. In a transaction its
   * attributes are written at once. Sums and incarnation are for `writeContent`, together with the
   * map rows; until then the record stays pending.
   */
  touch(inode: Inode): void {
    const cached = inode as Cached;
    cached.behind = cached.pending = true;
    if (this.#database.inTransaction) this.write(inode);
    else this.#remember(cached);
  }

  /** Writes the attributes (mode, owner, nlink, size, times; of a pending record also generation, dirty, changedMs). */
  write(inode: Inode): void {
    const cached = inode as Cached;
    if (this.#database.inTransaction) this.#written.push(cached);
    this.#database.guard(() => {
      if (cached.behind) this.#table.updatePending(cached);
      else this.#table.updateAttributes(cached);
    });
    cached.behind = false;
    this.#settle(cached);
  }

  /** Writes generation, incarnation, size, sums, dirty, changedMs, deadFrom and the pin. Times stay pending. */
  writeContent(inode: Inode): void {
    const cached = inode as Cached;
    if (this.#database.inTransaction) this.#written.push(cached);
    this.#database.guard(() => this.#table.updateContent(cached));
    noteStored(cached);
    this.#settle(cached);
  }

  /** Writes everything: what `write` and `writeContent` write. */
  writeWhole(inode: Inode): void {
    const cached = inode as Cached;
    if (this.#database.inTransaction) this.#written.push(cached);
    this.#database.guard(() => this.#table.updateWhole(cached));
    cached.behind = false;
    noteStored(cached);
    this.#settle(cached);
  }

  /** After a write: is anything of the record still newer than its row? In a transaction that counts at its end. */
  #settle(cached: Cached): void {
    cached.pending = cached.behind || cached.incarnation !== cached.storedIncarnation ||
      cached.allocated !== cached.storedAllocated || cached.resident !== cached.storedResident ||
      cached.local !== cached.storedLocal;
    if (this.#database.inTransaction) return;
    if (cached.pending) this.#remember(cached);
    else this.#pending.delete(cached);
  }

  #remember(cached: Cached): void {
    let shadow = this.#pending.get(cached);
    if (shadow === undefined) {
      shadow = {} as Shadow;
      this.#pending.set(cached, shadow);
    }
    copyShadow(cached, shadow);
  }

  /** Records whose rows are behind. */
  get unflushed(): number {
    return this.#pending.size;
  }

  /** Writes the attributes of up to `limit` pending records in one transaction; returns how many. */
  flush(limit: number): number {
    if (this.#pending.size === 0) return 0;
    let written = 0;
    this.#database.transaction(() => {
      for (const inode of this.#pending.keys()) {
        if (written >= limit) break;
        if (!inode.behind) continue;
        this.write(inode);
        written++;
      }
    });
    return written;
  }

  /** Drops the record, unless it is held or pending. */
  forget(id: number): void {
    const cached = this.#young.get(id) ?? this.#old.get(id);
    if (cached !== undefined && !isKept(cached)) this.#drop(id);
  }

  /** Deletes the rows and drops the records, which nobody may hold. */
  remove(ids: readonly number[]): void {
    this.#database.guard(() => this.#table.deleteAll(ids));
    for (const id of ids) this.#forgetRemoved(id);
  }

  #forgetRemoved(id: number): void {
    const cached = this.#young.get(id) ?? this.#old.get(id);
    if (cached === undefined) return;
    invariant(cached.holds === 0, () => `inode ${id} is removed while held`);
    this.#drop(id);
    if (this.#database.inTransaction) this.#removed.push(cached);
    else this.#pending.delete(cached);
    cached.pending = false;
  }

  /**
   * Makes every record equal to its row again, then re-applies what was pending. Runs by itself after
   * a rollback. Held, pending and written records are reloaded now, others when next asked for.
   */
  reloadAll(): void {
    this.#epoch++;
    for (const cached of this.#removed) this.#young.set(cached.id, cached);
    for (const cached of this.#written) this.#refresh(cached);
    this.#removed.length = 0;
    this.#written.length = 0;
    for (const generation of [this.#young, this.#old]) {
      for (const cached of generation.values()) {
        if (cached.holds > 0 || this.#pending.has(cached)) this.#refresh(cached);
      }
    }
    for (const [cached, shadow] of this.#pending) {
      copyShadow(shadow, cached);
      cached.behind = cached.pending = true;
    }
  }

  /** How many records are in memory. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  #cached(id: number): Cached | undefined {
    let cached = this.#young.get(id);
    if (cached === undefined) {
      cached = this.#old.get(id);
      if (cached === undefined) return undefined;
      this.#old.delete(id);
      this.#keep(cached);
    }
    return cached.epoch === this.#epoch || this.#refresh(cached) ? cached : undefined;
  }

  /** Reloads a record in place; false (and dropped) where its row is gone. */
  #refresh(cached: Cached): boolean {
    const row = this.#table.get(cached.id);
    if (row === undefined) {
      this.#pending.delete(cached);
      this.#drop(cached.id);
      return false;
    }
    Object.assign(cached, row);
    cached.behind = cached.pending = false;
    cached.epoch = this.#epoch;
    noteStored(cached);
    return true;
  }

  #adopt(row: InodeRow): Cached {
    const cached = row as Cached;
    cached.behind = cached.pending = false;
    cached.holds = 0;
    cached.epoch = this.#epoch;
    noteStored(cached);
    this.#old.delete(cached.id);
    this.#keep(cached);
    return cached;
  }

  #keep(cached: Cached): void {
    // Counted, not measured: held records carried over must not make every turn the next one.
    if (++this.#arrivals > this.#half) this.#turn();
    this.#young.set(cached.id, cached);
  }

  /** The old generation goes, except for what is held or pending; the young one becomes old. */
  #turn(): void {
    const dying = this.#old;
    this.#old = this.#young;
    this.#young = new Map();
    this.#arrivals = 1;
    for (const cached of dying.values()) {
      if (isKept(cached) || this.#pending.has(cached)) this.#young.set(cached.id, cached);
    }
  }

  #drop(id: number): void {
    this.#young.delete(id);
    this.#old.delete(id);
  }

  #committed(): void {
    if (this.#written.length > 0) {
      for (const cached of this.#written) {
        if (cached.pending) this.#remember(cached);
        else this.#pending.delete(cached);
      }
      this.#written.length = 0;
    }
    if (this.#removed.length > 0) {
      for (const cached of this.#removed) this.#pending.delete(cached);
      this.#removed.length = 0;
    }
  }
}

const isKept = (cached: Cached) => cached.holds > 0 || cached.pending;

function noteStored(cached: Cached): void {
  cached.storedIncarnation = cached.incarnation;
  cached.storedAllocated = cached.allocated;
  cached.storedResident = cached.resident;
  cached.storedLocal = cached.local;
}

function copyShadow(from: Shadow, into: Shadow): void {
  into.mode = from.mode;
  into.uid = from.uid;
  into.gid = from.gid;
  into.nlink = from.nlink;
  into.size = from.size;
  into.atimeS = from.atimeS;
  into.atimeNs = from.atimeNs;
  into.mtimeS = from.mtimeS;
  into.mtimeNs = from.mtimeNs;
  into.ctimeS = from.ctimeS;
  into.ctimeNs = from.ctimeNs;
  into.generation = from.generation;
  into.incarnation = from.incarnation;
  into.allocated = from.allocated;
  into.resident = from.resident;
  into.local = from.local;
  into.dirty = from.dirty;
  into.changedMs = from.changedMs;
}
