/**
 * Feature bits: what a reader must understand to read an object at all. An object with a bit that is
 * not named here, or that this version does not read, is refused by name.
 */
import { FormatError } from "./format_error.ts";

/** Name of each assigned bit, by bit number. `encryption` is reserved and not yet written. */
const assigned: readonly string[] = ["encryption"];

/** Bits that this version reads. */
const SUPPORTED = 0;

/** Throws an `unknown` FormatError that names the features in `bits` that this version cannot read. */
export function refuseUnknownFeatures(bits: number, what: string): void {
  const foreign = bits & ~SUPPORTED;
  if (foreign === 0) return;
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if ((foreign >>> bit) & 1) names.push(assigned[bit] ?? `bit ${bit}`);
  }
  throw new FormatError(
    "unknown",
    `${what} needs features that this version cannot read: ${names.join(", ")}`,
  );
}

/** The same for features by name, as `zero.json` has them. */
export function refuseUnknownFeatureNames(names: readonly string[], what: string): void {
  const foreign = names.filter((name) => {
    const bit = assigned.indexOf(name);
    return bit < 0 || ((SUPPORTED >>> bit) & 1) === 0;
  });
  if (foreign.length === 0) return;
  throw new FormatError(
    "unknown",
    `${what} needs features that this version cannot read: ${foreign.join(", ")}`,
  );
}
