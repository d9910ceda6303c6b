/**
 * Which dead packs the bucket may lose (law 5 b): those that no confirmed recovery point needs any more,
 * and that have been dead for longer than the grace. The one place that decides it. Pure.
 */

/** How far the bucket's own copy of the metadata goes. */
export type ShippedHistory =
  /** No metadata was ever shipped: nothing in the bucket refers to a pack but this cache. */
  | { kind: "nothing" }
  /**
   * Heads agree (law 0). Everything before `head` is confirmed in the bucket; the oldest state that can
   * still be recovered is that of `oldestRecoveryPoint`. Both are sequences, as in table `total`.
   */
  | { kind: "shipped"; head: number; oldestRecoveryPoint: number }
  /** It cannot be said, or the heads do not agree: nothing may go. */
  | { kind: "unknown"; reason: string };

export interface CollectionHorizon {
  /** Packs that died at a smaller sequence may go; 0: none may. */
  before: number;
  /** Whether an object that the database does not know can be garbage at all. */
  unknownObjects: boolean;
  /** Why nothing may go; undefined where something may. */
  reason: string | undefined;
}

/** `graceBefore`: what is stamped with a smaller sequence has been dead for longer than the grace. */
export function collectionHorizon(
  shipped: ShippedHistory,
  graceBefore: number,
): CollectionHorizon {
  switch (shipped.kind) {
    case "nothing":
      return { before: graceBefore, unknownObjects: true, reason: undefined };
    case "shipped": {
      // A pack that died at the very sequence of a head may have died after it.
      const before = Math.min(graceBefore, shipped.head, shipped.oldestRecoveryPoint);
      return { before, unknownObjects: true, reason: undefined };
    }
    case "unknown":
      return { before: 0, unknownObjects: false, reason: shipped.reason };
  }
}
