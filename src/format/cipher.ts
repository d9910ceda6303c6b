/**
 * AES-256-GCM for small things, at once: wrapped keys and metadata objects. Chunks go through WebCrypto
 * (`pack_cipher.ts`), which is several times faster in this runtime but only asynchronous.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { FormatError } from "./format_error.ts";

/** Length of a nonce, bytes. */
export const NONCE_BYTES = 12;
/** By how much the encrypted bytes are longer than the plain ones: the tag at their end. */
export const TAG_BYTES = 16;

/** What encryption takes besides the bytes. Never the same nonce twice under one key. */
export interface CipherParts {
  /** 32 bytes. */
  key: Uint8Array;
  /** 12 bytes. */
  nonce: Uint8Array;
  /** Authenticated with the bytes, and not stored with them. */
  additional: Uint8Array;
}

/** Encrypted bytes, and the tag behind them. */
export function seal(plain: Uint8Array, parts: CipherParts): Uint8Array<ArrayBuffer> {
  const cipher = createCipheriv("aes-256-gcm", parts.key, parts.nonce);
  cipher.setAAD(parts.additional);
  const sealed = new Uint8Array(plain.length + TAG_BYTES);
  sealed.set(cipher.update(plain));
  cipher.final(); // a stream cipher: nothing is left over
  sealed.set(cipher.getAuthTag(), plain.length);
  return sealed;
}

/** The plain bytes. Throws a `corrupt` FormatError, which names `what`, unless all of it is authentic. */
export function open(
  sealed: Uint8Array,
  parts: CipherParts,
  what: string,
): Uint8Array<ArrayBuffer> {
  const length = sealed.length - TAG_BYTES;
  if (length < 0) throw notAuthentic(what);
  const decipher = createDecipheriv("aes-256-gcm", parts.key, parts.nonce);
  decipher.setAAD(parts.additional);
  decipher.setAuthTag(sealed.subarray(length));
  const piece = decipher.update(sealed.subarray(0, length));
  const plain = new Uint8Array(piece);
  piece.fill(0);
  try {
    decipher.final();
  } catch {
    // The only thing that it can say is that the tag is another; nobody may see these bytes.
    plain.fill(0);
    throw notAuthentic(what);
  }
  return plain;
}

/** The error for bytes that were not written so, under this key, in this place. */
export function notAuthentic(what: string): FormatError {
  return new FormatError("corrupt", `${what} is damaged, or was not written here with this key`);
}
