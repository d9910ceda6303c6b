/**
 * When a dirty file is tried: quiet files first, files that keep changing ever more seldom, open
 * files for their chunks and, by the deadline, for a version from a snapshot. Decides; does nothing.
 */
import { unreachable } from "../domain/errors.ts";
import type { DirtyFile } from "../filesystem/protocol.ts";
import type { FileOutcome } from "./file_job.ts";
import { ENGINE_LIMITS } from "./settings.ts";

/** What is remembered of a file that is not saved yet. */
export interface Tries {
  /** Monotonic milliseconds when it was first seen with changes that are not saved, or first failed. */
  sinceMs: number;
  /** Tries that came to nothing, in a row. */
  failures: number;
  /** No try before, monotonic milliseconds; the second counts while space is short. */
  notBeforeMs: number;
  pressureNotBeforeMs: number;
  /** Generation at which all its chunks were confirmed while it was open. */
  stagedGeneration: number | undefined;
  /** At its deadline a try has confirmed what it could, and there was still no version. */
  snapshotWanted: boolean;
  /** Generation that the last snapshot of it has saved. */
  snapshotGeneration: number | undefined;
}

export interface ScheduleMode {
  /** Wall clock and monotonic clock, milliseconds. */
  wallMs: number;
  monotonicMs: number;
  afterMs: number;
  deadlineMs: number;
  /** Space is short: quiet time does not count. */
  pressure: boolean;
}

/** Zero: now. Otherwise milliseconds until it may be looked at again. */
export function waitBeforeUpload(
  file: DirtyFile,
  options: ScheduleMode & { tries: Tries | undefined },
): number {
  const { tries, wallMs, monotonicMs, afterMs, deadlineMs } = options;
  const snapshot = snapshotIsDue(file, options);
  if (!snapshot && file.writers > 0 && tries?.stagedGeneration === file.generation) return afterMs;
  const notBeforeMs = options.pressure ? tries?.pressureNotBeforeMs : tries?.notBeforeMs;
  const pauseMs = (notBeforeMs ?? 0) - monotonicMs;
  if (pauseMs > 0) return pauseMs;
  if (options.pressure || snapshot) return 0;
  const quietMs = wallMs - file.changedMs;
  // Far in the future: somebody has set the clock back. It is as quiet as can be known.
  if (quietMs >= afterMs || quietMs < -60_000) return 0;
  const overdueMs = tries === undefined ? 0 : monotonicMs - tries.sinceMs;
  if (overdueMs >= deadlineMs) return 0;
  return Math.max(1, Math.min(afterMs - quietMs, deadlineMs - overdueMs));
}

/**
 * Whether the next try is one of a snapshot: the deadline is over, and what could be confirmed of the file
 * itself has been, so that little is left to copy. Not while space is short: copies take some.
 */
export function snapshotIsDue(
  file: DirtyFile,
  { tries, wallMs, monotonicMs, afterMs, deadlineMs, pressure }: ScheduleMode & {
    tries: Tries | undefined;
  },
): boolean {
  if (tries === undefined || pressure || tries.snapshotGeneration === file.generation) return false;
  if (monotonicMs - tries.sinceMs < deadlineMs) return false;
  if (file.writers === 0 && wallMs - file.changedMs >= afterMs) return false;
  return tries.snapshotWanted || tries.stagedGeneration === file.generation;
}

/** A file that is not quiet yet: remembered, so that it is tried by the deadline. */
export function firstSeen(monotonicMs: number): Tries {
  return {
    sinceMs: monotonicMs,
    failures: 0,
    notBeforeMs: monotonicMs,
    pressureNotBeforeMs: monotonicMs,
    stagedGeneration: undefined,
    snapshotWanted: false,
    snapshotGeneration: undefined,
  };
}

/** What to remember after a try; undefined: nothing. */
export function triesAfter(
  outcome: FileOutcome,
  options: {
    tries: Tries | undefined;
    monotonicMs: number;
    afterMs: number;
    deadlineMs: number;
    /** Whether this try confirmed anything. */
    progress: boolean;
    generation: number;
    /** Monotonic milliseconds when the snapshot that was tried was taken; undefined: it was none. */
    takenMs?: number | undefined;
  },
): Tries | undefined {
  const { monotonicMs, afterMs, deadlineMs, progress, generation, takenMs } = options;
  const before = options.tries ?? firstSeen(monotonicMs);
  const failures = before.failures + 1;
  if (takenMs !== undefined && outcome !== "gone") {
    if (outcome !== "saved") {
      return { ...before, failures, notBeforeMs: monotonicMs + pauseAfter(failures, deadlineMs) };
    }
    // As seldom as before: that it could be saved like this is no sign that it comes to rest.
    return {
      ...firstSeen(takenMs),
      failures: before.failures,
      notBeforeMs: monotonicMs + pauseAfter(before.failures, deadlineMs),
      snapshotGeneration: generation,
    };
  }
  const snapshotWanted = monotonicMs - before.sinceMs >= deadlineMs;
  const { PRESSURE_RETRY_MS, PRESSURE_RETRY_CAP_MS } = ENGINE_LIMITS;
  switch (outcome) {
    case "saved":
    case "gone":
      return undefined;
    case "store":
      // The pause is the store's, not the file's.
      return options.tries;
    case "open":
      return {
        ...before,
        failures: 0,
        notBeforeMs: monotonicMs + (snapshotWanted ? 0 : afterMs),
        pressureNotBeforeMs: monotonicMs + Math.min(afterMs, PRESSURE_RETRY_MS * 4),
        stagedGeneration: generation,
        snapshotWanted,
      };
    case "changed":
    case "failed": {
      const slowMs = pauseAfter(failures, deadlineMs);
      // A file that grows faster than it is uploaded is worth going on with at once.
      const fastMs = progress
        ? 0
        : Math.min(PRESSURE_RETRY_CAP_MS, PRESSURE_RETRY_MS * 2 ** (failures - 1));
      return {
        ...before,
        failures,
        notBeforeMs: monotonicMs + (snapshotWanted && outcome === "changed" ? 0 : slowMs),
        pressureNotBeforeMs: monotonicMs + Math.min(slowMs, fastMs),
        stagedGeneration: undefined,
        snapshotWanted: snapshotWanted && outcome === "changed",
      };
    }
    default:
      return unreachable(outcome);
  }
}

/** Doubles with each try that came to nothing, up to the deadline. */
function pauseAfter(failures: number, deadlineMs: number): number {
  if (failures === 0) return 0;
  return Math.min(deadlineMs, ENGINE_LIMITS.RESTLESS_MS * 2 ** Math.min(failures - 1, 30));
}
