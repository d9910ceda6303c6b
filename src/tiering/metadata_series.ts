/**
 * The chain of metadata objects in a bucket: what is there, and which objects count. An object counts
 * unless a later epoch has claimed the bucket without it (docs/FORMAT.md, "The chain"). Reads only.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import {
  LEASE_PREFIX,
  METADATA_PREFIX,
  type MetadataName,
  parseMetadataKey,
} from "../format/keys.ts";
import { decodeClaim, parseClaimKey } from "../format/lease_claim.ts";
import {
  decodeMetadataObject,
  MetadataKind,
  type MetadataObject,
  sha256,
} from "../format/metadata_object.ts";
import type { SegmentEntry } from "../format/metadata_snapshot.ts";
import type { Secrets } from "../format/secrets.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";

/** An object below `metadata/`, as the listing tells it. */
export interface ListedMetadata extends MetadataName {
  key: string;
  bytes: number;
  /** The store's clock, milliseconds. */
  modifiedMs: number;
}

/** An object of changes, read. */
export interface ChainLink {
  listed: ListedMetadata;
  object: MetadataObject;
  /** 64 hexadecimal digits. */
  hash: string;
  previous: string;
}

/** What the objects must be of. */
export interface MetadataSource {
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  /** Undefined: not encrypted, and what is encrypted is refused. */
  secrets?: Secrets;
  signal?: AbortSignal;
}

/** A claim on the bucket, and the last object that its claimant knew. */
export interface ClaimBase {
  epoch: number;
  base: string;
}

const PARALLEL = 8;

/** Everything below `metadata/`, in the order of names; others than ours are left out. */
export async function listMetadata(
  store: ObjectStore,
  options: { signal?: AbortSignal; startAfter?: string } = {},
): Promise<ListedMetadata[]> {
  const found: ListedMetadata[] = [];
  for await (const { key, length, modifiedMs } of store.list(METADATA_PREFIX, options)) {
    const name = parseMetadataKey(key);
    if (name !== undefined) found.push({ ...name, key, bytes: length, modifiedMs });
  }
  return found;
}

/** Reads objects of changes, a few at a time. Rejects with FormatError, StoreError. */
export async function readLinks(
  store: ObjectStore,
  listed: ListedMetadata[],
  options: MetadataSource,
): Promise<ChainLink[]> {
  return await parallel(listed, async (each) => {
    const object = await readMetadataObject(store, each.key, options);
    if (object.kind !== MetadataKind.CHANGES) {
      throw new FormatError("corrupt", `${each.key} is not an object of changes`);
    }
    return { listed: each, object, hash: hex(object.hash), previous: hex(object.previous) };
  });
}

/** One object, which must be of this file system. Rejects with FormatError, StoreError. */
export async function readMetadataObject(
  store: ObjectStore,
  key: string,
  options: MetadataSource,
): Promise<MetadataObject> {
  const bytes = await store.get(key, { signal: options.signal });
  let object: MetadataObject;
  try {
    object = decodeMetadataObject(bytes, options.secrets);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(error.kind, `${key}: ${error.message}`, { cause: error });
  }
  if (hex(object.fileSystem) !== options.fileSystem) {
    throw new FormatError("corrupt", `${key} belongs to file system ${hex(object.fileSystem)}`);
  }
  if (options.secrets !== undefined) requireName(object, key);
  return object;
}

/** A segment of a snapshot that is not what the snapshot means, or not there. */
export class SegmentError extends FormatError {
  constructor(message: string, options?: ErrorOptions) {
    super("corrupt", message, options);
  }
}

/** The records of a segment. Rejects with SegmentError, StoreError. */
export async function readSegment(
  segment: SegmentEntry,
  options: MetadataSource & { store: ObjectStore },
): Promise<Uint8Array> {
  let object: MetadataObject;
  try {
    object = await readMetadataObject(options.store, segment.key, options);
  } catch (error) {
    // What a newer version wrote is no reason to go back to something older.
    const unusable = (error instanceof FormatError && error.kind === "corrupt") ||
      (error instanceof StoreError && error.kind === "missing");
    if (!unusable) throw error;
    throw new SegmentError(error.message, { cause: error });
  }
  const content = hex(sha256(object.payload));
  if (object.kind !== MetadataKind.SEGMENT || content !== hex(segment.content)) {
    throw new SegmentError(`${segment.key} is not the segment that its snapshot means`);
  }
  return object.payload;
}

/** What is encrypted is authentic under a name that says what it says. */
function requireName(object: MetadataObject, key: string): void {
  const name = parseMetadataKey(key);
  const kind = name && KINDS[name.kind];
  if (kind === object.kind && name?.epoch === object.epoch) {
    if (name.first === object.first && name.last === object.last) return;
  }
  throw new FormatError("corrupt", `${key} is another object under this name`);
}

const KINDS: Record<MetadataName["kind"], MetadataKind> = {
  changes: MetadataKind.CHANGES,
  segment: MetadataKind.SEGMENT,
  snapshot: MetadataKind.SNAPSHOT,
};

/** Claims of epochs after `epoch` that say what they build upon. */
export async function claimBases(
  store: ObjectStore,
  options: { after: number; signal?: AbortSignal },
): Promise<ClaimBase[]> {
  const { signal } = options;
  const keys: string[] = [];
  for await (const { key } of store.list(LEASE_PREFIX, { signal })) {
    const name = parseClaimKey(key);
    if (name !== undefined && !name.released && name.epoch > options.after) keys.push(key);
  }
  const claims = await parallel(keys, async (key): Promise<ClaimBase | undefined> => {
    try {
      const { epoch, base } = decodeClaim(await store.get(key, { signal }));
      return base === undefined ? undefined : { epoch, base };
    } catch (error) {
      // A claim that cannot be read claims no base; its holder's objects have its epoch all the same.
      if (error instanceof FormatError) return undefined;
      if (error instanceof StoreError && error.kind === "missing") return undefined;
      throw error;
    }
  });
  return claims.filter((claim) => claim !== undefined);
}

/**
 * The objects that follow `from` (a hash), in order. Throws UserError (refused) where two of one epoch
 * follow the same object: somebody has to look at both. Where only what is not later than `untilMs` is
 * wanted, such a fork behind it ends the chain.
 */
export function followChain(
  from: string,
  parts: { links: ChainLink[]; claims: ClaimBase[]; untilMs?: number },
): ChainLink[] {
  const successors = new Map<string, ChainLink[]>();
  for (const link of parts.links) {
    const others = successors.get(link.previous);
    if (others === undefined) successors.set(link.previous, [link]);
    // An object that was sent twice is one object.
    else if (!others.some((other) => other.hash === link.hash)) others.push(link);
  }
  const chain: ChainLink[] = [];
  for (let at = from;;) {
    const claimed = parts.claims.filter(({ base }) => base === at).map(({ epoch }) => epoch);
    const candidates = successors.get(at) ?? [];
    const epoch = Math.max(...claimed, ...candidates.map(({ object }) => object.epoch));
    const next = candidates.filter(({ object }) => object.epoch === epoch);
    if (next.length > 1) {
      const { untilMs = Infinity } = parts;
      if (next.every(({ object }) => object.timeMs > untilMs)) return chain;
      throw forked(next);
    }
    if (next.length === 0) return chain;
    chain.push(next[0]);
    // Each object is followed once, so that a ring ends.
    successors.delete(at);
    at = next[0].hash;
  }
}

function forked(links: ChainLink[]): UserError {
  const each = links.map(({ listed, object }) =>
    `${listed.key} (${new Date(object.timeMs).toISOString()})`
  );
  return new UserError(`two metadata objects follow the same one: ${each.join(" and ")}`, {
    hint: "two mounts have written at the same time; --at TIME recovers the state before both",
    exitCode: ExitCode.refused,
  });
}

/** Runs `action` for all items, a few at a time; answers in their order. */
export async function parallel<T, R>(
  items: T[],
  action: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const work = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await action(items[at]);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, work));
  return results;
}
