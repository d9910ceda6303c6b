/**
 * Makes recalled bytes durable: they are readable at once, and resident only once a sync has covered
 * them, in batches (law 4). Owns which chunks wait for that. What is forgotten before is not there.
 */
import { invariant } from "../domain/errors.ts";
import type { ContentFile } from "../content/content_store.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";

/** How long recalled bytes wait for others before they are synced together, milliseconds. */
const SETTLE_MS = 100;
/** … or as soon as one file has this many … */
const SETTLE_CHUNKS = 8;
/** … or so many files have some. Their syncs are one order, and one commit of the disk's own journal … */
const SETTLE_FILES = 256;
/**
 * … or, while such a sync is under way, so many more: the next one takes what has come meanwhile. Both
 * together are open at a time.
 */
const SETTLE_FILES_MEANWHILE = 1024;

/** Bytes of one file that are being made durable. */
interface Settling {
  file: FileState;
  indices: Set<number>;
  incarnation: number;
  content: ContentFile;
}

export class RecallSettling {
  readonly #core: Core;
  readonly #onSettled: (file: FileState, index: number) => void;
  readonly #unsettled = new Set<FileState>();
  /** Syncs under way, and who waits for which of them. */
  readonly #syncs = new Set<Settling[]>();
  readonly #waiting = new Set<{ syncs: Set<Settling[]>; then: () => void }>();
  #timer: (() => void) | undefined;

  /** `onSettled` is told of every chunk that became resident, or was forgotten. */
  constructor(core: Core, onSettled: (file: FileState, index: number) => void) {
    this.#core = core;
    this.#onSettled = onSettled;
  }

  /**
   * Verified bytes are in the content file: readable at once, resident once they are durable. `last`:
   * somebody waits for that, and nothing else will come that could share the sync.
   */
  arrived(file: FileState, index: number, { last }: { last: boolean }): void {
    const core = this.#core;
    file.volatile.add(index);
    file.touched.set(index, ++core.tick);
    this.#unsettled.add(file);
    core.lot.wake(file, "recall", index);
    if (last || this.#unsettled.size >= this.#settlesAt) this.settleAll();
    else if (file.volatile.size >= SETTLE_CHUNKS) this.settle(file);
    else this.#timer ??= core.timers.after(SETTLE_MS, () => this.settleAll());
  }

  get #settlesAt(): number {
    const busy = [...this.#syncs].some((sync) => sync.length >= SETTLE_FILES);
    return busy ? SETTLE_FILES_MEANWHILE : SETTLE_FILES;
  }

  settleAll(): void {
    this.#timer?.();
    this.#timer = undefined;
    this.#settle([...this.#unsettled]);
  }

  /** Calls `then` once everything that has arrived so far is resident, or forgotten; perhaps at once. */
  whenSettled(then: () => void): void {
    // What arrived while its file was being settled waits for that, and goes with the next sync.
    this.#afterSyncs(() => this.#afterSyncs(then));
  }

  #afterSyncs(then: () => void): void {
    this.settleAll();
    if (this.#syncs.size === 0) return then();
    this.#waiting.add({ syncs: new Set(this.#syncs), then });
  }

  /** Makes recalled bytes durable, then their rows resident, then lets writers at them. */
  settle(file: FileState): void {
    this.#settle([file]);
  }

  #settle(files: FileState[]): void {
    const core = this.#core;
    const begun: Settling[] = [];
    for (const file of files) {
      if (file.volatile.size === 0) this.#unsettled.delete(file);
      if (file.settling !== undefined || file.volatile.size === 0) continue;
      const indices = new Set(file.volatile);
      const { incarnation } = file.inode;
      const content = core.suspect ? undefined : core.contentIfPossible(file.inode);
      if (content === undefined) {
        this.forget(file, indices);
        core.lot.wake(file, "sync");
        core.files.dropIfIdle(file);
        continue;
      }
      // Opening the next one must not close it.
      core.store.hold(content);
      file.settling = indices;
      // It may be settled under way, and must not be asked for again meanwhile.
      this.#unsettled.delete(file);
      begun.push({ file, indices, incarnation, content });
    }
    if (begun.length === 0) return;
    const folders = new Set(begun.flatMap(({ file }) => core.store.foldersOf(file.inode.id)));
    const contents = begun.map(({ content }) => content);
    this.#syncs.add(begun);
    core.helper.sync({ files: contents, folders: [...folders], wal: false }, (errno) => {
      try {
        this.#settled(begun, errno);
      } finally {
        this.#over(begun);
      }
    });
  }

  /** A sync has ended, however it went: who waited for it goes on. */
  #over(sync: Settling[]): void {
    this.#syncs.delete(sync);
    if (this.#unsettled.size >= this.#settlesAt) this.settleAll();
    for (const waiting of [...this.#waiting]) {
      waiting.syncs.delete(sync);
      if (waiting.syncs.size > 0) continue;
      this.#waiting.delete(waiting);
      waiting.then();
    }
  }

  #settled(settled: Settling[], errno: number): void {
    const core = this.#core;
    const resident: Settling[] = [];
    for (const each of settled) {
      const { file, indices, incarnation } = each;
      core.store.release(each.content);
      file.settling = undefined;
      if (errno !== 0) core.syncFailed(errno, `recalled content of inode ${file.inode.id}`);
      else core.store.foldersSynced(file.inode.id);
      if (errno !== 0 || file.inode.incarnation !== incarnation) this.forget(file, indices);
      else core.guard(() => this.#becomeResident(file, indices) && resident.push(each));
    }
    // Rows that cannot be written now, because the disk is full, are written with the next flush.
    core.guard(() => core.flushIfPossible(...resident.map(({ file }) => file)));
    for (const { file, indices } of resident) {
      core.guard(() => {
        for (const index of indices) this.#onSettled(file, index);
        core.usage.recalled(file.inode.id, { atMs: core.clock.wallMs(), by: file.recalledBy });
      });
    }
    for (const { file } of settled) {
      if (file.volatile.size > 0) {
        this.#unsettled.add(file);
        this.settle(file);
      }
      core.lot.wake(file, "sync");
      core.files.dropIfIdle(file);
    }
  }

  /** In memory. */
  #becomeResident(file: FileState, indices: Set<number>): true {
    const core = this.#core;
    const inode = file.inode;
    for (const index of indices) {
      // Not one that was forgotten meanwhile, even if it is there again: this sync did not cover it.
      if (!file.volatile.delete(index)) continue;
      const row = file.row(index);
      invariant(row !== null, () => `recalled chunk ${index} of inode ${inode.id} has no row`);
      const bytes = core.charge(row.length);
      // What was reserved is now resident; the sum of both does not move.
      core.space.reserved -= bytes;
      core.account(inode, { resident: bytes });
      file.putPending({ ...row, resident: true });
    }
    core.inodes.touch(inode);
    return true;
  }

  /** Recalled bytes that did not become durable are not there: the rows still say absent. */
  forget(file: FileState, indices: Iterable<number>): void {
    for (const index of indices) this.forgetVolatile(file, index);
    if (file.volatile.size === 0) this.#unsettled.delete(file);
  }

  /** A recalled chunk whose row changed before it was durable (truncated, deleted). */
  forgetVolatile(file: FileState, index: number): void {
    if (!file.volatile.delete(index)) return;
    file.settling?.delete(index);
    const row = file.row(index);
    if (row !== null) this.#core.space.reserved -= this.#core.charge(row.length);
    this.#onSettled(file, index);
  }
}
