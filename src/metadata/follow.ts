/**
 * Keeps a database in step with the mount that writes. Owns what is shown of each file: its saved version,
 * as recovery does (rebuild.ts); the file that it replaced, where the new one has not been uploaded; and
 * nothing at all where the bucket has none of its content. Each file is shown in one version.
 */
import { invariant } from "../domain/errors.ts";
import { ChangeLog, type MetadataHead } from "./change_log.ts";
import type { MetadataDatabase } from "./database.ts";
import { FollowRows, type ShippedRows } from "./follow_rows.ts";
import { VersionKind } from "./schema.ts";

/** Setting: this database follows; nobody may write with it. */
const FOLLOWING = "following";
/** Setting: the time of what was applied last; 0: of the creation. */
const POINT = "followed_ms";
const REGULAR = 0o100000;
const TYPE_MASK = 0o170000;
const CHARGE = "((length + 4095) / 4096 * 4096)";

/** A file whose local bytes are those of a content that is not shown any more. */
export interface LeftContent {
  inode: number;
  /** Of the content file; 0: there is none. */
  incarnation: number;
  /** Charge of its resident chunks, bytes. */
  resident: number;
}

interface Told {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeS: number;
  mtimeNs: number;
  generation: number;
  dirty: number;
}

interface Version extends Told {
  id: number;
  kind: number;
}

interface Shown {
  generation: number;
  incarnation: number;
  resident: number;
}

export function isFollowing(database: MetadataDatabase): boolean {
  return database.setting(FOLLOWING) === 1;
}

/** How far a database that follows has come. */
export function followedTo(
  database: MetadataDatabase,
): { head: MetadataHead; pointMs: number | undefined } {
  const { head } = new ChangeLog(database).state();
  return { head, pointMs: Number(database.setting(POINT) ?? 0) || undefined };
}

/**
 * Applies what was shipped up to `head`, in one transaction. Answers the files whose content is another
 * now, or gone: with rows, not bytes, which are the caller's to remove.
 */
export function follow(
  database: MetadataDatabase,
  options: {
    rows: ShippedRows;
    /** In the transaction, while the rows of a content that is to be left are still there. */
    leaving?: (inode: number) => void;
    head: MetadataHead;
    /** When that was, wall clock of the writer, ms; undefined: at its creation. */
    pointMs: number | undefined;
  },
): LeftContent[] {
  return database.transaction(() => {
    const rows = new FollowRows(database);
    rows.apply(options.rows);
    const left: LeftContent[] = [];
    const gone: number[] = [];
    const show = new Show(database, options.leaving ?? (() => {}));
    for (const inode of rows.touched) show.refresh(inode, { left, gone });
    // Names only now: a name may have passed from one file to another.
    for (const inode of rows.touched) show.publish(inode);
    rows.finish(options.rows);
    for (const inode of gone) show.remove(inode);
    new ChangeLog(database).update({ head: options.head });
    database.setSetting(FOLLOWING, 1);
    database.setSetting(POINT, options.pointMs ?? 0);
    return left;
  });
}

class Show {
  readonly #database: MetadataDatabase;
  readonly #leaving: (inode: number) => void;

  constructor(database: MetadataDatabase, leaving: (inode: number) => void) {
    this.#database = database;
    this.#leaving = leaving;
  }

  #run(sql: string, ...values: (number | null)[]): void {
    this.#database.statement(sql).run(...values);
  }

  #get<T>(sql: string, ...values: number[]): T | undefined {
    return this.#database.statement(sql).get(...values) as T | undefined;
  }

  /** Makes an inode what it is to look like, without its names. */
  refresh(id: number, into: { left: LeftContent[]; gone: number[] }): void {
    const row = this.#get<Shown & { mode: number }>(
      "SELECT mode, generation, incarnation, resident FROM inode WHERE id = ?",
      id,
    );
    if (row === undefined) return;
    const regular = (row.mode & TYPE_MASK) === REGULAR;
    const told = regular ? this.#told(id) : undefined;
    const named = this.#get("SELECT 1 FROM told_dentry WHERE inode = ? LIMIT 1", id) !== undefined;
    if (id !== 1 && !named && (!regular || told === undefined)) {
      this.#leave(id, row, into.left);
      into.gone.push(id);
    } else if (told !== undefined) {
      this.#file(id, { row, told, left: into.left });
    }
  }

  #told(id: number): Told | undefined {
    return this.#get<Told>(
      `SELECT mode, uid, gid, size, mtime_s AS mtimeS, mtime_ns AS mtimeNs, generation, dirty
       FROM told_file WHERE id = ?`,
      id,
    );
  }

  /** The version that is shown of a file; undefined: the bucket has none. */
  #version(id: number): Version | undefined {
    // Several may wait on one file, where names were taken over and over: the newest counts.
    return this.#get<Version>(
      `SELECT id, kind, generation, size, mode, uid, gid, mtime_s AS mtimeS, mtime_ns AS mtimeNs
       FROM version WHERE inode = ? AND kind IN (${VersionKind.SAVED}, ${VersionKind.PREDECESSOR})
       ORDER BY kind, id DESC LIMIT 1`,
      id,
    );
  }

  #file(
    id: number,
    { row, told, left }: { row: Shown; told: Told; left: LeftContent[] },
  ): void {
    const version = this.#version(id);
    // What is not shown has no generation: its own is that of the version which will be.
    const generation = version?.generation ?? (told.size === 0 ? told.generation : 0);
    if (row.generation !== generation) {
      this.#leave(id, row, left);
      this.#content(id, { version: version?.id, generation });
    }
    const replaced = version?.kind === VersionKind.PREDECESSOR;
    const older = version !== undefined && (replaced || told.dirty === 1);
    const [owner, times] = [replaced ? version : told, older ? version : told];
    this.#run(
      `UPDATE inode SET size = ?, mode = ?, uid = ?, gid = ?, mtime_s = ?, mtime_ns = ? WHERE id = ?`,
      version?.size ?? 0,
      owner.mode,
      owner.uid,
      owner.gid,
      times.mtimeS,
      times.mtimeNs,
      id,
    );
  }

  /** No row of the map is left of what was shown. */
  #leave(inode: number, row: Shown, left: LeftContent[]): void {
    this.#leaving(inode);
    const { incarnation, resident } = row;
    if (incarnation > 0) left.push({ inode, incarnation, resident });
    this.#run("DELETE FROM map WHERE inode = ?", inode);
    // Bytes of the old content that are still on their way are for another incarnation.
    this.#run(
      `UPDATE inode SET resident = 0, local = 0, allocated = 0, incarnation = incarnation + 1
       WHERE id = ?`,
      inode,
    );
  }

  #content(id: number, to: { version: number | undefined; generation: number }): void {
    if (to.version !== undefined) {
      this.#run(
        `INSERT INTO map SELECT ?, idx, chunk, length, 0, ? FROM version_chunk WHERE version = ?`,
        id,
        to.generation,
        to.version,
      );
    }
    this.#run(
      `UPDATE inode SET generation = ?, allocated =
         (SELECT coalesce(sum${CHARGE}, 0) FROM map WHERE inode = ?) WHERE id = ?`,
      to.generation,
      id,
      id,
    );
  }

  /** Gives an inode the names that it is shown under: all, or none while there is nothing to show. */
  publish(id: number): void {
    this.#run("DELETE FROM dentry WHERE inode = ?", id);
    const there = this.#get("SELECT 1 FROM inode WHERE id = ?", id) !== undefined;
    if (!there || !this.#showable(id)) return;
    this.#run(
      "INSERT INTO dentry SELECT id, parent, name, inode FROM told_dentry WHERE inode = ?",
      id,
    );
  }

  #showable(id: number): boolean {
    const told = this.#told(id);
    return told === undefined || told.size === 0 || this.#version(id) !== undefined;
  }

  remove(id: number): void {
    invariant(id !== 1, "the root directory is never removed");
    this.#run("DELETE FROM xattr WHERE inode = ?", id);
    this.#run("DELETE FROM inode WHERE id = ?", id);
  }
}
