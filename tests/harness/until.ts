/** Waiting for something to become so, instead of for a time to pass. */

const POLL_MS = 25;

/**
 * Asks until the answer is neither undefined nor false, and returns it. Rejects with `what` when that
 * takes longer than `timeoutMs`.
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  options: { timeoutMs?: number } = {},
): Promise<Exclude<T, undefined | false>> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const started = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
    if (performance.now() - started > timeoutMs) {
      throw new Error(`it did not happen within ${timeoutMs} ms that ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
