/**
 * After a power cut, rows may name bytes that nobody had synced and that never reached the disk: the
 * content file ends before them. Then the file ends there too, as on any other file system, and what
 * was synced stays readable; chunks that the bucket has are recalled again. And content files may be
 * longer than their rows: what was truncated away is trimmed again. Runs before the first request is
 * served. Never shortens anything that fsync has promised: that is on the disk.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type { MapRow } from "../metadata/map_table.ts";
import * as libc from "../runtime/libc.ts";
import type { Core } from "./core.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Reaper } from "./reaper.ts";

const INODES_PER_TRANSACTION = 1000;
const ROWS_AT_ONCE = 1000;

export class CrashRepair {
  readonly #core: Core;
  readonly #reaper: Reaper;
  /** Files that lost bytes, and the first of them. */
  #files = 0;
  #first = 0;

  constructor(core: Core, reaper: Reaper) {
    this.#core = core;
    this.#reaper = reaper;
  }

  /** Looks at every file with local-only content, and at those that are mapped: an fstat and a row each. */
  run(): void {
    const core = this.#core;
    const ids = this.#suspects();
    for (let from = 0; from < ids.length; from += INODES_PER_TRANSACTION) {
      core.database.transaction(() => {
        for (const id of ids.slice(from, from + INODES_PER_TRANSACTION)) {
          this.#look(core.inodes.require(id));
        }
      });
    }
    if (this.#files === 0) return;
    core.emit({
      event: "defect",
      message: `bytes that were never synced are gone from ${this.#files} files since the last ` +
        `mount ended uncleanly; they are shorter now (the first is inode ${this.#first})`,
    });
  }

  /**
   * Files with local-only content: numbers from two indexes, so that nobody waits for a look at all files.
   * And those that may be stored into unseen, whose readers take the content file's end for the file's.
   */
  #suspects(): number[] {
    const suspects = "SELECT id FROM inode WHERE dirty = 1 AND local > 0";
    const questions = [
      ...["kept = 0", "kept = 1"].map((which) => `${suspects} AND ${which}`),
      "SELECT id FROM inode WHERE id IN (SELECT inode FROM mapped)",
    ];
    const ids = questions.flatMap((question) =>
      (this.#core.database.arrayStatement(question).all() as unknown as [number][])
        .map(([id]) => id)
    );
    return [...new Set(ids)];
  }

  #look(inode: Inode): void {
    if (!isRegular(inode)) return;
    const length = this.#length(inode);
    const size = this.#core.chunkSize;
    const until = inode.deadFrom ?? Infinity;
    const missing: MapRow[] = [];
    for (let from = Math.floor(length / size);;) {
      const rows = this.#core.maps.range(inode.id, { from, until, limit: ROWS_AT_ONCE });
      for (const row of rows) {
        if (row.resident && row.index * size + row.length > length) missing.push(row);
      }
      if (rows.length < ROWS_AT_ONCE) break;
      from = rows[rows.length - 1].index + 1;
    }
    if (missing.length > 0) this.#repair(inode, { length, missing });
    else if (inode.deadFrom === undefined && length > this.#end(inode)) this.#trim(inode);
  }

  #trim(inode: Inode): void {
    const file = this.#core.files.acquire(inode);
    file.cuts++;
    this.#reaper.trimLater(file);
  }

  /** Of the content file, bytes. */
  #length(inode: Inode): number {
    if (inode.incarnation === 0) return 0;
    const status = libc.lstat(this.#core.store.path(inode.id, inode.incarnation));
    if (status === -Errno.ENOENT) return 0;
    if (typeof status === "number") throw new FsError(-status, "look at a content file");
    return status.size;
  }

  #repair(inode: Inode, { length, missing }: { length: number; missing: MapRow[] }): void {
    const core = this.#core;
    const endBefore = this.#end(inode);
    for (const row of missing) {
      if (row.chunk !== 0) {
        core.maps.put(inode.id, { ...row, resident: false });
        core.account(inode, { resident: -core.charge(row.length) });
        continue;
      }
      const left = Math.max(0, length - row.index * core.chunkSize);
      const change = core.charge(left) - core.charge(row.length);
      core.account(inode, { allocated: change, resident: change, local: change });
      if (left === 0) core.maps.remove(inode.id, row.index);
      else core.maps.put(inode.id, { ...row, length: left });
    }
    // A file that ends in a hole, made by truncate, keeps its size.
    if (inode.size <= endBefore) inode.size = Math.min(inode.size, this.#end(inode));
    inode.generation = core.database.nextGeneration();
    core.inodes.write(inode);
    core.inodes.writeContent(inode);
    if (missing.every((row) => row.chunk !== 0)) return;
    this.#files++;
    this.#first ||= inode.id;
  }

  /** Where the last bytes of the file end. */
  #end(inode: Inode): number {
    // Rows that are truncated away lie behind the size anyway.
    const last = this.#core.maps.last(inode.id);
    return last === undefined ? 0 : last.index * this.#core.chunkSize + last.length;
  }
}
