/** How often a property is tried: all of it with ZERO_SOAK=1, a share of it each time otherwise. */
import { soak } from "./fault_seed.ts";

/** One try in so many is made at CI size; which ones, a fresh seed decides each time. */
const SHARE = 5;

/** Options of `fc.assert` for a property that is worth `full` tries. A failure prints its seed. */
export const runs = (full: number): { numRuns: number } => ({
  numRuns: soak ? full : Math.ceil(full / SHARE),
});
