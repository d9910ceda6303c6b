/**
 * The wrapped master keys of a bucket, `keys/…`: reads them, puts a new one, takes old ones away. A new one
 * counts only when it has been read back; until then nothing old goes.
 */
import { Buffer } from "node:buffer";
import { KEY_PREFIX, wrappedKeyKey } from "../format/keys.ts";
import type { SecretMaterial } from "../format/secrets.ts";
import { type ScryptCost, wrapKey, WRAPPED_KEY_BYTES } from "../format/wrapped_key.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import { hex, type Random } from "../runtime/random.ts";

/** An object below `keys/`; `bytes` undefined: it cannot be one, for its length alone. */
export interface StoredKey {
  key: string;
  length: number;
  bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** More than anybody has passphrases; each costs a second to try. */
const MAX_KEYS = 16;

/** The objects below `keys/`, newest first. Rejects with StoreError. */
export async function readWrappedKeys(store: ObjectStore): Promise<StoredKey[]> {
  const listed: { key: string; length: number; modifiedMs: number }[] = [];
  for await (const object of store.list(KEY_PREFIX)) {
    listed.push(object);
    if (listed.length >= MAX_KEYS) break;
  }
  listed.sort((a, b) => b.modifiedMs - a.modifiedMs);
  return await Promise.all(listed.map(async ({ key, length }) => ({
    key,
    length,
    bytes: length === WRAPPED_KEY_BYTES ? await store.get(key) : undefined,
  })));
}

/** Wraps and puts a master key, and reads it back. Rejects with StoreError; then it may be there or not. */
export async function putWrappedKey(
  store: ObjectStore,
  parts: {
    material: SecretMaterial;
    passphrase: Uint8Array;
    random: Random;
    cost?: ScryptCost;
  },
): Promise<{ key: string; bytes: Uint8Array<ArrayBuffer> }> {
  const { material, passphrase, random, cost } = parts;
  const [salt, nonce] = [random.bytes(32), random.bytes(12)];
  const bytes = wrapKey(material, { passphrase, salt, nonce, cost });
  return await putBytes(store, { bytes, random });
}

/** Puts a key that is wrapped already, and reads it back. */
export async function putBytes(
  store: ObjectStore,
  { bytes, random }: { bytes: Uint8Array<ArrayBuffer>; random: Random },
): Promise<{ key: string; bytes: Uint8Array<ArrayBuffer> }> {
  const key = wrappedKeyKey(hex(random.bytes(16)));
  const { versionId } = await store.put(key, bytes);
  const found = await store.get(key, { versionId });
  if (!Buffer.from(found).equals(bytes)) {
    throw new StoreError("corrupt", `${key} was put, and then the store shows other bytes`);
  }
  return { key, bytes };
}

/** Deletes every version below `keys/` but those of `keep`. Rejects with StoreError. */
export async function deleteOtherKeys(store: ObjectStore, keep: string): Promise<void> {
  const old: { key: string; versionId: string }[] = [];
  for await (const version of store.listVersions(KEY_PREFIX)) {
    if (version.key !== keep) old.push(version);
  }
  for (const { key, versionId } of old) await store.delete(key, versionId);
}
