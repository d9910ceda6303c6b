/**
 * The file of the access trace in a cache: makes it before a mount, with as many records as are
 * configured, keeps the newest of an older one, and reads it for replays. While a file system is
 * mounted, its filesystem isolate is the only one that writes it. It is never shipped, and losing it
 * harms nothing.
 */
import { HEADER_BYTES, RECORD_BYTES } from "../domain/access_trace.ts";
import { ExitCode, UserError } from "../domain/errors.ts";
import { formatBytes, MiB } from "../domain/units.ts";
import { type TraceEvents, TraceRing } from "../policy/trace.ts";
import type { LogFile } from "./log_file.ts";

/** What can be replayed within a few hundred MiB of memory. */
const MOST_BYTES = 64 * MiB;

/** Makes the trace ready for a mount; where it cannot be, accesses are not recorded, and the log says why. */
export function recordAccesses(
  path: string,
  { bytes, log }: { bytes: number; log: Pick<LogFile, "warn"> },
): { tracePath?: string } {
  if (bytes > MOST_BYTES) {
    log.warn(`trace.size is more than can be replayed: ${formatBytes(MOST_BYTES)} are used`);
  }
  const capacity = Math.floor((Math.min(bytes, MOST_BYTES) - HEADER_BYTES) / RECORD_BYTES);
  try {
    if (capacity < 1) {
      remove(path);
      return {};
    }
    prepare(path, { capacity, log });
    return { tracePath: path };
  } catch (error) {
    log.warn(`accesses are not recorded: ${error instanceof Error ? error.message : error}`);
    return {};
  }
}

function prepare(
  path: string,
  { capacity, log }: { capacity: number; log: Pick<LogFile, "warn"> },
): void {
  let before: TraceRing | undefined;
  try {
    before = readTrace(path);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // Nothing in it is worth a refused mount.
    if (!(error.cause instanceof Deno.errors.NotFound)) log.warn(`${error.message}; begun anew`);
  }
  if (before?.capacity === capacity) return;
  const ring = TraceRing.create(capacity);
  for (const event of before?.records() ?? []) ring.append(event);
  Deno.writeFileSync(`${path}.new`, ring.bytes, { mode: 0o600 });
  Deno.renameSync(`${path}.new`, path);
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Writes a copy that others may read: these records, and no names. Throws UserError; replaces nothing. */
export function shareTrace(events: TraceEvents, path: string): void {
  const ring = TraceRing.create(Math.max(1, events.length));
  for (const event of events) ring.append(event);
  try {
    Deno.writeFileSync(path, ring.bytes, { createNew: true, mode: 0o600 });
  } catch (error) {
    const exists = error instanceof Deno.errors.AlreadyExists;
    const why = exists ? "it exists already" : error instanceof Error ? error.message : error;
    throw new UserError(`the trace cannot be written to ${path}: ${why}`, {
      hint: exists ? "name a new file" : "name a file in a directory that you may write to",
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}

/** The trace in a file. Throws UserError where it cannot be read or is none. */
export function readTrace(path: string): TraceRing {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Deno.readFileSync(path);
  } catch (error) {
    throw new UserError(
      `the trace ${path} cannot be read: ${error instanceof Error ? error.message : error}`,
      {
        hint: "accesses are recorded while a file system is mounted and trace.size is not 0B",
        exitCode: ExitCode.usage,
        cause: error,
      },
    );
  }
  try {
    return TraceRing.open(bytes);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${path}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}
