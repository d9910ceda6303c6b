/**
 * Feature bits: what a reader must understand to read an object at all. An object with a bit that is
 * not named here, or that this version does not read, is refused by name; so is a plain object in an
 * encrypted file system, and the reverse.
 */
import { FormatError } from "./format_error.ts";

/** In `features` of zero.json. */
export const ENCRYPTION = "encryption";
/** In binary objects. */
export const ENCRYPTED = 1;

/** Name of each assigned bit, by bit number. */
const assigned: readonly string[] = [ENCRYPTION];

/** Bits that this version reads. */
const SUPPORTED = ENCRYPTED;

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

/** Throws unless these bits are known, and say of encryption what the file system says. */
export function requireFeatures(
  bits: number,
  expected: { encrypted: boolean },
  what: string,
): void {
  refuseUnknownFeatures(bits, what);
  const encrypted = (bits & ENCRYPTED) !== 0;
  if (encrypted === expected.encrypted) return;
  throw new FormatError(
    "corrupt",
    encrypted
      ? `${what} is encrypted, and this file system is not`
      : `${what} is not encrypted, and this file system is: somebody else put it here`,
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
