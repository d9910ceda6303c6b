/** The words of an upload: where one dirty chunk is to be bound, and what came of it. */
import type { Placement, Refusal } from "../filesystem/protocol.ts";

/** What came of one chunk. `store`: its pack did not reach the bucket. */
export type PlaceOutcome = true | Refusal | "store";

/** One dirty chunk of a file that waits to be bound to confirmed bytes. */
export interface Target {
  readonly inode: number;
  readonly index: number;
  /** Of the chunk, when its bytes were read. */
  readonly generation: number;
  /** Plain bytes. */
  readonly length: number;
  /** Nobody cares any more: the file changed, or the engine stops. */
  readonly abandoned: boolean;
  /** The first call counts. */
  settle(outcome: PlaceOutcome): void;
}

export function placementOf(target: Target, source: Placement["source"]): Placement {
  const { inode, index, generation, length } = target;
  return { inode, index, generation, length, source };
}
