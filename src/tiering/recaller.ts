/**
 * Brings chunks back (law 4): fetches what is wanted, has it verified, hands it to the filesystem
 * isolate, which alone decides whether it still fits. Retries for as long as somebody waits. Never
 * says that a chunk is lost unless the store says that its very version does not exist (law 8).
 */
import type { FilesystemEvent } from "../filesystem/protocol.ts";
import { FormatError } from "../format/format_error.ts";
import { packKey } from "../format/keys.ts";
import { StoreError } from "../object_store/object_store.ts";
import { release } from "../runtime/release.ts";
import { backoffDelayMs } from "../runtime/retry.ts";
import type { Decoded } from "./compute_port.ts";
import { describe, type Tiering } from "./context.ts";
import { ProgressMeter } from "./progress_meter.ts";
import { type RecallEvent, RecallQueue, urgencyOf, type WantedChunk } from "./recall_queue.ts";
import { ENGINE_LIMITS } from "./settings.ts";

/** Chunks that are fetched with one GET. */
interface Fetch {
  readonly chunks: WantedChunk[];
  readonly bytes: number;
  readonly abort: AbortController;
  /** Started for readers. */
  readonly urgent: boolean;
}

export interface RecallerReport {
  /** Chunks that are wanted and not there yet. */
  waiting: number;
  fetching: number;
  gets: number;
  /** Chunks installed; bytes as stored. */
  recalled: number;
  failed: number;
  bytesPerSecond: number;
  /** The store's last error while somebody waits; undefined when the last download worked. */
  trouble: { kind: string; message: string; sinceMs: number } | undefined;
}

export class Recaller {
  readonly #tiering: Tiering;
  readonly #queue = new RecallQueue();
  readonly #fetches = new Set<Fetch>();
  readonly #progress: ProgressMeter;
  readonly #pauses = new Map<WantedChunk, () => void>();
  #bytesUnderWay = 0;
  #gathering: (() => void) | undefined;
  #gets = 0;
  #recalled = 0;
  #failed = 0;
  #trouble: RecallerReport["trouble"];

  constructor(tiering: Tiering) {
    this.#tiering = tiering;
    this.#progress = new ProgressMeter(tiering.clock);
  }

  report(): RecallerReport {
    return {
      waiting: this.#queue.size,
      fetching: this.#fetches.size,
      gets: this.#gets,
      recalled: this.#recalled,
      failed: this.#failed,
      bytesPerSecond: this.#progress.perSecond,
      trouble: this.#trouble,
    };
  }

  /** A chunk is wanted. */
  want(event: RecallEvent): void {
    if (this.#tiering.signal.aborted) return;
    const chunk = this.#queue.add(event);
    // What nobody waits for yet comes in rows; a moment later they go together.
    if (event.urgency === "reader") this.#hasten(chunk);
    else {this.#gathering ??= this.#tiering.clock.after(ENGINE_LIMITS.RECALL_GATHER_MS, () => {
        this.#gathering = undefined;
        this.#pump();
      });}
  }

  /** Somebody waits now for what was fetched ahead. */
  hurry(event: Extract<FilesystemEvent, { event: "recallUrgent" }>): void {
    const want = this.#queue.find(event);
    if (want === undefined) return;
    want.urgency = "reader";
    this.#hasten(this.#queue.chunkAt(event)!);
  }

  /** A reader has come, whose patience is short: a pause that nobody waited in does not hold for him. */
  #hasten(chunk: WantedChunk): void {
    this.#pauses.get(chunk)?.();
    this.#pump();
  }

  /** Nobody waits in this place any more. */
  cancel(event: Extract<FilesystemEvent, { event: "recallCancelled" }>): void {
    const dropped = this.#queue.remove(event);
    if (dropped === undefined) return;
    this.#pauses.get(dropped)?.();
    for (const fetch of this.#fetches) {
      if (!fetch.chunks.includes(dropped)) continue;
      if (fetch.chunks.every((chunk) => !this.#queue.has(chunk))) {
        fetch.abort.abort(new DOMException("nobody waits for it any more", "AbortError"));
      }
    }
  }

  /** Lets go of timers and downloads; the engine's signal has aborted. */
  stop(): void {
    this.#gathering?.();
    for (const cancel of [...this.#pauses.values()]) cancel();
    for (const fetch of this.#fetches) fetch.abort.abort(this.#tiering.signal.reason);
  }

  /** Starts as many downloads as the bounds allow. */
  #pump(): void {
    const { settings, signal } = this.#tiering;
    while (!signal.aborted && this.#fetches.size < settings.recallParallel) {
      const ahead = [...this.#fetches].filter((fetch) => !fetch.urgent).length;
      const room = settings.recallMemoryBytes - this.#bytesUnderWay;
      const chunks = this.#queue.take({
        readersOnly: ahead >= settings.recallAheadParallel || room <= 0,
        maximumBytes: Math.min(settings.recallRangeBytes, room),
      });
      if (chunks.length === 0) return;
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.location.stored, 0);
      const urgent = urgencyOf(chunks[0]) === "reader";
      const fetch: Fetch = { chunks, bytes, abort: new AbortController(), urgent };
      this.#fetches.add(fetch);
      this.#bytesUnderWay += bytes;
      this.#run(fetch);
    }
  }

  /** Never rejects. */
  async #run(fetch: Fetch): Promise<void> {
    try {
      const stored = await this.#get(fetch);
      this.#progress.add(stored.length);
      this.#trouble = undefined;
      await this.#deliver(fetch, stored);
    } catch (error) {
      this.#getFailed(fetch, error);
    } finally {
      this.#fetches.delete(fetch);
      this.#bytesUnderWay -= fetch.bytes;
      this.#pump();
    }
  }

  async #get(fetch: Fetch): Promise<Uint8Array<ArrayBuffer>> {
    const { location } = fetch.chunks[0];
    this.#gets++;
    this.#tiering.compute.prepare();
    return await this.#tiering.store.get(packKey(location.pack), {
      versionId: location.packVersion,
      range: { offset: location.offset, length: fetch.bytes },
      signal: fetch.abort.signal,
    });
  }

  /** Verifies what came and hands it to everybody who waits for it. Never rejects. */
  async #deliver(fetch: Fetch, stored: Uint8Array<ArrayBuffer>): Promise<void> {
    const first = fetch.chunks[0].location.offset;
    const wanted = fetch.chunks.filter((chunk) => this.#queue.has(chunk));
    const parts = wanted.map(({ location }) => ({
      chunk: location,
      start: location.offset - first,
      stored: location.stored,
    }));
    let decoded: Decoded[];
    try {
      decoded = await this.#tiering.compute.decode(stored, parts);
    } catch (error) {
      if (this.#tiering.signal.aborted) return;
      const reason = describe(error);
      for (const chunk of wanted) this.#giveUp(chunk, { lost: false, reason });
      return;
    }
    await Promise.all(wanted.map(async (chunk, at) => {
      const result = decoded[at];
      if (!(result instanceof FormatError)) await this.#install(chunk, result);
      else if (result.kind === "corrupt") this.#corrupt(chunk, result);
      else this.#giveUp(chunk, { lost: false, reason: describe(result) });
    }));
    for (const each of decoded) if (!(each instanceof FormatError)) release(each);
  }

  /** Never rejects. */
  async #install(chunk: WantedChunk, plain: Uint8Array<ArrayBuffer>): Promise<void> {
    const { filesystem, log, signal } = this.#tiering;
    if (!this.#queue.has(chunk)) return;
    const wants = [...chunk.wants.values()];
    this.#queue.drop(chunk);
    this.#recalled++;
    await Promise.all(wants.map((want) => {
      const { inode, incarnation, index } = want;
      return filesystem.call("install", {
        inode,
        incarnation,
        index,
        chunk: chunk.location.chunk,
        bytes: plain,
      }).catch((error) => {
        if (!signal.aborted) {
          log("error", "a recalled chunk was not taken", { inode, error: describe(error) });
        }
      });
    }));
  }

  #getFailed(fetch: Fetch, error: unknown): void {
    const { signal, clock } = this.#tiering;
    if (signal.aborted || fetch.abort.signal.aborted) {
      // Wanted again in the moment of its cancellation: fetched again.
      for (const chunk of fetch.chunks) {
        if (this.#queue.has(chunk) && !signal.aborted) this.#queue.requeue(chunk);
      }
      return;
    }
    if (!(error instanceof StoreError) || error.kind === "invalid") {
      for (const chunk of fetch.chunks) {
        this.#giveUp(chunk, { lost: false, reason: describe(error) });
      }
      return;
    }
    if (error.kind === "missing") {
      const { onMissing } = this.#tiering;
      const lost = onMissing === undefined;
      for (const chunk of fetch.chunks) this.#giveUp(chunk, { lost, reason: error.message });
      onMissing?.();
      return;
    }
    this.#trouble = {
      kind: error.kind,
      message: error.message,
      sinceMs: this.#trouble?.sinceMs ?? clock.wallMs(),
    };
    for (const chunk of fetch.chunks) this.#pause(chunk, error);
  }

  /** Tries again later, for as long as somebody waits. */
  #pause(chunk: WantedChunk, error: StoreError): void {
    if (!this.#queue.has(chunk)) return;
    chunk.failures++;
    chunk.state = "pausing";
    const delayMs = ENGINE_LIMITS.RECALL_RETRY_MS / 2 + backoffDelayMs(chunk.failures, {
      backoff: {
        baseMs: ENGINE_LIMITS.RECALL_RETRY_MS,
        capMs: ENGINE_LIMITS.RECALL_RETRY_CAP_MS,
      },
      random: this.#tiering.random,
      askedMs: error.retryAfterMs,
    });
    const resume = () => {
      cancel();
      this.#pauses.delete(chunk);
      if (!this.#queue.has(chunk) || this.#tiering.signal.aborted) return;
      this.#queue.requeue(chunk);
      this.#pump();
    };
    const cancel = this.#tiering.clock.after(delayMs, resume);
    this.#pauses.set(chunk, resume);
  }

  /** The bytes are not the chunk: somebody on the way has changed them, so fetch them again. */
  #corrupt(chunk: WantedChunk, error: FormatError): void {
    if (!this.#queue.has(chunk)) return;
    const { location } = chunk;
    chunk.corrupt++;
    this.#tiering.log("warn", "a downloaded chunk had wrong bytes", {
      pack: packKey(location.pack),
      ordinal: location.ordinal,
      tries: chunk.corrupt,
      error: error.message,
    });
    if (chunk.corrupt < ENGINE_LIMITS.RECALL_CORRUPT_TRIES) this.#queue.requeue(chunk);
    else this.#giveUp(chunk, { lost: false, reason: error.message });
  }

  #giveUp(chunk: WantedChunk, failure: { lost: boolean; reason: string }): void {
    if (!this.#queue.has(chunk)) return;
    const { filesystem, log, signal } = this.#tiering;
    const { location } = chunk;
    this.#queue.drop(chunk);
    this.#failed++;
    log("error", failure.lost ? "a chunk is missing in the bucket" : "a chunk cannot be read", {
      pack: packKey(location.pack),
      version: location.packVersion,
      ordinal: location.ordinal,
      reason: failure.reason,
    });
    for (const { inode, incarnation, index } of chunk.wants.values()) {
      filesystem.call("recallFailed", {
        inode,
        incarnation,
        index,
        chunk: location.chunk,
        pack: location.pack,
        ...failure,
      }).catch((error) => {
        if (!signal.aborted) {
          log("error", "a failed recall was not taken", { error: describe(error) });
        }
      });
    }
  }
}
