/**
 * What a loaded policy is: the types that rules, plans and explanations share. Owns no behaviour.
 * Times are milliseconds (wall clock, since 1970, where they are points in time), sizes are bytes.
 */

/** Where something stands in a policy file; line and column count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** Disk space: bytes, or a share (0 … 1) of something that is known later only. */
export type Amount = { bytes: number } | { share: number };

/** Numbers between two bounds. Open ends are ±Infinity. */
export interface Range {
  min: number;
  max: number;
  /** Whether the bounds themselves belong to it. */
  minIncluded: boolean;
  maxIncluded: boolean;
}

/** `uses: "<3 in 30d"`. */
export interface UsesTerm {
  count: Range;
  windowMs: number;
}

/** The terms of a match; a file matches where all that are given hold. */
export interface Match {
  /** Globs on whole names from the root of the mount; one of them has to match. */
  path?: readonly string[];
  /** Globs on the last component of a name. */
  name?: readonly string[];
  /** Bytes. */
  size?: Range;
  /** Since the last use as Zero saw it, milliseconds. Never mtime. */
  idle?: Range;
  /** Since the file came to be in this file system, milliseconds. */
  age?: Range;
  /** Since the content last changed, milliseconds. */
  modified?: Range;
  /** User names, or numbers. */
  owner?: readonly (string | number)[];
  group?: readonly (string | number)[];
  /** Attribute name → globs, one of which its value has to match. */
  xattr?: Readonly<Record<string, readonly string[]>>;
  uses?: UsesTerm;
  /** Decayed count of uses, see rank.ts. */
  heat?: Range;
  /** Names that the file has. */
  linkCount?: Range;
  /** None of these may match. */
  not?: readonly Match[];
}

export type Keep = { kind: "pinned" } | { kind: "pinned_until"; untilMs: number };
export type Evict = { kind: "first" } | { kind: "allow" } | { kind: "after"; afterMs: number };

export interface Rule {
  name: string;
  /** Place in the list, from 0. */
  index: number;
  place: Place;
  match: Match;
  keep?: Keep;
  /** `upload: never`: the file is of class local. */
  local: boolean;
  /** Undefined: nothing was said, which means allow. */
  evict?: Evict;
  /** Bytes at the start of the file that stay; 0: none. */
  keepHead: number;
}

/** What reading means when a reader with such a name does it. */
export interface Reader {
  comm: readonly string[];
  place: Place;
  /** `allow` brings content back, `deny` refuses to, `stream` serves it and keeps nothing. */
  recall: "allow" | "deny" | "stream";
  heat: "count" | "ignore";
}

/** The days (0 Sunday … 6 Saturday) and minutes of local time at which a limit holds. */
export interface Period {
  days: readonly number[];
  /** Minutes since midnight; where `to` <= `from`, it ends on the next day. */
  from: number;
  to: number;
}

export interface BandwidthEntry {
  /** Bytes per second; Infinity: no bound; 0: nothing is sent. */
  limit: number;
  /** Undefined: always. */
  at?: Period;
  place: Place;
}

/** What may give way when writers wait at the hard mark. */
export type Yield = "after" | "min_residence";

/** Weights of the ranking, see rank.ts. */
export interface Weights {
  age: number;
  size: number;
  heat: number;
  recall_cost: number;
  /** The time in which heat halves, and the unit of age, milliseconds. */
  halfLifeMs: number;
}

export interface DiskPolicy {
  /** Undefined: as the configuration says. */
  target?: Amount;
  /** Shares of target, 0 … */
  high: number;
  low: number;
  hard: number;
  minFree?: Amount;
}

export interface EvictPolicy {
  minResidenceMs: number;
  order: Weights;
  /** Bytes; Infinity: no bound. */
  maxPerRun: number;
  breaker: {
    /** Share of the resident files that one run may evict. */
    files: number;
    /** Share of a run's attempts that may fail. */
    errors: number;
  };
  yields: readonly Yield[];
}

export type Verdict = "evict" | "upload" | "keep" | "blocked";
/** Why something that a run looked at cannot leave. */
export const BLOCKS = ["dirty", "open", "too_young", "pinned", "unconfirmed"] as const;
export type Block = typeof BLOCKS[number];

/** A test in the file. */
export interface PolicyTest {
  place: Place;
  given: Given;
  expect: Expectation;
  rule?: string;
}

export type Expectation =
  | { kind: "verdict"; verdict: Verdict; block?: Block }
  | { kind: "reader"; recall: Reader["recall"] };

/** What a test says of its file; what it does not say has a default, see policy_tests.ts. */
export interface Given {
  path?: readonly string[];
  size?: number;
  idle?: number;
  age?: number;
  modified?: number;
  recalled?: number;
  resident?: number;
  owner?: string | number;
  group?: string | number;
  xattr?: Readonly<Record<string, string>>;
  /** Uses, spread evenly over the time since the file came to be. */
  uses?: number;
  heat?: number;
  links?: number;
  /** How full the disk is, share of target. */
  disk?: number;
  dirty?: boolean;
  open?: boolean;
  pinned?: boolean;
  confirmed?: boolean;
  reader?: string;
  at?: number;
}

export interface Budget {
  perMonth: number;
  currency: string;
}

export interface Policy {
  file: string;
  disk: DiskPolicy;
  upload: {
    /** Quiet time; undefined: as the configuration says. */
    afterMs?: number;
    deadlineMs?: number;
    bandwidth: readonly BandwidthEntry[];
  };
  evict: EvictPolicy;
  readers: readonly Reader[];
  rules: readonly Rule[];
  budget?: Budget;
  tests: readonly PolicyTest[];
}
