/**
 * Where following begins: makes a database of the newest state in the bucket, or finds that one which is
 * there can be followed on from. Downloads metadata only; writes nothing to the bucket.
 */
import { FormatError } from "../format/format_error.ts";
import { parseMetadataKey } from "../format/keys.ts";
import { decodeRecord } from "../format/metadata_record_reader.ts";
import type { Secrets } from "../format/secrets.ts";
import { type MetadataHead, NO_HEAD } from "../metadata/change_log.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { follow } from "../metadata/follow.ts";
import { Staging } from "../metadata/staging.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { hex } from "../runtime/random.ts";
import { placeBefore } from "./metadata_head.ts";
import { claimBases, followChain, listMetadata, readLinks } from "./metadata_series.ts";
import { type RecoveryOptions, stage } from "./recovery.ts";
import type { RecoveryPlan } from "./recovery_plan.ts";

/** Objects beyond which beginning anew is quicker than going on. */
const FAR_BEHIND_OBJECTS = 1000;

/** Builds a database in an empty directory. Rejects with FormatError, StoreError. */
export async function buildFollower(options: RecoveryOptions): Promise<void> {
  const { directory } = options;
  const staging = new Staging(`${directory}/staging.db`);
  try {
    const { plan } = await stage(staging, options);
    const database = MetadataDatabase.create({
      directory,
      fileSystemId: options.fileSystem,
      chunkSize: options.chunkSize,
      store: options.storeUrl,
      clock: options.clock,
      root: options.root,
    });
    try {
      const rows = {
        *records(table: Parameters<Staging["records"]>[0]) {
          for (const raw of staging.records(table)) yield decodeRecord(raw);
        },
      };
      follow(database, { rows, head: shownHead(plan), pointMs: plan.pointMs });
      database.transaction(() => database.setSetting("descriptor_published", 1));
      database.close({ clean: true });
    } catch (error) {
      database.close({ clean: false });
      throw error;
    }
  } finally {
    staging.close();
  }
}

/** The last object that is shown, which need not be the newest in the bucket. */
function shownHead({ links, snapshot }: RecoveryPlan): MetadataHead {
  const last = links.at(-1);
  if (last !== undefined) {
    const { listed, hash, object } = last;
    return { key: listed.key, hash, epoch: object.epoch, sequence: object.last + 1 };
  }
  if (snapshot === undefined) return NO_HEAD;
  const name = parseMetadataKey(snapshot.key);
  // The objects that the snapshot stands for may be gone; those that follow begin after it.
  return {
    key: "",
    hash: hex(snapshot.manifest.end),
    epoch: name?.epoch ?? 0,
    sequence: name?.first ?? 0,
  };
}

/** Why what is shown cannot be followed on from; undefined: it can. Rejects with StoreError. */
export async function cannotContinue(
  head: MetadataHead,
  options: { store: ObjectStore; fileSystem: string; secrets?: Secrets; signal?: AbortSignal },
): Promise<string | undefined> {
  const { store, signal } = options;
  const listed = (await listMetadata(store, { signal, startAfter: placeBefore(head) }))
    .filter(({ kind, key, epoch, last }) =>
      kind === "changes" && key !== head.key &&
      (epoch > head.epoch || (epoch === head.epoch && last >= head.sequence))
    );
  if (listed.length === 0) return undefined;
  if (listed.length > FAR_BEHIND_OBJECTS) return `${listed.length} objects behind`;
  try {
    const links = await readLinks(store, listed, options);
    const claims = await claimBases(store, { after: head.epoch, signal });
    const chain = followChain(head.hash, { links, claims });
    if (chain.length === 0) return "the series has gone on from another state";
    return chain.some(({ object }) => object.restart) ? "the series was begun anew" : undefined;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return error.message;
  }
}
