/**
 * Absent chunks that are wanted, until their bytes are here (law 4): asks the engine once per chunk, sets
 * space aside, puts verified bytes into the content file, and wakes readers at once. How they become
 * resident is recall_settling.ts. Late bytes never overwrite newer ones.
 */
import { Errno } from "../domain/errno.ts";
import { FsError, invariant } from "../domain/errors.ts";
import type { MapRow } from "../metadata/map_table.ts";
import { hex } from "../runtime/random.ts";
import type { Core } from "./core.ts";
import type { FileState, Recall } from "./file_state.ts";
import type { Parking } from "./parking_lot.ts";
import type { ChunkLocation, Commands } from "./protocol.ts";
import { RecallSettling } from "./recall_settling.ts";

export class Recalls {
  readonly #core: Core;
  /** Asked for, but there is no space for them yet. In order. */
  #hungry: { file: FileState; recall: Recall }[] = [];
  /** What has not come and is not given up yet. */
  readonly #asked = new Set<Recall>();
  readonly #settling: RecallSettling;
  /** Told of every chunk that became readable or will not come. */
  onSettled: (file: FileState, index: number, failed?: string) => void = () => {};
  onPressure: () => void = () => {};

  constructor(core: Core) {
    this.#core = core;
    this.#settling = new RecallSettling(core, (file, index) => this.onSettled(file, index));
  }

  get hungry(): number {
    return this.#hungry.length;
  }

  /** Bytes that recalls wait for. */
  get hungryBytes(): number {
    let bytes = 0;
    for (const { file, recall } of this.#hungry) bytes += this.#size(file, recall.index);
    return bytes;
  }

  #size(file: FileState, index: number): number {
    return this.#core.charge(file.row(index)?.length ?? 0);
  }

  /** Wants chunks of a file whose rows say absent. Asks for each only once. */
  want(
    file: FileState,
    indices: Iterable<number>,
    urgency: Recall["urgency"],
    { stream = false }: { stream?: boolean } = {},
  ): void {
    for (const index of indices) {
      const known = file.recalls.get(index);
      if (known !== undefined) {
        if (urgency === "bulk") known.bulk = true;
        if (!stream && known.stream) this.#keep(file, known);
        if (urgency === "reader" && known.urgency !== "reader") {
          known.urgency = "reader";
          if (known.announced) {
            const { id, incarnation } = file.inode;
            this.#core.emit({ event: "recallUrgent", inode: id, incarnation, index });
          }
        }
        continue;
      }
      const row = file.row(index);
      if (row === null || row.resident || row.chunk === 0 || file.volatile.has(index)) continue;
      // Its bytes are about to be punched: whoever waits runs again after that.
      if (file.punching.has(index)) continue;
      // What stays in memory needs no room on the disk.
      const size = stream ? 0 : this.#core.charge(row.length);
      // What nobody waits for must not drive anything else out.
      if (urgency === "ahead" && !stream && this.#core.space.excess("high") + size > 0) continue;
      const admitted = stream || this.#core.space.admits(size);
      if (urgency === "ahead" && !admitted) continue;
      const recall: Recall = {
        index,
        chunk: row.chunk,
        reserved: 0,
        urgency,
        bulk: urgency === "bulk",
        stream,
        announced: false,
      };
      file.recalls.set(index, recall);
      this.#asked.add(recall);
      if (admitted) {
        this.#announce(file, recall, size);
      } else {
        this.#hungry.push({ file, recall });
        this.onPressure();
      }
    }
  }

  /** Somebody wants it for good who was not there when it was asked for. */
  #keep(file: FileState, recall: Recall): void {
    recall.stream = false;
    recall.reserved = this.#size(file, recall.index);
    this.#core.space.reserved += recall.reserved;
  }

  #announce(file: FileState, recall: Recall, size: number): void {
    const core = this.#core;
    const location = core.chunks.get(recall.chunk) as ChunkLocation | undefined;
    const row = file.row(recall.index);
    if (location === undefined || row === null) {
      this.#drop(file, recall, "the chunk is not in the database");
      return;
    }
    // Named now: bytes are taken only into the incarnation that was asked for.
    core.incarnate(file.inode);
    recall.reserved = size;
    core.space.reserved += size;
    recall.announced = true;
    core.emit({
      event: "recall",
      inode: file.inode.id,
      incarnation: file.inode.incarnation,
      index: recall.index,
      length: row.length,
      location,
      urgency: recall.urgency,
    });
  }

  /** Space has been freed: asks for what waited. */
  feed(): void {
    while (this.#hungry.length > 0) {
      const { file, recall } = this.#hungry[0];
      if (file.recalls.get(recall.index) !== recall) {
        this.#hungry.shift();
        continue;
      }
      const size = this.#size(file, recall.index);
      if (!this.#core.space.admits(size)) return;
      this.#hungry.shift();
      this.#announce(file, recall, size);
    }
  }

  #done(file: FileState, recall: Recall): void {
    file.recalls.delete(recall.index);
    this.#asked.delete(recall);
  }

  #unreserve(recall: Recall): void {
    this.#core.space.reserved -= recall.reserved;
    recall.reserved = 0;
  }

  #drop(file: FileState, recall: Recall, reason: string): void {
    this.#done(file, recall);
    this.#unreserve(recall);
    for (const parking of [...file.parked]) {
      if (parking.reason === "recall" && parking.indices.includes(recall.index)) {
        this.#core.lot.fail(parking, Errno.EIO);
      }
    }
    this.onSettled(file, recall.index, reason);
    this.#core.files.dropIfIdle(file);
  }

  /** A parked request has left without its bytes: what nobody waits for any more is cancelled. */
  abandoned(parking: Parking): void {
    const file = parking.file;
    if (file === undefined || parking.reason !== "recall") return;
    for (const index of parking.indices) {
      const recall = file.recalls.get(index);
      if (recall === undefined || recall.urgency !== "reader") continue;
      const waiting = [...file.parked].some((other) =>
        other.reason === "recall" && other.indices.includes(index)
      );
      if (waiting) continue;
      if (recall.bulk) recall.urgency = "bulk";
      else this.cancel(file, index);
    }
    this.#core.files.dropIfIdle(file);
  }

  /**
   * Stops wanting a chunk: a program is about to write all of it or to cut it off, or nobody waits.
   * Whoever waits looks again once that is done.
   */
  cancel(file: FileState, index: number): void {
    const recall = file.recalls.get(index);
    if (recall === undefined) return;
    this.#done(file, recall);
    this.#unreserve(recall);
    if (!recall.announced) this.#hungry = this.#hungry.filter((entry) => entry.recall !== recall);
    const { id, incarnation } = file.inode;
    if (recall.announced) {
      this.#core.emit({ event: "recallCancelled", inode: id, incarnation, index });
    }
    this.onSettled(file, index);
    this.#core.lot.wake(file, "recall", index);
  }

  /** Nobody will use the file any more. */
  forgetAll(file: FileState): void {
    for (const index of [...file.recalls.keys()]) this.cancel(file, index);
    this.#settling.forget(file, [...file.volatile]);
    this.#core.files.dropIfIdle(file);
  }

  /** The engine brings verified bytes. False: not wanted any more, or the disk would not take them. */
  install(argument: Commands["install"][0]): boolean {
    const core = this.#core;
    const file = core.files.peek(argument.inode);
    const recall = file?.recalls.get(argument.index);
    if (file === undefined || recall === undefined) return false;
    const row = file.row(argument.index);
    if (
      file.inode.incarnation !== argument.incarnation || recall.chunk !== argument.chunk ||
      row === null || row.resident || row.chunk !== argument.chunk ||
      argument.bytes.length < row.length
    ) return false;
    if (recall.stream) return this.#pass(file, recall, argument.bytes);
    try {
      const content = core.content(file.inode, true)!;
      core.store.write(
        content,
        argument.bytes.subarray(0, row.length),
        argument.index * core.chunkSize,
      );
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      if (error.errno !== Errno.ENOSPC && error.errno !== Errno.EDQUOT) {
        this.#drop(file, recall, `the cache's disk does not take it: ${error.message}`);
        return false;
      }
      // The disk is full, whoever filled it: ask again when there is space.
      core.space.forgetReading();
      this.#unreserve(recall);
      recall.announced = false;
      this.#hungry.push({ file, recall });
      this.onPressure();
      return false;
    }
    this.#done(file, recall);
    this.#settling.arrived(file, argument.index, { last: this.#asked.size === 0 && recall.bulk });
    return true;
  }

  /** An absent chunk's bytes, from elsewhere on this disk, are in the content file. */
  adopt(file: FileState, row: MapRow): void {
    invariant(
      !row.resident && !file.recalls.has(row.index),
      () => `chunk ${row.index} is not absent`,
    );
    this.#core.space.reserved += this.#core.charge(row.length);
    this.#settling.arrived(file, row.index, { last: false });
  }

  /** Verified bytes for readers of whom nothing is kept. */
  #pass(file: FileState, recall: Recall, bytes: Uint8Array): boolean {
    const core = this.#core;
    core.streams.put(recall.chunk, bytes);
    this.#done(file, recall);
    core.lot.wake(file, "recall", recall.index);
    this.onSettled(file, recall.index);
    core.files.dropIfIdle(file);
    return true;
  }

  /** The engine gives up on a chunk. Readers get EIO; `lost` is remembered (law 8). */
  failed(argument: Commands["recallFailed"][0]): void {
    const core = this.#core;
    const moved = argument.lost && this.#hasMoved(argument);
    if (argument.lost && !moved) core.chunks.markLost(argument.chunk);
    const file = core.files.peek(argument.inode);
    const recall = file?.recalls.get(argument.index);
    if (file === undefined || recall === undefined || recall.chunk !== argument.chunk) return;
    if (file.inode.incarnation !== argument.incarnation) return;
    if (!moved) return this.#drop(file, recall, argument.reason);
    this.#unreserve(recall);
    this.#announce(file, recall, recall.stream ? 0 : this.#size(file, recall.index));
  }

  /** It was copied into another pack while it was asked for, and the old one may have been deleted since. */
  #hasMoved({ chunk, pack }: Commands["recallFailed"][0]): boolean {
    const location = this.#core.chunks.get(chunk);
    return location !== undefined && hex(location.pack) !== hex(pack);
  }

  /** Makes recalled bytes of a file durable, then its rows resident, then lets writers at them. */
  settle(file: FileState): void {
    this.#settling.settle(file);
  }

  /**
   * Calls `then` once what readers were given so far is resident, or forgotten. What was asked for ahead of
   * readers who have closed their files since does not come.
   */
  settleAll(then: () => void): void {
    for (const file of [...this.#core.files.values()]) {
      if (file.handles > 0) continue;
      for (const { index, urgency } of [...file.recalls.values()]) {
        if (urgency === "ahead") this.cancel(file, index);
      }
      this.#core.files.dropIfIdle(file);
    }
    this.#settling.whenSettled(then);
  }

  /** A recalled chunk whose row changed before it was durable (truncated, deleted). */
  forgetVolatile(file: FileState, index: number): void {
    this.#settling.forgetVolatile(file, index);
  }
}
