/** What `zero evict` and `zero recall` ask of the engine: named files, now, with an answer for each. */
import type { Refusal } from "../filesystem/protocol.ts";
import { describe, type Tiering, untilAborted } from "./context.ts";
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

/** Recalls these files. What is under way when the signal aborts goes on by itself. */
export async function recallFiles(
  tiering: Tiering,
  options: { inodes: number[]; signal: AbortSignal; onProgress?: CountProgress },
): Promise<RecallResult> {
  const { inodes, signal, onProgress } = options;
  const result: RecallResult = { recalled: 0, chunks: 0, failed: [] };
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < inodes.length) {
      const inode = inodes[next++];
      try {
        const answer = await untilAborted(
          tiering.filesystem.call("recallFile", { inode }),
          signal,
        );
        if ("failed" in answer) {
          result.failed.push({ inode, why: answer.failed });
        } else {
          result.recalled++;
          result.chunks += answer.recalled;
        }
      } catch (error) {
        signal.throwIfAborted();
        result.failed.push({ inode, why: describe(error) });
      }
      onProgress?.(++done, inodes.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(RECALL_FILES, inodes.length) }, work));
  return result;
}
