/**
 * What a new file system is: its id, its descriptor, and, where it is encrypted, its key. Random, and
 * remembered in the cache before anything of it is anywhere else, so that an interrupted creation can go on.
 */
import { NONCE_BYTES } from "../format/cipher.ts";
import { type Descriptor, sealDescriptor } from "../format/descriptor.ts";
import { ENCRYPTION } from "../format/features.ts";
import { ID_BYTES } from "../format/keys.ts";
import { KEY_BYTES, Secrets } from "../format/secrets.ts";
import { SALT_BYTES, type ScryptCost, wrapKey } from "../format/wrapped_key.ts";
import type { Clock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { hex, type Random } from "../runtime/random.ts";
import type { CacheDirectory } from "./cache_directory.ts";
import { KeyFile } from "./key_file.ts";
import type { KeySource } from "./key_source.ts";
import { LIMITS } from "./limits.ts";

export interface NewFilesystemParts {
  cache: CacheDirectory;
  encrypt?: boolean;
  /** Answers the passphrase of an encrypted one. */
  key: KeySource;
  /** Of the passphrase's key; the default unless a test is in a hurry. */
  cost?: ScryptCost;
  clock: Clock;
  random: Random;
}

export interface NewFilesystem {
  descriptor: Descriptor;
  secrets: Secrets | undefined;
  /** To be put into the bucket before the descriptor. */
  wrapped: Uint8Array<ArrayBuffer> | undefined;
}

/** Rejects with UserError where there is no passphrase, or the cache cannot be written. */
export async function newFilesystem(parts: NewFilesystemParts): Promise<NewFilesystem> {
  const { cache, random, clock, encrypt, key, cost } = parts;
  const fileSystem = random.bytes(ID_BYTES);
  const plain: Descriptor = {
    fileSystem: hex(fileSystem),
    chunkSize: LIMITS.CHUNK_BYTES,
    features: encrypt ? [ENCRYPTION] : [],
    created: new Date(clock.wallMs()).toISOString(),
  };
  if (!encrypt) {
    // An attempt that ended before there was a file system may have left one.
    libc.unlink(cache.layout.key);
    return { descriptor: plain, secrets: undefined, wrapped: undefined };
  }
  const { bytes: passphrase } = await key.take({ fresh: true });
  const material = { fileSystem, master: random.bytes(KEY_BYTES) };
  try {
    const secrets = new Secrets(material);
    const [salt, nonce] = [random.bytes(SALT_BYTES), random.bytes(NONCE_BYTES)];
    const wrapped = wrapKey(material, { passphrase, salt, nonce, cost });
    const descriptor = sealDescriptor(plain, secrets);
    new KeyFile(cache.layout.key).write({ descriptor, wrapped });
    return { descriptor, secrets, wrapped };
  } finally {
    material.master.fill(0);
    passphrase.fill(0);
  }
}
