/**
 * Law 0: do this cache and the bucket agree on the last metadata object? If the bucket is ahead, or
 * different, this cache is an old copy, and nothing may be written from it. Reads only.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { FormatError } from "../format/format_error.ts";
import { epochText, METADATA_PREFIX, parseMetadataKey } from "../format/keys.ts";
import type { Secrets } from "../format/secrets.ts";
import type { MetadataHead, ShippingState } from "../metadata/change_log.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import {
  type ChainLink,
  claimBases,
  followChain,
  listMetadata,
  readLinks,
} from "./metadata_series.ts";

/** This cache is not what the bucket's metadata came from. */
export class OldCopyError extends UserError {}

export interface HeadCheck {
  head: MetadataHead;
  /** Bytes of objects that this cache had sent without hearing of it. */
  adoptedBytes: number;
}

/**
 * Answers the head that both agree on: the cache's own, or that of an object that it was sending when
 * it crashed. Rejects with OldCopyError, and with StoreError where it cannot be known.
 */
export async function agreeOnHead(options: {
  store: ObjectStore;
  fileSystem: string;
  /** Of an encrypted file system. */
  secrets?: Secrets;
  state: ShippingState;
  signal?: AbortSignal;
}): Promise<HeadCheck> {
  const { store, state, signal } = options;
  const { head } = state;
  const listed = (await listMetadata(store, { signal, startAfter: placeBefore(head) }))
    .filter(({ kind }) => kind === "changes");
  const others = listed.filter(({ key }) => key !== head.key);
  if (head.key !== "" && others.length === listed.length) {
    const lost = others.length === 0
      ? "if the bucket has lost it, `zero fsck --repair` on the unmounted cache goes on from here; or "
      : "";
    throw different(store, `${head.key}, which it had written, is gone from there`, lost);
  }
  if (others.length === 0) return { head, adoptedBytes: 0 };
  let links: ChainLink[];
  try {
    links = await readLinks(store, others, options);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw different(store, error.message);
  }
  const claims = await claimBases(store, { after: head.epoch, signal });
  const ahead = followChain(head.hash, { links, claims });
  const foreign = ahead.find(({ hash }) => !state.intents.includes(hash));
  if (foreign !== undefined) {
    const time = new Date(foreign.object.timeMs).toISOString();
    throw different(store, `${foreign.listed.key}, written ${time}, is not from this cache`);
  }
  const last = ahead.at(-1);
  if (last === undefined) return { head, adoptedBytes: 0 };
  return {
    // The sequence stays: what it had changed is sent once more.
    head: { ...head, key: last.listed.key, hash: last.hash, epoch: last.object.epoch },
    adoptedBytes: ahead.reduce((sum, { listed }) => sum + listed.bytes, 0),
  };
}

/** A name before that of the head and of all that may follow it. */
export function placeBefore(head: MetadataHead): string {
  const name = parseMetadataKey(head.key);
  if (name === undefined) return METADATA_PREFIX;
  return `${METADATA_PREFIX}${epochText(name.epoch)}/${epochText(name.first)}`;
}

/** `first`: what else there is to try, for people. */
function different(store: ObjectStore, why: string, first = ""): OldCopyError {
  return new OldCopyError(
    `this cache is an old copy: the metadata in ${store.description} has gone on without it (${why})`,
    {
      hint: first +
        "read what you need; then move the cache away and bring the newest state back with " +
        "`zero recover`",
      exitCode: ExitCode.refused,
    },
  );
}
