/** Time comes in from outside, so that a whole run can be replayed. */

/** A point in time as POSIX files know it: seconds since 1970 (may be negative), nanoseconds 0 … 999,999,999. */
export interface Timestamp {
  seconds: number;
  nanoseconds: number;
}

export interface Clock {
  /** Wall clock, whole and fractional milliseconds since 1970. Jumps when somebody sets it. */
  wallMs(): number;
  /** Milliseconds on a clock that never jumps. */
  monotonicMs(): number;
  /** Wall clock with the resolution that files deserve. Each call may reuse `into`. */
  now(): Timestamp;
  /** A timer; returns a function that cancels it. */
  after(milliseconds: number, action: () => void): () => void;
}

/** The wall clock when performance.now() was 0, as far as is known. */
let originMs = performance.timeOrigin;

/**
 * The wall clock with fractions of a millisecond. performance.now() has them, but follows neither a clock
 * that is set nor one that is slewed: what programs see as the time before and after must enclose this.
 */
function wallWithFractions(): number {
  const floor = Date.now();
  const ms = originMs + performance.now();
  const best = ms < floor ? floor : ms >= floor + 1 ? floor + 0.999 : ms;
  originMs += best - ms;
  return best;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  now: () => {
    const best = wallWithFractions();
    const seconds = Math.floor(best / 1000);
    return {
      seconds,
      nanoseconds: Math.min(999_999_999, Math.floor((best - seconds * 1000) * 1e6)),
    };
  },
  after: (milliseconds, action) => {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `milliseconds` of `clock`, or rejects with the signal's reason when it aborts first. */
export function sleep(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      cancel();
      reject(signal!.reason);
    };
    const cancel = clock.after(milliseconds, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}
