/**
 * The part of the conversation (protocol.ts) that cares for the bucket: collecting what nothing refers
 * to any more (law 5), and the trash. Plain data only.
 */
import type { ChunkLocation, StagedPack } from "./protocol.ts";

/** A pack as its row says. */
export interface PackRow {
  pack: number;
  /** Pack id, 16 bytes. */
  name: Uint8Array;
  versionId: string;
  /** Length of the object. */
  bytes: number;
  /** Chunks of it that something refers to, and their stored bytes. */
  liveChunks: number;
  liveBytes: number;
  /** Sequence at which the last reference went; undefined while there is one. */
  deadAt: number | undefined;
  condemned: boolean;
}

/** A saved version of a file that was unlinked, replaced or overwritten. */
export interface TrashedVersion {
  version: number;
  /** Whose it was; may be gone. */
  inode: number;
  /** Names from the root with slashes between; undefined where it is not known any more. */
  path: Uint8Array | undefined;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtimeS: number;
  mtimeNs: number;
  /** Wall clock, milliseconds. */
  savedMs: number;
  trashedMs: number;
}

/** Commands: name → [arguments, result]. */
export interface CareCommands {
  /**
   * The store's clock shows `storeMs`. For each age: everything that is stamped with a smaller sequence
   * than the one answered is at least so old by that clock; 0: nothing is. And the present sequence.
   */
  storeTime: [{ storeMs: number; agesMs: number[] }, { sequence: number; before: number[] }];
  /** Trash that is stamped with a smaller sequence becomes garbage. Answers how many versions. */
  expireTrash: [{ before: number; limit: number }, number];
  /** Rows of packs in the order of their names, after a name. */
  packs: [{ after?: Uint8Array; limit: number }, PackRow[]];
  /**
   * Law 5 (b): packs that died before that sequence are never referred to again. Answers those of the
   * given ones that are condemned, once that is durable.
   */
  condemn: [{ packs: number[]; before: number }, number[]];
  /** Their objects are gone from the bucket: the rows of condemned packs go too. */
  forgetPacks: [{ packs: number[] }, void];
  /** Referenced chunks of a pack that are not lost, by ordinal. */
  liveChunks: [{ pack: number }, ChunkLocation[]];
  /**
   * Chunks that were copied out of packs (`from`) into another one, in its order: from now on they lie
   * there. Answers how many do; the others were let go of meanwhile.
   */
  relocate: [{ pack: StagedPack; chunks: { chunk: number; from: number }[] }, number];
  /** Version ids of the packs of these names; undefined where there is no such row. */
  packVersions: [{ names: Uint8Array[] }, (string | undefined)[]];
  /** The store does not give back the bytes of these chunks (law 8), where they still lie in that pack. */
  markLost: [{ pack: number; chunks: number[] }, void];
  /** Versions in the trash, in the order of their ids, after an id. */
  trash: [{ after: number; limit: number }, TrashedVersion[]];
  /** Gives a version from the trash to an empty new file, which is evicted from then on. */
  undelete: [{ version: number; inode: number }, { chunks: number } | { refused: string }];
  /** These versions leave the trash for good. Answers how many were there. */
  purgeTrash: [{ versions: number[] }, number];
}
