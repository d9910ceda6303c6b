/**
 * One try to bring one file into the bucket: reads its dirty chunks page by page, hands them to the
 * pack builder in file order, and asks for its version to be saved once all are bound (law 2).
 * Holds a few chunks at a time, however large the file is. Never changes the file. Where a snapshot is
 * asked for, that is what is brought, whatever programs do to the file meanwhile; and it is ended.
 */
import { unreachable } from "../domain/errors.ts";
import type { DirtyChunk, Refusal } from "../filesystem/protocol.ts";
import type { Gathered } from "../runtime/gathered.ts";
import type { Budget, Share } from "./budget.ts";
import type { EncodeResult } from "./compute_port.ts";
import { describe, type Tiering } from "./context.ts";
import type { Lane, PackBuilder } from "./pack_builder.ts";
import type { PlaceOutcome, Target } from "./placing.ts";
import { ENGINE_LIMITS } from "./settings.ts";

/** What came of a try. */
export type FileOutcome =
  /** The bucket can restore it as it was read. */
  | "saved"
  /** All its chunks are confirmed, but a program may still write to it. */
  | "open"
  /** Somebody wrote meanwhile, or it was in vain. */
  | "changed"
  /** Deleted, or clean already. */
  | "gone"
  /** The store failed; it is tried again with everything else. */
  | "store"
  /** Its bytes could not be read or bound; the log says why. */
  | "failed";

export interface FileJobPorts {
  tiering: Tiering;
  builder: PackBuilder;
  memory: Budget;
  /** Has a version saved. */
  saves: Saves;
}

/** Asks for versions of many files at a time. */
export type Saves = Gathered<{ inode: number; generation: number }, true | Refusal>;

/** A chunk that is being read. */
interface Reading {
  target: Target;
  share: Share;
  result: Promise<{ encoded: EncodeResult; matched: number | undefined }>;
}

export class FileJob {
  readonly inode: number;
  /** Settles when the try is over. Never rejects. */
  readonly done: Promise<FileOutcome>;
  /** Somebody waits for it: packs are not kept open for it. */
  urgent: boolean;
  /** Bytes of this file that were bound in this try. */
  placedBytes = 0;
  /** Generation that the last page of chunks belonged to. */
  generation = 0;
  /** Monotonic milliseconds when the snapshot was asked for; undefined: the file itself is brought. */
  takenMs: number | undefined;
  /** It brings a snapshot. */
  readonly snapshot: boolean;
  readonly #ports: FileJobPorts;
  /** What is read: the inode, or its snapshot once there is one. */
  #source: number | undefined;
  #ended = false;
  readonly #finish: (outcome: FileOutcome) => void;
  #outstanding = 0;
  /** Chunks before this index have been handed over. */
  #from = 0;
  #fed = false;
  #abandoned = false;
  #trouble: Exclude<PlaceOutcome, true> | "failed" | undefined;

  constructor(inode: number, options: FileJobPorts & { urgent: boolean; snapshot: boolean }) {
    this.inode = inode;
    this.snapshot = options.snapshot;
    this.#source = options.snapshot ? undefined : inode;
    this.urgent = options.urgent;
    this.#ports = options;
    const { promise, resolve } = Promise.withResolvers<FileOutcome>();
    this.done = options.snapshot ? promise.finally(() => this.#endSnapshot()) : promise;
    this.#finish = resolve;
  }

  /** The file changed: whatever is not on its way yet is not sent. */
  abandon(): void {
    this.#abandoned = true;
    this.#finish("changed");
  }

  /**
   * Reads and hands over the next dirty chunks, a page at most. `more`: there are further ones.
   * `large`: in the lane of small files it does nothing for a file of several chunks. Never rejects;
   * `done` may come later.
   */
  async feed(lane: Lane): Promise<"fed" | "more" | "large"> {
    if (this.#abandoned) return "fed";
    const { filesystem, log, signal } = this.#ports.tiering;
    try {
      const inode = this.#source ?? await this.#takeSnapshot();
      if (inode === undefined) return "fed";
      const limit = ENGINE_LIMITS.DIRTY_PAGE_CHUNKS;
      const page = await filesystem.call("dirtyChunks", { inode, from: this.#from, limit });
      if (page === undefined) {
        this.#finish("gone");
        return "fed";
      }
      if (lane === "small" && page.chunks.length > 1) return "large";
      this.generation = page.generation;
      await this.#feedPage(page, lane);
      if (page.chunks.length === limit && !this.#abandoned) {
        this.#from = page.chunks[limit - 1].index + 1;
        return "more";
      }
      this.#fed = true;
      this.#finishIfDone();
    } catch (error) {
      this.#abandoned = true;
      if (!signal.aborted) {
        log("error", "a file could not be read for upload", {
          inode: this.inode,
          error: describe(error),
        });
      }
      this.#finish("failed");
    }
    return "fed";
  }

  /** Undefined: there is none, and the try is over. */
  async #takeSnapshot(): Promise<number | undefined> {
    const { filesystem, clock } = this.#ports.tiering;
    this.takenMs = clock.monotonicMs();
    const answer = await filesystem.call("snapshot", { inode: this.inode });
    if (typeof answer !== "string") this.#source = answer.shadow;
    if (this.#abandoned) await this.#endSnapshot();
    else if (typeof answer !== "string") return answer.shadow;
    else this.#finish(answer === "full" ? "changed" : outcomeOf(answer));
    return undefined;
  }

  /** What is left over where even this fails goes with the next mount. */
  async #endSnapshot(): Promise<void> {
    const shadow = this.#source;
    if (shadow === undefined || this.#ended) return;
    this.#ended = true;
    const { filesystem, log, signal } = this.#ports.tiering;
    await filesystem.call("endSnapshot", { shadow }).catch((error) => {
      if (signal.aborted) return;
      log("error", "a snapshot could not be ended", { inode: shadow, error: describe(error) });
    });
  }

  async #feedPage(page: { path: string; chunks: DirtyChunk[] }, lane: Lane): Promise<void> {
    const window: Reading[] = [];
    try {
      for (const chunk of page.chunks) {
        if (this.#abandoned) return;
        if (window.length >= ENGINE_LIMITS.FEEDING_CHUNKS) {
          await this.#handOver(window[0], lane);
          window.shift();
        }
        window.push(await this.#read(page.path, chunk));
      }
      while (window.length > 0) {
        await this.#handOver(window[0], lane);
        window.shift();
      }
    } finally {
      for (const reading of window) reading.share.release();
    }
  }

  async #read(path: string, chunk: DirtyChunk): Promise<Reading> {
    const { tiering, memory, builder } = this.#ports;
    const share = await memory.acquire(chunk.length, tiering.signal);
    const encodeAndMatch = async () => {
      const encoded = await tiering.compute.encode({
        path,
        offset: chunk.index * tiering.chunkSize,
        length: chunk.length,
      });
      const matched = encoded.kind === "chunk" ? await builder.match(encoded) : undefined;
      return { encoded, matched };
    };
    const result = encodeAndMatch();
    result.catch(() => {}); // looked at when its turn comes, or never, when an earlier one fails
    return { target: this.#target(chunk), share, result };
  }

  async #handOver(reading: Reading, lane: Lane): Promise<void> {
    const { builder } = this.#ports;
    const { encoded, matched } = await reading.result;
    this.#outstanding++;
    switch (encoded.kind) {
      case "zero":
        reading.share.release();
        return builder.placeHole(reading.target);
      case "moved":
        reading.share.release();
        return reading.target.settle("changed");
      case "chunk":
        return builder.place(reading.target, encoded, { matched, lane, share: reading.share });
      default:
        unreachable(encoded);
    }
  }

  #target(chunk: DirtyChunk): Target {
    const isAbandoned = () => this.#abandoned;
    let settled = false;
    return {
      inode: this.#source!,
      index: chunk.index,
      generation: chunk.generation,
      length: chunk.length,
      get abandoned() {
        return isAbandoned();
      },
      settle: (outcome) => {
        if (settled) return;
        settled = true;
        if (outcome === true) this.placedBytes += chunk.length;
        else this.#trouble = outcome;
        this.#outstanding--;
        this.#finishIfDone();
      },
    };
  }

  #finishIfDone(): void {
    if (!this.#fed || this.#outstanding > 0 || this.#abandoned) return;
    if (this.#trouble === undefined) this.#save();
    else this.#finish(outcomeOf(this.#trouble));
  }

  async #save(): Promise<void> {
    const { log, signal } = this.#ports.tiering;
    try {
      const { generation } = this;
      const answer = await this.#ports.saves.ask({ inode: this.#source!, generation });
      this.#finish(answer === true ? "saved" : outcomeOf(answer));
    } catch (error) {
      if (!signal.aborted) {
        log("error", "a version could not be saved", { inode: this.inode, error: describe(error) });
      }
      this.#finish("failed");
    }
  }
}

function outcomeOf(trouble: Exclude<PlaceOutcome, true> | "failed"): FileOutcome {
  switch (trouble) {
    case "gone":
    case "open":
    case "store":
    case "failed":
      return trouble;
    case "changed":
    case "unstaged":
    case "pinned":
    case "dirty":
    case "local":
    case "unverified":
    case "readOnly":
      return "changed";
    default:
      return unreachable(trouble);
  }
}
