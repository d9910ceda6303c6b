/**
 * The trash: what is in it, bringing a version back, emptying it. A version comes back as the content
 * of a file that was just made (the kernel made it, so it knows the name): its rows say "evicted", and
 * the version is what that file has saved. Nothing is fetched.
 */
import { TrashTable } from "../metadata/trash_table.ts";
import type { CareCommands, TrashedVersion } from "./care_protocol.ts";
import type { Core } from "./core.ts";
import { type Inode, isRegular } from "./inode.ts";
import { type Reaper, SLICE_ROWS } from "./reaper.ts";

type UndeleteResult = CareCommands["undelete"][1];

export class Trash {
  readonly #core: Core;
  readonly #reaper: Reaper;
  readonly #table: TrashTable;
  readonly #pathOf: (inode: number) => Uint8Array | undefined;

  constructor(
    core: Core,
    parts: { reaper: Reaper; pathOf: (inode: number) => Uint8Array | undefined },
  ) {
    this.#core = core;
    this.#reaper = parts.reaper;
    this.#pathOf = parts.pathOf;
    this.#table = new TrashTable(core.database);
  }

  list(range: CareCommands["trash"][0]): TrashedVersion[] {
    return this.#table.list(range).map((row) => ({
      ...row,
      path: row.path ?? this.#pathOf(row.inode),
    }));
  }

  /**
   * In one transaction, or, for more rows than one may touch, in slices. Until the last one the rows
   * count as truncated away: whoever uses the file waits, and after a crash they are deleted.
   */
  undelete(
    { version, inode: id }: CareCommands["undelete"][0],
    done: (result: UndeleteResult) => void,
  ): void {
    const core = this.#core;
    core.requireWritable();
    const refusal = this.#refuse(version, id);
    if (refusal !== undefined) return done({ refused: refusal });
    const inode = core.inodes.require(id);
    const file = core.files.acquire(inode);
    core.flush(file);
    const { generation } = inode;
    file.jobs++;
    let from: number | undefined = 0;
    let chunks = 0;
    const finish = (result: UndeleteResult): false => {
      if ("refused" in result && inode.deadFrom !== undefined) this.#reaper.deleteDeadRows(file);
      file.jobs--;
      core.lot.wake(file, "slices");
      core.files.dropIfIdle(file);
      done(result);
      return false;
    };
    const slice = (): boolean => {
      if (this.#table.get(version) === undefined) {
        return finish({ refused: "it has left the trash meanwhile" });
      }
      if (inode.generation !== generation || inode.nlink === 0) {
        return finish({ refused: "the file was changed meanwhile" });
      }
      const copied = core.database.transaction(() => this.#copy(inode, { version, from: from! }));
      file.forgetRows();
      chunks += copied.lengths.length;
      from = copied.next;
      return from !== undefined || finish({ chunks });
    };
    if (slice()) this.#reaper.add(slice);
  }

  #refuse(version: number, id: number): string | undefined {
    const core = this.#core;
    if (this.#table.get(version) === undefined) {
      return `there is no version ${version} in the trash`;
    }
    const inode = core.inodes.get(id);
    if (inode === undefined || !isRegular(inode) || inode.nlink === 0) return "the file is gone";
    const file = core.files.peek(id);
    if ((file?.writers ?? 0) > 0) return "the file is open for writing";
    const used = inode.size > 0 || inode.allocated > 0 || inode.deadFrom !== undefined ||
      core.maps.last(id) !== undefined;
    return used ? "the file is not empty and new" : undefined;
  }

  /** In transaction. */
  #copy(inode: Inode, slice: { version: number; from: number }) {
    const core = this.#core;
    const { version, from } = slice;
    const copied = this.#table.copySlice(version, {
      inode: inode.id,
      from,
      limit: SLICE_ROWS,
      generation: inode.generation,
    });
    // Recalls name the incarnation that they are for: it must be there before the first one is asked for.
    inode.incarnation = Math.max(1, inode.incarnation);
    for (const length of copied.lengths) inode.allocated += core.charge(length);
    inode.deadFrom = copied.next === undefined ? undefined : 0;
    if (copied.next === undefined) this.#publish(inode, version);
    core.inodes.writeContent(inode);
    return copied;
  }

  /** In transaction: size, attributes and the version itself. The caller writes the content. */
  #publish(inode: Inode, version: number): void {
    const core = this.#core;
    const { size, mode, uid, gid, mtimeS, mtimeNs } = this.#table.get(version)!;
    const now = core.clock.now();
    Object.assign(inode, { size, mode, uid, gid, mtimeS, mtimeNs });
    core.database.statement("UPDATE total SET sequence = sequence + 1").run();
    inode.ctimeS = now.seconds;
    inode.ctimeNs = now.nanoseconds;
    inode.dirty = false;
    core.inodes.touch(inode);
    this.#table.adopt(version, { inode: inode.id, generation: inode.generation });
    core.versions.publish(version, { inode: inode.id, nowMs: Math.floor(core.clock.wallMs()) });
  }

  purge({ versions }: CareCommands["purgeTrash"][0]): number {
    const core = this.#core;
    core.requireWritable();
    const purged = core.database.transaction(() =>
      versions.filter((version) => this.#table.purge(version)).length
    );
    if (purged > 0) this.#reaper.sweepVersions();
    return purged;
  }
}
