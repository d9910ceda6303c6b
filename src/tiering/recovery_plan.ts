/**
 * From what lies in the bucket to one state to go back to: the newest snapshot that counts, and the
 * changes behind it up to the last object that is complete. Reads only.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import { MetadataKind } from "../format/metadata_object.ts";
import { decodeManifest, type Manifest } from "../format/metadata_snapshot.ts";
import type { Secrets } from "../format/secrets.ts";
import { type MetadataHead, NO_HEAD } from "../metadata/change_log.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import {
  type ChainLink,
  claimBases,
  followChain,
  type ListedMetadata,
  listMetadata,
  readLinks,
  readMetadataObject,
} from "./metadata_series.ts";

export interface RecoveryPlan {
  /** Undefined: all objects of changes from the first one on. */
  snapshot: { key: string; manifest: Manifest; timeMs: number } | undefined;
  /** Objects to apply, in order; the last one is complete. */
  links: ChainLink[];
  /** Wall clock of the writer, ms, of the state that comes back; undefined: an empty file system. */
  pointMs: number | undefined;
  /** The newest object in the bucket that counts: a new chain goes on from there. */
  tip: MetadataHead;
  /** False: an earlier state, or one behind which something is missing or was passed over. */
  newest: boolean;
  /** Objects behind the last complete one, which are not applied. */
  incomplete: number;
  /** What else there is to say, for people. */
  notes: string[];
  /** The next best plan, where a segment of this one's snapshot cannot be used; rejects as this one did. */
  withoutSnapshot(reason: string): Promise<RecoveryPlan>;
}

interface Parts {
  store: ObjectStore;
  /** File system id, 32 hexadecimal digits. */
  fileSystem: string;
  /** Of an encrypted file system. */
  secrets?: Secrets;
  signal?: AbortSignal;
}

/**
 * Rejects with UserError where the chain forks or no state at `atMs` (or before) can be had, with
 * StoreError where the bucket does not answer.
 */
export async function planRecovery(
  parts: Parts & { atMs?: number },
): Promise<RecoveryPlan> {
  return await planWithout(new Set(), { ...parts, notes: [] });
}

/** `damaged`: keys of snapshots that are passed over. */
async function planWithout(
  damaged: ReadonlySet<string>,
  parts: Parts & { atMs?: number; notes: string[] },
): Promise<RecoveryPlan> {
  const listed = await listMetadata(parts.store, parts);
  const changes = listed.filter(({ kind }) => kind === "changes");
  const notes = [...parts.notes];
  for (const candidate of [...newestFirst(listed), undefined]) {
    if (candidate !== undefined && damaged.has(candidate.key)) continue;
    const plan = await planFrom(candidate, { ...parts, listed: listed.length, changes, notes });
    if (plan === undefined) continue;
    return {
      ...plan,
      withoutSnapshot(reason) {
        const key = plan.snapshot!.key;
        const noted = [...parts.notes, `snapshot ${key} cannot be used: ${reason}`];
        return planWithout(new Set([...damaged, key]), { ...parts, notes: noted });
      },
    };
  }
  throw new UserError(
    parts.atMs === undefined
      ? `the metadata in ${parts.store.description} cannot be put together`
      : `nothing in ${parts.store.description} is from before ${
        new Date(parts.atMs).toISOString()
      }`,
    { hint: notes.join("; ") || undefined, exitCode: ExitCode.failure },
  );
}

function newestFirst(listed: ListedMetadata[]): ListedMetadata[] {
  return listed.filter(({ kind }) => kind === "snapshot")
    .sort((a, b) => b.epoch - a.epoch || b.last - a.last || b.modifiedMs - a.modifiedMs);
}

/** The plan that begins with this snapshot, or with nothing; undefined where it leads nowhere. */
async function planFrom(
  candidate: ListedMetadata | undefined,
  parts: Parts & { atMs?: number; listed: number; changes: ListedMetadata[]; notes: string[] },
): Promise<Omit<RecoveryPlan, "withoutSnapshot"> | undefined> {
  const { store, signal, atMs = Infinity, listed, changes, notes } = parts;
  let snapshot: RecoveryPlan["snapshot"];
  if (candidate !== undefined) {
    try {
      const object = await readMetadataObject(store, candidate.key, parts);
      if (object.kind !== MetadataKind.SNAPSHOT) return undefined;
      const manifest = decodeManifest(object.payload);
      snapshot = { key: candidate.key, manifest, timeMs: object.timeMs };
    } catch (error) {
      const unusable = error instanceof FormatError ||
        (error instanceof StoreError && error.kind === "missing");
      if (!unusable) throw error;
      notes.push(`snapshot ${candidate.key} cannot be used: ${error.message}`);
      return undefined;
    }
  }
  const base = snapshot === undefined ? NO_HEAD.hash : hex(snapshot.manifest.base);
  const end = snapshot === undefined ? NO_HEAD.hash : hex(snapshot.manifest.end);
  // What was read earlier cannot follow its base, and is not the base either.
  const later = candidate === undefined
    ? changes
    : changes.filter(({ last }) => last >= candidate.first - 1);
  const links = await readLinks(store, later, parts);
  if (candidate === undefined && listed > 0 && !links.some(isFirst)) {
    // What was there has gone, for a snapshot that cannot be used: that is not an empty file system.
    notes.push("the first objects of changes are not there any more");
    return undefined;
  }
  const claims = await claimBases(store, {
    after: Math.min(...links.map(({ object }) => object.epoch), Number.MAX_SAFE_INTEGER),
    signal,
  });
  const chain = followChain(base, { links, claims, untilMs: atMs });
  const usable = withoutGap(chain, { begunAnew: end !== base });
  const consistent = end === base ? 0 : usable.findIndex(({ hash }) => hash === end) + 1;
  if (end !== base && consistent === 0) {
    notes.push(`snapshot ${candidate?.key} was begun by a mount that had lost the bucket`);
    return undefined;
  }
  let count = end === base ? 0 : consistent;
  for (let at = count; at < usable.length; at++) {
    if (usable[at].object.complete && usable[at].object.timeMs <= atMs) count = at + 1;
  }
  const lost = unconnected(chain, { links, base });
  if (lost > 0 && atMs === Infinity) {
    notes.push(
      `${lost} newer objects do not follow from these: an object between them is missing or damaged`,
    );
  }
  const applied = usable.slice(0, count);
  const pointMs = applied.at(-1)?.object.timeMs ?? snapshot?.timeMs;
  if (pointMs !== undefined && pointMs > atMs) return undefined;
  if (pointMs === undefined && (atMs !== Infinity || chain.length > 0)) return undefined;
  return {
    snapshot,
    links: applied,
    pointMs,
    tip: headOf(chain.at(-1), { links, base, candidate }),
    newest: atMs === Infinity && notes.length === 0,
    incomplete: atMs === Infinity ? usable.length - count : 0,
    notes,
  };
}

/** Follows nothing. */
function isFirst({ previous }: ChainLink): boolean {
  return previous === NO_HEAD.hash;
}

/**
 * An object that begins anew applies only to a snapshot that was taken because of it: then it comes before
 * the snapshot's end. An older snapshot knows nothing of what the log had held before it was given up.
 */
function withoutGap(chain: ChainLink[], { begunAnew }: { begunAnew: boolean }): ChainLink[] {
  const gap = chain.findIndex(({ object }, at) => object.restart && !(at === 0 && begunAnew));
  return gap < 0 ? chain : chain.slice(0, gap);
}

/** Objects of the newest epoch that should follow the chain, or what it begins with, and do not. */
function unconnected(chain: ChainLink[], parts: { links: ChainLink[]; base: string }): number {
  const { links, base } = parts;
  const end = (chain.at(-1) ?? links.find(({ hash }) => hash === base))?.object;
  const reached = new Set([base, ...chain.map(({ hash }) => hash)]);
  return links.filter(({ hash, object }) =>
    !reached.has(hash) &&
    (object.epoch > (end?.epoch ?? -1) ||
      (object.epoch === end?.epoch && object.last > end.last))
  ).length;
}

function headOf(
  last: ChainLink | undefined,
  parts: { links: ChainLink[]; base: string; candidate: ListedMetadata | undefined },
): MetadataHead {
  const { links, base, candidate } = parts;
  // Nothing follows the snapshot: the chain ends with the object that it was based upon.
  const end = last ?? links.find(({ hash }) => hash === base);
  if (end === undefined) return { ...NO_HEAD, hash: base };
  const { listed, hash, object } = end;
  const sequence = Math.max(object.last + 1, candidate?.last ?? 0);
  return { key: listed.key, hash, epoch: object.epoch, sequence };
}
