/**
 * Where a directory store keeps its objects: key and version id ↔ path below the store's root.
 *
 * Each segment of a key becomes one name: letters, digits, `_`, `-` and `.` as they are (a leading
 * dot not), every other byte of its UTF-8 as `%XX`. Directories stand for the leading segments; a
 * file is `<last segment>@<version id>`. So no key can leave the root, meet another key's path, or
 * meet the store's own files, which live below a name that begins with a dot.
 */
import { StoreError } from "./object_store.ts";
import { printable } from "./keys.ts";

/** The store's own directory: identity and files that are being written. */
export const ownDirectory = ".zero-store";

/** A name may be 255 bytes; a version id and its separator take 33 of them. */
const maxNameLength = 200;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Version ids of this store: 12 digits milliseconds, 4 digits sequence, 16 random ones; hexadecimal. */
export const versionPattern = /^[0-9a-f]{32}$/;

function encodeSegment(segment: string): string {
  let name = "";
  for (const byte of encoder.encode(segment)) {
    const character = String.fromCharCode(byte);
    name += /[A-Za-z0-9_.-]/.test(character) && !(character === "." && name === "")
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return name;
}

/** The names of the directories and the file name without version that stand for `key`. */
export function namesOfKey(key: string): { directories: string[]; file: string } {
  const names = key.split("/").map(encodeSegment);
  const long = names.find((name) => name.length > maxNameLength);
  if (long !== undefined) {
    throw new StoreError(
      "invalid",
      `'${printable(key)}' has a segment too long for a directory store: ` +
        `${long.length} bytes as a file name, ${maxNameLength} are allowed`,
    );
  }
  return { directories: names.slice(0, -1), file: names[names.length - 1] };
}

/** The segment of a key that the directory or file `name` stands for; undefined for a foreign name. */
export function segmentOfName(name: string): string | undefined {
  const bytes: number[] = [];
  for (let i = 0; i < name.length; i++) {
    if (name[i] !== "%") {
      bytes.push(name.charCodeAt(i));
      continue;
    }
    const byte = parseInt(name.slice(i + 1, i + 3), 16);
    if (Number.isNaN(byte)) return undefined;
    bytes.push(byte);
    i += 2;
  }
  let segment: string;
  try {
    segment = decoder.decode(new Uint8Array(bytes));
  } catch (error) {
    if (error instanceof TypeError) return undefined; // not UTF-8: nothing that we wrote
    throw error;
  }
  return encodeSegment(segment) === name ? segment : undefined;
}

/** Splits the name of an object's file; undefined for a foreign name. */
export function objectOfName(name: string): { segment: string; versionId: string } | undefined {
  const at = name.lastIndexOf("@");
  if (at < 0) return undefined;
  const versionId = name.slice(at + 1);
  const segment = segmentOfName(name.slice(0, at));
  if (segment === undefined || !versionPattern.test(versionId)) return undefined;
  return { segment, versionId };
}
