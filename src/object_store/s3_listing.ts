/**
 * Listings, page by page, as they are consumed.
 *
 * A page must be that of the bucket asked, its keys below the prefix and in order, and the listing
 * must advance: a store (or something in its place) that repeats itself is `corrupt`, not endless.
 */
import { ListObjectVersionsCommand } from "@aws-sdk/client-s3";
import { compareKeys } from "./keys.ts";
import { type ObjectInfo, StoreError } from "./object_store.ts";
import type { S3Calls } from "./s3_calls.ts";

export interface Listing {
  bucket: string;
  /** What the store puts before every key, its slash included. */
  storePrefix: string;
  prefix: string;
  startAfter?: string;
  signal?: AbortSignal;
}

/** Keys per page; what every S3 store answers at most. */
const pageKeys = 1000;

/** Follows the order of the keys across the pages of one listing. */
class Order {
  #last: string | undefined;
  /** Versions of the last key that were listed. */
  #versions = new Set<string>();
  constructor(private readonly listing: Listing) {}

  /** The caller's key for the store's. Throws `corrupt` where the listing cannot be right. */
  next(fullKey: string, versionId: string): string {
    const { storePrefix, prefix } = this.listing;
    if (!fullKey.startsWith(storePrefix + prefix)) {
      throw corrupt(this.listing, `'${fullKey}' is not below the prefix`);
    }
    if (this.#last !== undefined && compareKeys(fullKey, this.#last) < 0) {
      throw corrupt(this.listing, `'${fullKey}' came after '${this.#last}'`);
    }
    if (fullKey !== this.#last) this.#versions.clear();
    if (this.#versions.has(versionId)) {
      throw corrupt(this.listing, `'${fullKey}' has version ${versionId} twice`);
    }
    this.#versions.add(versionId);
    this.#last = fullKey;
    return fullKey.slice(storePrefix.length);
  }
}

function corrupt(listing: Listing, why: string): StoreError {
  return new StoreError("corrupt", `list ${listing.prefix}: ${why}`);
}

interface Page {
  versions: (ObjectInfo & { marker: boolean; latest: boolean })[];
  next: { KeyMarker: string; VersionIdMarker: string | undefined } | undefined;
}

/**
 * Current objects. They come from the listing of versions, because ListObjectsV2 does not tell the
 * version ids that reads and deletes need.
 */
export async function* listObjects(calls: S3Calls, listing: Listing): AsyncIterable<ObjectInfo> {
  for await (const version of listObjectVersions(calls, listing)) {
    if (!version.latest || version.marker) continue;
    const { marker: _marker, latest: _latest, ...current } = version;
    yield current;
  }
}

/** All versions and hide markers; of one key the newest first. */
export async function* listObjectVersions(
  calls: S3Calls,
  listing: Listing,
): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
  const { startAfter, storePrefix } = listing;
  const order = new Order(listing);
  let marker: Page["next"] = startAfter === undefined
    ? undefined
    : { KeyMarker: storePrefix + startAfter, VersionIdMarker: undefined };
  do {
    const page = await fetchPage(calls, listing, marker);
    for (const version of page.versions) {
      const key = order.next(version.key, version.versionId);
      // Stores differ in whether a marker without version includes its own key.
      if (startAfter !== undefined && compareKeys(key, startAfter) <= 0) continue;
      yield { ...version, key };
    }
    const { next } = page;
    if (
      next !== undefined && next.KeyMarker === marker?.KeyMarker &&
      next.VersionIdMarker === marker.VersionIdMarker
    ) {
      throw corrupt(listing, `the page after '${next.KeyMarker}' leads to itself`);
    }
    marker = next;
  } while (marker !== undefined);
}

/** One page, its keys as the store has them. */
function fetchPage(calls: S3Calls, listing: Listing, marker: Page["next"]): Promise<Page> {
  const { bucket, storePrefix, prefix, signal } = listing;
  return calls.run({ operation: "list", subject: prefix, signal }, async (send) => {
    const { output } = await send(
      new ListObjectVersionsCommand({
        Bucket: bucket,
        Prefix: storePrefix + prefix,
        MaxKeys: pageKeys,
        ...marker,
      }),
    );
    if (output.Name !== bucket) {
      throw corrupt(listing, `the answer is not a listing of bucket ${bucket}`);
    }
    const versions = [
      ...(output.Versions ?? []).map((entry) => describe(listing, { ...entry, marker: false })),
      ...(output.DeleteMarkers ?? []).map((entry) =>
        describe(listing, { ...entry, Size: 0, marker: true })
      ),
    ];
    // The SDK sorts the two kinds apart; stable, so each kind keeps the store's order.
    versions.sort((a, b) =>
      compareKeys(a.key, b.key) || Number(b.latest) - Number(a.latest) ||
      b.modifiedMs - a.modifiedMs
    );
    if (!output.IsTruncated) return { versions, next: undefined };
    if (output.NextKeyMarker === undefined) {
      throw corrupt(listing, "a page says that there are more, but not where");
    }
    const next = { KeyMarker: output.NextKeyMarker, VersionIdMarker: output.NextVersionIdMarker };
    return { versions, next };
  });
}

function describe(
  listing: Listing,
  entry: {
    Key?: string;
    Size?: number;
    LastModified?: Date;
    VersionId?: string;
    IsLatest?: boolean;
    marker: boolean;
  },
): ObjectInfo & { marker: boolean; latest: boolean } {
  const { Key, Size, LastModified, VersionId, IsLatest, marker } = entry;
  if (Key === undefined || Size === undefined || LastModified === undefined) {
    throw corrupt(listing, `'${Key}' has no key, size or time`);
  }
  return {
    key: Key,
    length: Size,
    versionId: VersionId ?? "null",
    modifiedMs: LastModified.getTime(),
    marker,
    latest: IsLatest ?? true,
  };
}
