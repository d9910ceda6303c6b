/**
 * Who reads decides what reading means. Matches the name of a program, as the kernel knows it (at
 * most 15 bytes), against the policy's readers; the first that matches decides. Pure.
 */
import { ReaderClass } from "../domain/access_trace.ts";
import { compileGlob } from "./glob.ts";
import type { Place, Reader } from "./model.ts";

export { ReaderClass } from "../domain/access_trace.ts";

export interface Treatment {
  recall: Reader["recall"];
  heat: Reader["heat"];
  /** Which entry decided; undefined: none matched. */
  place?: Place;
}

const EVERYBODY: Treatment = { recall: "allow", heat: "count" };

/** A function from the name of a program to how it is treated. Remembers what it was asked. */
export function compileReaders(readers: readonly Reader[]): (comm: string) => Treatment {
  const compiled = readers.map(({ comm, ...treatment }) => ({
    matchers: comm.map(compileGlob),
    treatment: treatment as Treatment,
  }));
  const known = new Map<string, Treatment>();
  return (comm) => {
    const before = known.get(comm);
    if (before !== undefined) return before;
    const found = compiled.find(({ matchers }) => matchers.some((matcher) => matcher(comm)));
    const treatment = found?.treatment ?? EVERYBODY;
    if (known.size >= KNOWN_NAMES) known.clear();
    known.set(comm, treatment);
    return treatment;
  };
}

/** Programs name themselves, so there may be any number of names. */
const KNOWN_NAMES = 1024;

export function readerClass({ recall, heat }: Treatment): ReaderClass {
  if (recall === "deny") return ReaderClass.DENY;
  if (recall === "stream") return ReaderClass.STREAM;
  return heat === "ignore" ? ReaderClass.UNCOUNTED : ReaderClass.USER;
}

/** Whether a read by this class is a use: raises heat and counts as last use. */
export const countsAsUse = (reader: ReaderClass): boolean => reader === ReaderClass.USER;
