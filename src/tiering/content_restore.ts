/** Brings the content of one saved version from the bucket, verified, without a mount. Reads only. */
import type { Secrets } from "../format/secrets.ts";
import type { TreeReader } from "../metadata/tree_reader.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { ChunkFetch } from "./chunk_fetch.ts";

/** Rows that are read at once. */
const PAGE_CHUNKS = 64;
const PARALLEL = 8;

/**
 * Calls `take` with each chunk of a file's saved version, in no order; what lies between is zeros.
 * Rejects with StoreError, and with FormatError where bytes are not those that the metadata names.
 */
export async function restoreContent(
  file: { inode: number },
  options: {
    tree: TreeReader;
    store: ObjectStore;
    /** Of an encrypted file system. */
    secrets?: Secrets;
    signal?: AbortSignal;
    take: (index: number, bytes: Uint8Array) => void;
  },
): Promise<void> {
  const { tree, store, secrets, signal, take } = options;
  const fetch = new ChunkFetch<{ index: number; valid: number }>({
    store: () => Promise.resolve(store),
    secrets,
    parallel: PARALLEL,
    signal,
    take: ({ index, valid }, plain) => take(index, plain.subarray(0, valid)),
    failed: (_, error) => {
      throw error;
    },
  });
  try {
    for (let after = -1;;) {
      const pieces = tree.pieces(file.inode, { after, limit: PAGE_CHUNKS });
      for (const piece of pieces) await fetch.add(piece, piece);
      if (pieces.length < PAGE_CHUNKS) return await fetch.finish();
      after = pieces[pieces.length - 1].index;
    }
  } finally {
    await fetch.settled();
  }
}
