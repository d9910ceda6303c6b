/**
 * Which metadata objects and lease claims nobody needs any more: what lies before the newest snapshot
 * that is as old as recovery points are kept. Owns the rule that good is never replaced by less: that
 * snapshot counts only once all of it has been read, verified, and found to lead to the present head.
 * Reads only.
 */
import { UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import { LEASE_PREFIX, parseMetadataKey } from "../format/keys.ts";
import { parseClaimKey } from "../format/lease_claim.ts";
import { MetadataKind } from "../format/metadata_object.ts";
import { decodeManifest, type Manifest } from "../format/metadata_snapshot.ts";
import type { Secrets } from "../format/secrets.ts";
import type { MetadataHead } from "../metadata/change_log.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import type { StoredVersion } from "./bucket_survey.ts";
import {
  type ChainLink,
  claimBases,
  followChain,
  type ListedMetadata,
  parallel,
  readLinks,
  readMetadataObject,
  readSegment,
} from "./metadata_series.ts";

export interface RetirementOptions {
  store: ObjectStore;
  /** 32 hexadecimal digits. */
  fileSystem: string;
  /** Of an encrypted file system. */
  secrets: Secrets | undefined;
  /** Of the claim that this mount holds. */
  epoch: number;
  /** The last object that the bucket has confirmed. */
  head: MetadataHead;
  /** Key of the last snapshot that this cache knows of. */
  snapshot: string | undefined;
  /** The store's clock, ms: every state from then on can still be recovered afterwards. */
  beforeMs: number;
  signal: AbortSignal;
}

export interface Superseded {
  /** What may go, in the order in which it has to: no group before all of the one before it has gone. */
  groups: StoredVersion[][];
  /** Why something stays, for people. */
  notes: string[];
}

type Named = ListedMetadata & { version: StoredVersion };
type Snapshot = Named & { manifest: Manifest };

/**
 * `own`: every version below `metadata/` and `lease/`, as one listing shows them. Rejects with StoreError
 * where the bucket does not answer; an object that cannot be used keeps what it might replace.
 */
export async function supersededMetadata(
  own: readonly StoredVersion[],
  options: RetirementOptions,
): Promise<Superseded> {
  const shown = own.filter(({ latest, marker }) => latest && !marker);
  const listed = shown.flatMap((version): Named[] => {
    const name = parseMetadataKey(version.key);
    if (name === undefined) return [];
    const { key, length: bytes, modifiedMs } = version;
    return [{ ...name, key, bytes, modifiedMs, version }];
  });
  const present = new Set(shown.map(({ key }) => key));
  const { head, snapshot } = options;
  const missing = [head.key, snapshot].find((key) => key !== undefined && !present.has(key));
  if (missing !== undefined) {
    return { groups: [], notes: [`${missing} is not in the listing: no metadata is collected`] };
  }
  const notes: string[] = [];
  const groups = [
    oldClaims(shown, options),
    ...await oldMetadata(listed, { options, notes }),
  ];
  return { groups: groups.filter((group) => group.length > 0), notes };
}

/**
 * Claims of earlier epochs. Whatever they kept out of the chain, the objects that were written under
 * later claims keep out as well; and where none was written yet, the claim of this mount does.
 */
function oldClaims(
  shown: StoredVersion[],
  { epoch, beforeMs }: RetirementOptions,
): StoredVersion[] {
  const claims = shown.filter(({ key }) => key.startsWith(LEASE_PREFIX));
  const nameOf = ({ key }: StoredVersion) => parseClaimKey(key);
  const held = claims.some((claim) => {
    const name = nameOf(claim);
    return name?.epoch === epoch && !name.released;
  });
  if (!held) return [];
  return claims.filter((claim) =>
    (nameOf(claim)?.epoch ?? Infinity) < epoch && claim.modifiedMs < beforeMs
  );
}

async function oldMetadata(
  listed: Named[],
  { options, notes }: { options: RetirementOptions; notes: string[] },
): Promise<StoredVersion[][]> {
  const snapshots = listed.filter(({ kind }) => kind === "snapshot")
    .sort((a, b) => b.epoch - a.epoch || b.last - a.last || b.modifiedMs - a.modifiedMs);
  for (const candidate of snapshots) {
    if (candidate.modifiedMs >= options.beforeMs) continue;
    // The last one that it could replace has gone already: nothing is read for it.
    if (!listed.some((each) => each !== candidate && isBefore(each, candidate))) return [];
    try {
      return await replacedBy(candidate, { listed, snapshots, options });
    } catch (error) {
      if (!isUnusable(error)) throw error;
      notes.push(`${candidate.key} cannot replace what is older: ${error.message}`);
    }
  }
  return [];
}

/** By name only. The object that a snapshot builds upon, and those that were sent with it, are not before it. */
function isBefore(one: ListedMetadata, snapshot: ListedMetadata): boolean {
  if (one.epoch !== snapshot.epoch) return one.epoch < snapshot.epoch;
  switch (one.kind) {
    case "changes":
      return one.last < snapshot.first - 1;
    case "segment":
      return one.first < snapshot.first;
    case "snapshot":
      return one.last < snapshot.last;
  }
}

function isUnusable(error: unknown): error is Error {
  return error instanceof FormatError || error instanceof UserError ||
    (error instanceof StoreError && (error.kind === "missing" || error.kind === "corrupt"));
}

async function replacedBy(
  candidate: Named,
  parts: { listed: Named[]; snapshots: Named[]; options: RetirementOptions },
): Promise<StoredVersion[][]> {
  const { listed, snapshots, options } = parts;
  const kept = snapshots.filter((each) => !isBefore(each, candidate));
  const manifests = await parallel(kept, (each) => readSnapshot(each, options));
  const { manifest } = manifests[kept.indexOf(candidate)];
  const needed = new Set(manifests.flatMap((each) => each.manifest.segments.map(({ key }) => key)));
  const old = listed.filter(({ modifiedMs }) => modifiedMs < options.beforeMs);
  const segments = old.filter((each) =>
    each.kind === "segment" && !needed.has(each.key) &&
    (isBefore(each, candidate) ||
      (each.epoch === candidate.epoch && each.first === candidate.first))
  );
  const before = old.filter((each) => each.kind !== "segment" && isBefore(each, candidate));
  if (segments.length + before.length === 0) return [];
  await assertSegments(manifest, { listed, options });
  const base = await assertLeadsToHead(candidate, { manifest, listed, options });
  const changes = before.filter(({ kind, epoch, last }) =>
    kind === "changes" && (epoch < base.epoch || (epoch === base.epoch && last < base.last))
  );
  // A snapshot goes before its segments, so that no reader is ever led to what is missing.
  const older = old.filter((each) => each.kind === "snapshot" && !kept.includes(each));
  return [older, segments, changes].map((group) => group.map(({ version }) => version));
}

async function readSnapshot(each: Named, options: RetirementOptions): Promise<Snapshot> {
  const object = await readMetadataObject(options.store, each.key, options);
  if (object.kind !== MetadataKind.SNAPSHOT) {
    throw new FormatError("corrupt", `${each.key} is not a snapshot`);
  }
  return { ...each, manifest: decodeManifest(object.payload) };
}

/** All segments are there, and are what the snapshot means. */
async function assertSegments(
  manifest: Manifest,
  { listed, options }: { listed: Named[]; options: RetirementOptions },
): Promise<void> {
  const lengths = new Map(listed.map(({ key, bytes }) => [key, bytes]));
  await parallel(manifest.segments, async (segment) => {
    const { key, bytes } = segment;
    if (lengths.get(key) !== bytes) {
      throw new FormatError(
        "corrupt",
        `${key} has ${lengths.get(key) ?? "no"} bytes, not ${bytes}`,
      );
    }
    await readSegment(segment, options);
  });
}

/** The objects behind the snapshot lead to the present head without a gap. Answers its base. */
async function assertLeadsToHead(
  candidate: Named,
  parts: { manifest: Manifest; listed: Named[]; options: RetirementOptions },
): Promise<{ epoch: number; last: number }> {
  const { manifest, listed, options } = parts;
  const later = listed.filter(({ kind, last }) =>
    kind === "changes" && last >= candidate.first - 1
  );
  const links = await parallel(later, async (each): Promise<ChainLink> => {
    const [link] = await readLinks(options.store, [each], options);
    // What it says was needed to verify it only.
    return { ...link, object: { ...link.object, payload: new Uint8Array(0) } };
  });
  const base = links.find(({ hash }) => hash === hex(manifest.base));
  if (base === undefined) {
    throw new FormatError("corrupt", "the object that it builds upon is gone");
  }
  const claims = await claimBases(options.store, { after: base.object.epoch, ...options });
  const chain = followChain(base.hash, { links, claims });
  const reached = [base, ...chain];
  const end = reached.findIndex(({ hash }) => hash === hex(manifest.end));
  if (end < 0) throw new FormatError("corrupt", "its end does not follow from its beginning");
  if (chain.some(({ object }, at) => object.restart && !(at === 0 && end > 0))) {
    throw new FormatError("corrupt", "what follows it was begun anew");
  }
  if (reached.at(-1)!.hash !== options.head.hash) {
    throw new FormatError("corrupt", "what follows it does not lead to the present head");
  }
  return { epoch: base.object.epoch, last: Math.min(base.object.last, candidate.first - 1) };
}
