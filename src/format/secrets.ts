/**
 * The secrets of an encrypted file system: one random master key, and every key that follows from it
 * (docs/FORMAT.md, "Encryption"). Lives in memory only; nothing here prints, stores or sends a key, and
 * private fields keep it out of logs of whatever holds one of these.
 */
import { Buffer } from "node:buffer";
import { createHmac, hkdfSync } from "node:crypto";
import { invariant } from "../domain/errors.ts";
import { ID_BYTES } from "./keys.ts";

/** Length of the master key and of every key that is made of it, bytes. */
export const KEY_BYTES = 32;

/** What another isolate needs to make the same secrets. Never leaves the process. */
export interface SecretMaterial {
  /** File system id, 16 bytes. */
  fileSystem: Uint8Array;
  /** 32 bytes. */
  master: Uint8Array;
}

/** Keys of packs that are kept: recalls and seals of one pack come one after another. */
const KEPT_PACK_KEYS = 64;

export class Secrets {
  /** File system id, 16 bytes. */
  readonly fileSystem: Uint8Array;
  readonly #master: Uint8Array;
  readonly #idKey: Uint8Array;
  readonly #metadataKey: Uint8Array;
  readonly #descriptorKey: Uint8Array;
  readonly #packKeys = new Map<string, Promise<CryptoKey>>();

  /** Copies the material; the caller may wipe its own. */
  constructor({ fileSystem, master }: SecretMaterial) {
    invariant(fileSystem.length === ID_BYTES, "a file system id has 16 bytes");
    invariant(master.length === KEY_BYTES, "a master key has 32 bytes");
    this.fileSystem = fileSystem.slice();
    this.#master = master.slice();
    this.#idKey = this.#derive(fileSystem, "zero/1 chunk id");
    this.#metadataKey = this.#derive(fileSystem, "zero/1 metadata");
    this.#descriptorKey = this.#derive(fileSystem, "zero/1 descriptor");
  }

  #derive(salt: Uint8Array, info: string): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#master, salt, info, KEY_BYTES));
  }

  /** The id of a chunk: without the key nobody can tell which content it stands for. */
  chunkId(plain: Uint8Array): Uint8Array<ArrayBuffer> {
    return new Uint8Array(createHmac("sha256", this.#idKey).update(plain).digest());
  }

  /** What proves that `zero.json` says what it said when it was written. */
  descriptorSeal(text: Uint8Array): Uint8Array<ArrayBuffer> {
    return new Uint8Array(createHmac("sha256", this.#descriptorKey).update(text).digest());
  }

  /** Runs `action` with the key of metadata objects. */
  withMetadataKey<T>(action: (key: Uint8Array) => T): T {
    return action(this.#metadataKey);
  }

  /** The key of one pack, for AES-GCM; it cannot be read back. */
  packKey(pack: Uint8Array): Promise<CryptoKey> {
    const name = Buffer.from(pack).toString("latin1");
    let key = this.#packKeys.get(name);
    if (key === undefined) {
      key = this.#importPackKey(pack);
      this.#packKeys.set(name, key);
      if (this.#packKeys.size > KEPT_PACK_KEYS) {
        this.#packKeys.delete(this.#packKeys.keys().next().value!);
      }
    }
    return key;
  }

  async #importPackKey(pack: Uint8Array): Promise<CryptoKey> {
    const raw = this.#derive(pack, "zero/1 pack") as Uint8Array<ArrayBuffer>;
    try {
      return await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
    } finally {
      raw.fill(0);
    }
  }

  /** A copy, to be sent to another isolate of this process or to be wrapped, and then wiped. */
  material(): SecretMaterial {
    return { fileSystem: this.fileSystem.slice(), master: this.#master.slice() };
  }
}
