/** What `zero evict` and `zero recall` ask of the engine: named files, now, with an answer for each. */
import type { Refusal } from "../filesystem/protocol.ts";
import { describe, type Tiering } from "./context.ts";
import type { PackVerifier } from "./pack_verifier.ts";
import { ENGINE_LIMITS } from "./settings.ts";

export interface EvictResult {
  evicted: number;
  freedBytes: number;
  refused: { inode: number; why: Refusal }[];
}

export interface RecallResult {
  /** Files that are wholly resident now. */
  recalled: number;
  /** Chunks that had to be fetched. */
  chunks: number;
  failed: { inode: number; why: string }[];
}

/** Files done so far, of how many. */
export type CountProgress = (done: number, all: number) => void;

/**
 * Files recalled at a time; their chunks share the recaller's bounds. As many as a pack of small files
 * holds: those that lie together come with one request, and are made durable together.
 */
const RECALL_FILES = 4_096;
/** More are taken when so many are done: as many as are made durable together, and asked for with one message. */
const RECALL_MORE_FILES = 256;

/** Evicts these files if they are confirmed; the caller uploads dirty ones before. */
export async function evictFiles(
  tiering: Tiering,
  options: {
    inodes: number[];
    force: boolean;
    verifier: PackVerifier;
    signal: AbortSignal;
    onProgress?: CountProgress;
  },
): Promise<EvictResult> {
  const { inodes, force, verifier, signal, onProgress } = options;
  const result: EvictResult = { evicted: 0, freedBytes: 0, refused: [] };
  const size = ENGINE_LIMITS.EVICT_BATCH_FILES;
  for (let at = 0; at < inodes.length; at += size) {
    signal.throwIfAborted();
    const files: { inode: number; generation: number }[] = [];
    const batch = inodes.slice(at, at + size);
    const residencies = await Promise.all(
      batch.map((inode) => tiering.filesystem.call("residency", { inode })),
    );
    for (const [place, inode] of batch.entries()) {
      const residency = residencies[place];
      if (residency === undefined) result.refused.push({ inode, why: "gone" });
      else if (residency.kept) result.refused.push({ inode, why: "local" });
      else files.push({ inode, generation: residency.generation });
    }
    await verifier.verifyFor(files.map((file) => file.inode), signal);
    const answers = await tiering.filesystem.call("evict", { files, force });
    answers.forEach((answer, i) => {
      if (typeof answer === "string") {
        result.refused.push({ inode: files[i].inode, why: answer });
        return;
      }
      result.evicted++;
      result.freedBytes += answer;
    });
    onProgress?.(Math.min(at + size, inodes.length), inodes.length);
  }
  return result;
}

/**
 * Recalls these files, each batch once there is room for it: while some are being fetched, others are
 * made durable. What is under way when the signal aborts goes on by itself.
 */
export async function recallFiles(
  tiering: Tiering,
  options: {
    batches: Iterable<number[]> | AsyncIterable<number[]>;
    signal: AbortSignal;
    onDone?: (done: number) => void;
  },
): Promise<RecallResult> {
  const { batches, signal, onDone } = options;
  const result: RecallResult = { recalled: 0, chunks: 0, failed: [] };
  let done = 0;
  let underWay = 0;
  let onRoom = () => {};
  const recall = async (inode: number) => {
    try {
      const answer = await tiering.filesystem.call("recallFile", { inode });
      if ("failed" in answer) {
        result.failed.push({ inode, why: answer.failed });
      } else {
        result.recalled++;
        result.chunks += answer.recalled;
      }
    } catch (error) {
      result.failed.push({ inode, why: describe(error) });
    }
    underWay--;
    onDone?.(++done);
    onRoom();
  };
  const room = async (most: number) => {
    while (underWay > most && !signal.aborted) {
      await new Promise<void>((resolve) => onRoom = resolve);
    }
    signal.throwIfAborted();
  };
  // One listener for all: each that is added or removed is looked for among the others.
  const onAbort = () => onRoom();
  signal.addEventListener("abort", onAbort);
  try {
    for await (const batch of batches) {
      for (let at = 0; at < batch.length;) {
        await room(RECALL_FILES - RECALL_MORE_FILES);
        const inodes = batch.slice(at, at + RECALL_FILES - underWay);
        at += inodes.length;
        underWay += inodes.length;
        for (const inode of inodes) void recall(inode);
      }
    }
    await room(0);
    return result;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
