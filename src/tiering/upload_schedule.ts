/**
 * When a dirty file is tried: quiet files first, files that keep changing ever more seldom, open
 * files only for their chunks. Decides; does nothing.
 */
import { unreachable } from "../domain/errors.ts";
import type { DirtyFile } from "../filesystem/protocol.ts";
import type { FileOutcome } from "./file_job.ts";
import { ENGINE_LIMITS } from "./settings.ts";

/** What is remembered of a file that is not saved yet. */
export interface Tries {
  /** Monotonic milliseconds when it was first seen dirty and not quiet, or first failed. */
  sinceMs: number;
  /** Tries that came to nothing, in a row. */
  failures: number;
  /** No try before, monotonic milliseconds; the second counts while space is short. */
  notBeforeMs: number;
  pressureNotBeforeMs: number;
  /** Generation at which all its chunks were confirmed while it was open. */
  stagedGeneration: number | undefined;
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
  if (file.writers > 0 && tries?.stagedGeneration === file.generation) return afterMs;
  const notBeforeMs = options.pressure ? tries?.pressureNotBeforeMs : tries?.notBeforeMs;
  const pauseMs = (notBeforeMs ?? 0) - monotonicMs;
  if (pauseMs > 0) return pauseMs;
  if (options.pressure) return 0;
  const quietMs = wallMs - file.changedMs;
  // Far in the future: somebody has set the clock back. It is as quiet as can be known.
  if (quietMs >= afterMs || quietMs < -60_000) return 0;
  const overdueMs = tries === undefined ? 0 : monotonicMs - tries.sinceMs;
  if (overdueMs >= deadlineMs) return 0;
  return Math.max(1, Math.min(afterMs - quietMs, deadlineMs - overdueMs));
}

/** A file that is not quiet yet: remembered, so that it is tried by the deadline. */
export function firstSeen(monotonicMs: number): Tries {
  return {
    sinceMs: monotonicMs,
    failures: 0,
    notBeforeMs: monotonicMs,
    pressureNotBeforeMs: monotonicMs,
    stagedGeneration: undefined,
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
  },
): Tries | undefined {
  const { monotonicMs, afterMs, deadlineMs, progress } = options;
  const before = options.tries ?? firstSeen(monotonicMs);
  const failures = before.failures + 1;
  const { RESTLESS_MS, PRESSURE_RETRY_MS, PRESSURE_RETRY_CAP_MS } = ENGINE_LIMITS;
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
        notBeforeMs: monotonicMs + afterMs,
        pressureNotBeforeMs: monotonicMs + Math.min(afterMs, PRESSURE_RETRY_MS * 4),
        stagedGeneration: options.generation,
      };
    case "changed":
    case "failed": {
      const slowMs = Math.min(deadlineMs, RESTLESS_MS * 2 ** (failures - 1));
      // A file that grows faster than it is uploaded is worth going on with at once.
      const fastMs = progress
        ? 0
        : Math.min(PRESSURE_RETRY_CAP_MS, PRESSURE_RETRY_MS * 2 ** (failures - 1));
      return {
        ...before,
        failures,
        notBeforeMs: monotonicMs + slowMs,
        pressureNotBeforeMs: monotonicMs + Math.min(slowMs, fastMs),
        stagedGeneration: undefined,
      };
    }
    default:
      return unreachable(outcome);
  }
}
