/** What a look at the bucket found, and what a collection did. Plain data. */

/** Objects and their bytes. */
export interface Amount {
  objects: number;
  bytes: number;
}

/** What goes: dead packs, unknown objects, metadata and claims that newer ones have replaced. */
export interface Removed {
  dead: Amount;
  unknown: Amount;
  superseded: Amount;
}

export interface CollectionReport {
  /** False: nothing was changed, this is what would be done. */
  applied: boolean;
  /** The store's clock, milliseconds; undefined where it could not be asked. */
  storeMs: number | undefined;
  /** Packs that something refers to: their objects, and in `referencedBytes` what is needed of them. */
  live: Amount & { referencedBytes: number };
  /** Stored bytes that only the trash refers to; undefined where it was not counted. */
  trashBytes: number | undefined;
  /** Packs that nothing refers to any more. */
  dead: Amount;
  /** Packs, versions and hide markers below our prefix that the database does not know. */
  unknown: Amount;
  /** zero.json, claims, metadata. */
  own: Amount;
  /** What is not ours: counted, never touched. */
  foreign: Amount;
  /** Everything that the store keeps, hidden versions too. */
  billed: Amount;
  /** Packs of the database that the listing did not show. */
  missing: number;
  /** Packs of which little is referenced. */
  sparse: Amount & { referencedBytes: number };
  /** What may go now, or went. */
  deletable: Removed;
  deleted: Removed;
  repacked: Amount & { chunks: number };
  expiredVersions: number;
  /** Why something was not done, for people. */
  notes: string[];
  /** Why nothing at all was deleted; undefined where that was not refused. */
  refused: string | undefined;
}

const none = (): Amount => ({ objects: 0, bytes: 0 });

export function emptyReport(): CollectionReport {
  return {
    applied: false,
    storeMs: undefined,
    live: { ...none(), referencedBytes: 0 },
    trashBytes: undefined,
    dead: none(),
    unknown: none(),
    own: none(),
    foreign: none(),
    billed: none(),
    missing: 0,
    sparse: { ...none(), referencedBytes: 0 },
    deletable: { dead: none(), unknown: none(), superseded: none() },
    deleted: { dead: none(), unknown: none(), superseded: none() },
    repacked: { ...none(), chunks: 0 },
    expiredVersions: 0,
    notes: [],
    refused: undefined,
  };
}

export function add(amount: Amount, bytes: number): void {
  amount.objects++;
  amount.bytes += bytes;
}
