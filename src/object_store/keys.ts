/**
 * Keys: which ones every store accepts, and their order.
 *
 * The rules are B2's, the narrowest of the stores: 1 to 1,024 bytes of well-formed UTF-8, no control
 * characters, segments between slashes neither empty nor `.` nor `..` (URL parsers on the way would
 * normalise those to another key). So a key that one store takes, every store takes.
 */
import { StoreError } from "./object_store.ts";

/** Longest key, prefix of the store included, in bytes of UTF-8. */
export const maxKeyBytes = 1024;

const encoder = new TextEncoder();

/** Why `key` is no valid key, for people; undefined where it is one. */
export function keyFault(key: string): string | undefined {
  if (key === "") return "it is empty";
  if (!key.isWellFormed()) return "it is not well-formed Unicode";
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(key)) return "it holds a control character";
  const bytes = encoder.encode(key).length;
  if (bytes > maxKeyBytes) return `it is ${bytes} bytes long, ${maxKeyBytes} are allowed`;
  for (const segment of key.split("/")) {
    if (segment === "") return "it begins or ends with a slash, or holds two in a row";
    if (segment === "." || segment === "..") return `it holds the segment '${segment}'`;
  }
  return undefined;
}

/** Throws StoreError `invalid` where `key` is no valid key. */
export function checkKey(key: string): void {
  const fault = keyFault(key);
  if (fault !== undefined) {
    throw new StoreError("invalid", `'${printable(key)}' is no valid key: ${fault}`);
  }
}

/** Throws StoreError `invalid` where `range` is none. */
export function checkRange(key: string, range: { offset: number; length: number }): void {
  const { offset, length } = range;
  if (
    !(Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0)
  ) {
    throw new StoreError(
      "invalid",
      `get ${key}: ${length} bytes at offset ${offset} is no valid range`,
    );
  }
}

/** The order of keys in every listing: by their bytes in UTF-8 (JavaScript compares UTF-16 units). */
export function compareKeys(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above U+FFFF, but are numerically below U+E000 … U+FFFF.
    const xSurrogate = x >= 0xd800 && x < 0xe000;
    const ySurrogate = y >= 0xd800 && y < 0xe000;
    if (xSurrogate !== ySurrogate) return xSurrogate ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** `text` with control characters escaped and cut to a length that fits a message. */
export function printable(text: string): string {
  let escaped = "";
  for (const character of text) {
    const code = character.charCodeAt(0);
    escaped += code < 0x20 || code === 0x7f
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : character;
    if (escaped.length > 300) return `${escaped}…`;
  }
  return escaped;
}
