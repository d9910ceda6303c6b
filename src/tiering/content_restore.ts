/** Brings the content of saved versions from the bucket, verified, without a mount. Reads only. */
import type { TreeReader } from "../metadata/tree_reader.ts";
import { packKey } from "../format/keys.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { decodeBytes } from "./compute_jobs.ts";
import { parallel } from "./metadata_series.ts";

/** Chunks that are fetched together. */
const PAGE_CHUNKS = 16;

/**
 * Calls `take` with each chunk of a file's saved version, in order; what lies between is zeros. Rejects
 * with StoreError, and with FormatError where bytes are not those that the metadata names.
 */
export async function restoreContent(
  file: { inode: number },
  options: {
    tree: TreeReader;
    store: ObjectStore;
    signal?: AbortSignal;
    take: (index: number, bytes: Uint8Array) => void;
  },
): Promise<void> {
  const { tree, store, signal, take } = options;
  for (let after = -1;;) {
    const pieces = tree.pieces(file.inode, { after, limit: PAGE_CHUNKS });
    const plain = await parallel(pieces, async (piece) => {
      const range = { offset: piece.offset, length: piece.stored };
      const versionId = piece.packVersion;
      return decodeBytes(
        await store.get(packKey(piece.pack), { versionId, range, signal }),
        piece,
      );
    });
    pieces.forEach(({ index, valid }, i) => take(index, plain[i].subarray(0, valid)));
    if (pieces.length < PAGE_CHUNKS) return;
    after = pieces[pieces.length - 1].index;
  }
}
