/**
 * What a writer was promised, as lines of JSON in a file outside the mount, and what follows for the
 * content of each file. A line "intent" is written before an operation begins, "promise" once it must
 * survive, "done" once it has happened without such a promise.
 *
 * A file is its promised content and the operations begun since. It may show the content after any
 * number of them, the last one in part.
 */
import { fillStream } from "../stream_data.ts";

/** Replace: a new file, synced, is renamed over this one. */
export type Kind = "write" | "patch" | "truncate" | "replace" | "unlink";

export interface Intent {
  op: "intent";
  name: string;
  kind: Kind;
  seed: number;
  offset: number;
  length: number;
}

export type Line =
  | Intent
  | { op: "promise" | "done"; name: string }
  /** The file system answered an operation with an error. */
  | { op: "error"; message: string; atMs: number }
  /** A read showed something else than was written. */
  | { op: "wrong"; name: string; message: string; atMs: number }
  | { op: "note"; message: string };

export interface FileModel {
  /** Undefined: there is no such file. */
  promised: Uint8Array | undefined;
  pending: Intent[];
}

export type Model = Map<string, FileModel>;

/** The content after an operation. */
export function apply(before: Uint8Array | undefined, intent: Intent): Uint8Array | undefined {
  const { kind, seed, offset, length } = intent;
  switch (kind) {
    case "write":
    case "replace": {
      const bytes = new Uint8Array(length);
      fillStream(bytes, seed, 0);
      return bytes;
    }
    case "patch": {
      const old = before ?? new Uint8Array(0);
      const bytes = new Uint8Array(Math.max(old.length, offset + length));
      bytes.set(old);
      fillStream(bytes.subarray(offset, offset + length), seed, offset);
      return bytes;
    }
    case "truncate": {
      const bytes = new Uint8Array(length);
      bytes.set((before ?? bytes).subarray(0, length));
      return bytes;
    }
    case "unlink":
      return undefined;
  }
}

/** Takes a line into the model. */
export function follow(model: Model, line: Line): void {
  if (line.op === "intent") {
    const file = model.get(line.name) ?? { promised: undefined, pending: [] };
    file.pending.push(line);
    model.set(line.name, file);
  } else if (line.op === "promise") {
    const file = model.get(line.name)!;
    for (const intent of file.pending) file.promised = apply(file.promised, intent);
    file.pending = [];
  }
}

/** The lines of a log; the last one may have been cut short by the end of its writer. */
export function readLog(path: string): Line[] {
  const text = Deno.readTextFileSync(path);
  return text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

/** Every content that the file may have, whole: after none, one, … all of its pending operations. */
export function statesOf(file: FileModel): (Uint8Array | undefined)[] {
  const states = [file.promised];
  for (const intent of file.pending) states.push(apply(states[states.length - 1], intent));
  return states;
}

/**
 * Why `actual` (undefined: no file) breaks a promise; undefined when it does not. `zeros`: a power cut
 * may leave zeros where no synced version had data, or where the file was truncated since.
 */
export function breach(
  file: FileModel,
  actual: Uint8Array | undefined,
  options: { zeros: boolean },
): string | undefined {
  const states = statesOf(file);
  if (states.some((state) => sameContent(state, actual))) return undefined;
  const kinds = file.pending.map((intent) => intent.kind).join(", ");
  const whole = file.pending.every(({ kind }) => kind === "replace" || kind === "unlink");
  if (actual === undefined) {
    return states.includes(undefined) ? undefined : `is gone (pending: ${kinds || "nothing"})`;
  }
  if (whole) return `${describeDifference(states, actual)} (pending: ${kinds || "nothing"})`;
  const truncated = file.pending.some(({ kind }) => kind === "write" || kind === "truncate");
  const sizes = states.map((state) => state?.length ?? 0);
  const least = truncated && file.pending.some(({ kind }) => kind === "write")
    ? 0
    : Math.min(...sizes);
  if (actual.length < least || actual.length > Math.max(...sizes)) {
    return `has ${actual.length} bytes, should have one of ${sizes} (pending: ${kinds})`;
  }
  const synced = syncedLength(file, sizes);
  for (let at = 0; at < actual.length; at++) {
    const byte = actual[at];
    if (states.some((state) => state !== undefined && at < state.length && state[at] === byte)) {
      continue;
    }
    if (byte === 0 && options.zeros && (truncated || at >= synced)) continue;
    return `byte ${at} of ${actual.length} is ${byte}, of no version (pending: ${kinds})`;
  }
  return undefined;
}

/** How far a synced version has data: of the promised one, or of a whole new file in its place. */
function syncedLength({ pending }: FileModel, sizes: number[]): number {
  const replaced = sizes.filter((_, state) => state > 0 && pending[state - 1].kind === "replace");
  return Math.min(sizes[0], ...replaced);
}

function sameContent(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function describeDifference(states: (Uint8Array | undefined)[], actual: Uint8Array): string {
  const newest = states[states.length - 1];
  if (newest === undefined) return `is there with ${actual.length} bytes, was removed`;
  if (newest.length !== actual.length) {
    return `has ${actual.length} bytes, should have ${newest.length}`;
  }
  const at = actual.findIndex((byte, i) => byte !== newest[i]);
  return `byte ${at} of ${actual.length} is ${actual[at]}, should be ${newest[at]}`;
}
