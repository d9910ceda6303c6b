/**
 * What /proc/self/mountinfo says of mounts, read without touching any of them (a stat of a mount whose
 * server hangs would hang too). Owns nothing.
 */

/** One line of mountinfo. */
export interface MountEntry {
  /** Device numbers; the minor of a FUSE mount is the number of its connection. */
  readonly major: number;
  readonly minor: number;
  readonly mountPoint: Uint8Array;
  /** `fuse.zero`, `ext4`, … */
  readonly type: string;
  readonly source: Uint8Array;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;

function split(bytes: Uint8Array, separator: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let from = 0;
  for (let at; (at = bytes.indexOf(separator, from)) >= 0; from = at + 1) {
    parts.push(bytes.subarray(from, at));
  }
  if (from < bytes.length) parts.push(bytes.subarray(from));
  return parts;
}

/** Undoes the kernel's `\040` for space, tab, newline and backslash. */
function unescape(field: Uint8Array): Uint8Array {
  if (!field.includes(BACKSLASH)) return field;
  const result: number[] = [];
  for (let i = 0; i < field.length; i++) {
    const digits = String.fromCharCode(...field.subarray(i + 1, i + 4));
    if (field[i] === BACKSLASH && /^[0-3][0-7]{2}$/.test(digits)) {
      result.push(parseInt(digits, 8));
      i += 3;
    } else {
      result.push(field[i]);
    }
  }
  return new Uint8Array(result);
}

/** Parses mountinfo (proc(5)). Lines that do not have its form are left out. */
export function parseMountTable(table: Uint8Array): MountEntry[] {
  const decoder = new TextDecoder();
  const entries: MountEntry[] = [];
  for (const line of split(table, NEWLINE)) {
    const fields = split(line, SPACE);
    const dash = fields.findIndex((field, i) => i >= 6 && decoder.decode(field) === "-");
    const device = /^(\d+):(\d+)$/.exec(decoder.decode(fields[2]));
    if (dash < 0 || device === null || fields.length < dash + 3) continue;
    entries.push({
      major: Number(device[1]),
      minor: Number(device[2]),
      mountPoint: unescape(fields[4]),
      type: decoder.decode(fields[dash + 1]),
      source: unescape(fields[dash + 2]),
    });
  }
  return entries;
}

/** The mounts of this process's namespace, in the order in which they were made. */
export function readMountTable(): MountEntry[] {
  return parseMountTable(Deno.readFileSync("/proc/self/mountinfo"));
}

/** The uppermost mount at `path` (absolute, without links or a slash at the end); undefined for none. */
export function mountAt(
  path: string | Uint8Array,
  table = readMountTable(),
): MountEntry | undefined {
  const wanted = typeof path === "string" ? new TextEncoder().encode(path) : path;
  return table.findLast((entry) =>
    entry.mountPoint.length === wanted.length &&
    entry.mountPoint.every((byte, i) => byte === wanted[i])
  );
}
