/**
 * One walk over everything that the bucket holds, side by side with the rows of packs, both in the order
 * of their names, so that memory does not grow with the bucket. Says what each object is; changes nothing.
 */
import type { FilesystemPort } from "../filesystem/port.ts";
import type { PackRow } from "../filesystem/care_protocol.ts";
import {
  DESCRIPTOR_KEY,
  KEY_PREFIX,
  LEASE_PREFIX,
  METADATA_PREFIX,
  packIdOfKey,
  PROBE_PREFIX,
} from "../format/keys.ts";
import type { ObjectInfo, ObjectStore } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import { COLLECTION_LIMITS } from "./collection_limits.ts";

export type StoredVersion = ObjectInfo & { marker: boolean; latest: boolean };

/** What the walk meets, in the order of keys. */
export type Found =
  /** A pack and its row; `length` is that of the object, undefined where the listing does not show it. */
  | { kind: "pack"; row: PackRow; length: number | undefined; hidden: boolean }
  /**
   * A version below packs/ that no row names. `inPlace`: a row names that pack, and a version of it that
   * the listing does not show. So this one may be all that is left of it: in a bucket that was copied,
   * every object has another version.
   */
  | { kind: "unknown"; version: StoredVersion; inPlace: boolean }
  | { kind: "probe"; version: StoredVersion }
  | { kind: "own"; version: StoredVersion }
  | { kind: "foreign"; version: StoredVersion };

/** Rows of packs in the order of their names, page by page. */
export async function* packRows(filesystem: FilesystemPort): AsyncIterable<PackRow> {
  const limit = COLLECTION_LIMITS.PAGE_PACKS;
  let after: Uint8Array | undefined;
  while (true) {
    const page = await filesystem.call("packs", {
      limit,
      ...(after === undefined ? {} : { after }),
    });
    yield* page;
    if (page.length < limit) return;
    after = page[page.length - 1].name;
  }
}

/** Walks the whole prefix. Rejects with StoreError; then nothing that was found counts. */
export async function* surveyBucket(
  parts: { store: ObjectStore; rows: AsyncIterable<PackRow>; signal: AbortSignal },
): AsyncIterable<Found> {
  const rows = parts.rows[Symbol.asyncIterator]();
  const next = async () => {
    const { done, value } = await rows.next();
    if (done) return undefined;
    const side: Side = { row: value, name: hex(value.name), seen: undefined, others: [] };
    return side;
  };
  let side = await next();
  for await (const version of parts.store.listVersions("", { signal: parts.signal })) {
    const id = packIdOfKey(version.key);
    while (side !== undefined && id !== undefined && side.name < id) {
      yield* packOf(side);
      side = await next();
    }
    if (id === undefined) yield { kind: kindOf(version.key), version };
    else if (side?.name !== id) yield { kind: "unknown", version, inPlace: false };
    else if (version.versionId === side.row.versionId && !version.marker) side.seen = version;
    // A hide marker is no copy of anything.
    else if (version.marker) yield { kind: "unknown", version, inPlace: false };
    else side.others.push(version);
  }
  for (; side !== undefined; side = await next()) yield* packOf(side);
}

interface Side {
  row: PackRow;
  name: string;
  seen: StoredVersion | undefined;
  /** Other versions of the same key: a few at most, what is left of puts whose answers were lost. */
  others: StoredVersion[];
}

function* packOf({ row, seen, others }: Side): Iterable<Found> {
  yield { kind: "pack", row, length: seen?.length, hidden: seen !== undefined && !seen.latest };
  for (const version of others) yield { kind: "unknown", version, inPlace: seen === undefined };
}

function kindOf(key: string): "probe" | "own" | "foreign" {
  if (key.startsWith(PROBE_PREFIX)) return "probe";
  if (key === DESCRIPTOR_KEY) return "own";
  for (const prefix of [LEASE_PREFIX, METADATA_PREFIX, KEY_PREFIX]) {
    if (key.startsWith(prefix)) return "own";
  }
  // Also below packs/, where it is not named as packs are: whoever put it there may want it.
  return "foreign";
}
