/**
 * What a file has to fulfil so that a rule may match it, in terms that a database can answer without
 * naming every file: necessary, never sufficient. Plain data, between the rules (src/policy) and the
 * tables (src/metadata), which do not know each other.
 */

/** Bounds that belong to it; open ends are ±Infinity. */
export interface Span {
  min: number;
  max: number;
}

/** Of the bytes of a name; `text` is printed as it is, byte for byte (no `\xNN` in it). */
export interface NameTest {
  kind: "is" | "starts" | "ends";
  text: string;
}

/** Some names: those in certain directories, those that pass a test, or those of both. */
export interface NamePattern {
  /** Of a directory's path, without a slash at its end (the root is empty). Undefined: in any. */
  in?: (directory: string) => boolean;
  test?: NameTest;
}

/** All that is there has to hold. Times are wall clock milliseconds, sizes bytes. */
export interface Prefilter {
  size?: Span;
  links?: Span;
  createdMs?: Span;
  changedMs?: Span;
  lastUsedMs?: Span;
  /** At least so many uses are on record. */
  uses?: number;
  uids?: readonly number[];
  gids?: readonly number[];
  /** One of its names is of one of these; none in the list: no file will do. */
  names?: readonly NamePattern[];
}
