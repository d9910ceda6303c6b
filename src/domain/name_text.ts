/**
 * File names as people read and type them. Names are bytes; what is not valid UTF-8, a control
 * character, or a backslash before an x, is written `\xNN`, and `\xNN` is understood everywhere.
 */
const strict = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

const escape = (byte: number) => `\\x${byte.toString(16).padStart(2, "0")}`;

/** Length of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at];
  const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (at + length > bytes.length) return 0;
  try {
    strict.decode(bytes.subarray(at, at + length));
    return length;
  } catch (error) {
    if (error instanceof TypeError) return 0;
    throw error;
  }
}

/** A name, or a path, for people. `parseName` gives the same bytes back. */
export function printName(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    const control = length === 1 && (bytes[at] < 0x20 || bytes[at] === 0x7f);
    const backslash = bytes[at] === 0x5c && bytes[at + 1] === 0x78;
    if (length === 0 || control || backslash) {
      text += escape(bytes[at]);
      at++;
    } else {
      text += strict.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return text;
}

/** The bytes that somebody typed: `\xNN` becomes the byte, everything else stays. */
export function parseName(typed: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = typeof typed === "string" ? encoder.encode(typed) : typed;
  const result: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const digits = bytes[i] === 0x5c && bytes[i + 1] === 0x78
      ? String.fromCharCode(...bytes.subarray(i + 2, i + 4))
      : "";
    if (/^[0-9a-fA-F]{2}$/.test(digits)) {
      result.push(parseInt(digits, 16));
      i += 3;
    } else {
      result.push(bytes[i]);
    }
  }
  return new Uint8Array(result);
}

/** The names in an absolute path; `.` is left out and `..` goes up. */
export function splitPath(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path[at] !== 0x2f) continue;
    const name = path.slice(from, at);
    from = at + 1;
    const text = name.length <= 2 ? String.fromCharCode(...name) : "";
    if (name.length === 0 || text === ".") continue;
    if (text === "..") names.pop();
    else names.push(name);
  }
  return names;
}

/** Names with slashes between: the inverse of `splitPath` for what starts at the root. */
export function joinNames(names: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = names.reduce((sum, name) => sum + name.length, Math.max(0, names.length - 1));
  const path = new Uint8Array(length);
  let at = 0;
  for (const name of names) {
    if (at > 0) path[at++] = 0x2f;
    path.set(name, at);
    at += name.length;
  }
  return path;
}
