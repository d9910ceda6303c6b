/** How often something was used, lately: a count that halves with time. Pure arithmetic. */

/** Time in which heat halves where no policy says otherwise, milliseconds; found by replay, policies/README.md. */
export const DEFAULT_HALF_LIFE_MS = 2 * 86_400_000;

/** What is left at `now` of `heat` at `heatAtMs`. A clock that was set back cools nothing down. */
export function cooled(
  { heat, heatAtMs }: { heat: number; heatAtMs: number },
  { now, halfLifeMs }: { now: number; halfLifeMs: number },
): number {
  return heat * 2 ** (-Math.max(0, now - heatAtMs) / halfLifeMs);
}

/** Heat after one more use at `now`, to be kept with that time. What is new has heat 1. */
export function heatAfterUse(
  before: { heat: number; heatAtMs: number },
  at: { now: number; halfLifeMs: number },
): number {
  return cooled(before, at) + 1;
}
