/**
 * The keys of an encrypted bucket, by docs/FORMAT.md, "Encryption", alone. Shares no code with the
 * program; for bucket_reader.ts.
 */
import { createDecipheriv, createHash, createHmac, hkdfSync, scryptSync } from "node:crypto";
import { Buffer } from "node:buffer";

const GiB = 2 ** 30;

/** AES-256-GCM; the tag is behind the encrypted bytes. Throws where anything is not as it was. */
function open(
  key: Uint8Array,
  parts: { nonce: Uint8Array; aad: Uint8Array; sealed: Uint8Array },
): Uint8Array<ArrayBuffer> {
  const cipher = createDecipheriv("aes-256-gcm", key, parts.nonce);
  cipher.setAAD(parts.aad);
  cipher.setAuthTag(parts.sealed.subarray(-16));
  return new Uint8Array(
    Buffer.concat([cipher.update(parts.sealed.subarray(0, -16)), cipher.final()]),
  );
}

/** The master key of a `keys/` object; undefined where the passphrase is another one. */
export function unwrap(bytes: Uint8Array, passphrase: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isWhole = bytes.length === 188 &&
    createHash("sha256").update(bytes.subarray(0, 140)).digest().equals(bytes.subarray(140, 172));
  if (!isWhole) throw new Error("a wrapped key is damaged");
  const [logN, r, p] = [bytes[33], view.getUint32(36, true), view.getUint32(40, true)];
  if (bytes[32] !== 1 || logN < 14 || logN > 30 || r < 8 || p > 16 || 128 * 2 ** logN * r > GiB) {
    throw new Error("a wrapped key asks for what no reader should do");
  }
  const options = { N: 2 ** logN, r, p, maxmem: 2 * GiB };
  const key = scryptSync(passphrase, bytes.subarray(48, 80), 32, options);
  const [nonce, aad, sealed] = [
    bytes.subarray(80, 92),
    bytes.subarray(0, 92),
    bytes.subarray(92, 140),
  ];
  try {
    return open(key, { nonce, aad, sealed });
  } catch {
    return undefined; // any other passphrase looks like this
  }
}

export class BucketSecrets {
  readonly #fileSystem: Uint8Array;
  readonly #master: Uint8Array;

  constructor(fileSystem: string, master: Uint8Array) {
    this.#fileSystem = Buffer.from(fileSystem, "hex");
    this.#master = master;
  }

  #key(salt: Uint8Array, info: string): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#master, salt, info, 32));
  }

  /** What `zero.json` must say as its seal. */
  seal(about: Record<string, unknown>): string {
    const { format, fileSystem, chunkSize, features, created } = about;
    const lines = [format, fileSystem, chunkSize, (features as string[]).join(","), created];
    return createHmac("sha256", this.#key(this.#fileSystem, "zero/1 descriptor"))
      .update(lines.map((line) => `${line}\n`).join("")).digest("hex");
  }

  chunkId(plain: Uint8Array): Buffer {
    return createHmac("sha256", this.#key(this.#fileSystem, "zero/1 chunk id")).update(plain)
      .digest();
  }

  /** Length of the plain payload 4, codec 1, and the payload, of a stored one. */
  metadata(header: Uint8Array, stored: Uint8Array) {
    const key = this.#key(this.#fileSystem, "zero/1 metadata");
    const parts = { nonce: stored.subarray(0, 12), aad: header, sealed: stored.subarray(12) };
    const bytes = open(key, parts);
    const plain = new DataView(bytes.buffer).getUint32(4, true);
    return { plain, codec: bytes[8], payload: bytes.subarray(12) };
  }

  /** The encoded bytes of a chunk. */
  chunk(
    pack: Uint8Array,
    place: { ordinal: number; plain: number; codec: number; id: Uint8Array },
    sealed: Uint8Array,
  ): Uint8Array<ArrayBuffer> {
    const name = Buffer.from(pack).toString("hex");
    const number = (value: number, bytes: number) => {
      const into = Buffer.alloc(bytes);
      into.writeUIntLE(value, 0, bytes);
      return into;
    };
    const aad = Buffer.concat([
      Buffer.from("ZEROPACK"),
      ...[number(1, 2), number(0, 2), number(1, 4)],
      this.#fileSystem,
      pack,
      number(41, 2),
      Buffer.from(`packs/${name.slice(0, 2)}/${name}`),
      ...[number(place.ordinal, 4), number(place.plain, 4), number(place.codec, 1)],
      place.id,
    ]);
    const nonce = Buffer.concat([number(place.ordinal, 4), Buffer.alloc(8)]);
    return open(this.#key(pack, "zero/1 pack"), { nonce, aad, sealed });
  }
}
