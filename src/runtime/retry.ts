/**
 * Trying again: capped exponential backoff with full jitter.
 *
 * Owns the arithmetic of pauses and the loop around an action. Promises to honour a pause that the
 * other side asked for, a budget of attempts and of time, and the caller's signal. Decides nothing
 * about which errors deserve another attempt: the caller's verdict does.
 */
import { UserError } from "../domain/errors.ts";
import { type Clock, sleep } from "./clock.ts";
import type { Random } from "./random.ts";

/** How pauses grow. */
export interface Backoff {
  /** Upper bound of the first pause, milliseconds. */
  baseMs: number;
  /** Upper bound of every pause, milliseconds. */
  capMs: number;
}

/** When to give up. Whatever comes first; an absent bound does not bind. */
export interface RetryBudget {
  /** Attempts in all, the first one included. */
  attempts?: number;
  /** Milliseconds since the first attempt began after which no further attempt begins. */
  deadlineMs?: number;
}

/**
 * The pause before attempt `failures + 1`, in milliseconds: uniform in [0, min(cap, base × 2^(failures-1))),
 * so that callers that failed together do not come back together. A pause that the other side
 * asked for is added to, never shortened, but is itself bounded by `capMs`.
 */
export function backoffDelayMs(
  failures: number,
  options: { backoff: Backoff; random: Random; askedMs?: number },
): number {
  const { baseMs, capMs } = options.backoff;
  const bound = Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 60));
  const jitter = options.random.fraction() * bound;
  if (options.askedMs === undefined) return jitter;
  return Math.min(options.askedMs, capMs) + Math.min(jitter, baseMs);
}

/** Checks a budget that came from configuration. Throws UserError that names the value. */
export function checkBudget(budget: RetryBudget): void {
  if (
    budget.attempts !== undefined && (!Number.isInteger(budget.attempts) || budget.attempts < 1)
  ) {
    throw new UserError(
      `Cannot retry as 'attempts' must be a positive integer: current value is ${budget.attempts}`,
      { exitCode: 2 },
    );
  }
  if (budget.deadlineMs !== undefined && !(budget.deadlineMs >= 0)) {
    throw new UserError(
      `Cannot retry as 'deadlineMs' must not be negative: current value is ${budget.deadlineMs}`,
      { exitCode: 2 },
    );
  }
}

/** What to do about a failure: give up, or try again, not before `afterMs` milliseconds if given. */
export type Verdict = { retry: false } | { retry: true; afterMs?: number };

/**
 * Runs `action` until it succeeds, the verdict or the budget says stop (then rejects with the last
 * error), or `signal` aborts (then rejects with its reason). `action` gets the number of the
 * attempt, from 1.
 */
export async function retry<T>(
  action: (attempt: number) => Promise<T>,
  options: {
    clock: Clock;
    random: Random;
    backoff: Backoff;
    budget: RetryBudget;
    /** `attempt` is the number of the attempt that failed. */
    verdict: (error: unknown, attempt: number) => Verdict;
    signal?: AbortSignal;
    onRetry?: (event: { attempt: number; error: unknown; delayMs: number }) => void;
  },
): Promise<T> {
  const { clock, random, backoff, budget, signal } = options;
  const startedMs = clock.monotonicMs();
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await action(attempt);
    } catch (error) {
      signal?.throwIfAborted();
      const verdict = options.verdict(error, attempt);
      if (!verdict.retry) throw error;
      if (budget.attempts !== undefined && attempt >= budget.attempts) throw error;
      const delayMs = backoffDelayMs(attempt, { backoff, random, askedMs: verdict.afterMs });
      const elapsedMs = clock.monotonicMs() - startedMs;
      if (budget.deadlineMs !== undefined && elapsedMs + delayMs > budget.deadlineMs) throw error;
      options.onRetry?.({ attempt, error, delayMs });
      await sleep(clock, delayMs, signal);
    }
  }
}
