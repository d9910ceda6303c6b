/**
 * fast-check for properties: the same inputs each time, so that no run fails by chance; fresh ones with
 * ZERO_SOAK=1, those of one seed with ZERO_SEED. A failure prints its seed.
 */
import fc from "fast-check";
import { givenSeed, soak } from "./fault_seed.ts";

/** One try in so many is made at CI size. */
const SHARE = 5;

if (givenSeed !== undefined) fc.configureGlobal({ seed: givenSeed });

/** Options of `fc.assert` for a property that is worth `full` tries: all with ZERO_SOAK=1, a share otherwise. */
export const runs = (full: number): { numRuns: number } => ({
  numRuns: soak ? full : Math.ceil(full / SHARE),
});

export default fc;
