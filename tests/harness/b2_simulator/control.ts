/** How a simulator is set up, and what tests may ask of it and do to it while it runs. */
import type { FaultRule, Operation } from "./faults.ts";
import type { LinkOptions } from "./link.ts";
import type { SimulatedKey } from "./native_api.ts";

export interface SimulatorOptions {
  /** Buckets that exist; `zero-test` unless given. */
  buckets?: string[];
  /** Keeps the content here, and finds it again. */
  directory?: string;
  /** 0, the default, takes a free one. */
  port?: number;
  region?: string;
  keys?: SimulatedKey[];
  /** For faults with a probability. */
  seed?: number;
  /** Entries on a page of a listing; 1,000 unless a test wants many pages. */
  pageSize?: number;
  /** How far away the store is; next door and as fast as it can unless given. */
  link?: LinkOptions;
}

export interface LogEntry {
  operation: Operation;
  key: string;
  /** 0 where the connection was closed without an answer. */
  status: number;
  bytesIn: number;
  bytesOut: number;
  /** Labels of the rules that hit. */
  faults: string[];
}

export interface ListedObject {
  key: string;
  versionId: string;
  length: number;
  sha256: string;
  marker: boolean;
  latest: boolean;
  modifiedMs: number;
}

/** What tests may ask and do; the same over `/_control` from another process. */
export interface SimulatorControl {
  addRules(rules: FaultRule[]): void;
  clearRules(label?: string): void;
  /** Hits per label. */
  hits(): Record<string, number>;
  /** Requests per operation. */
  counts(): Partial<Record<Operation, number>>;
  /** Bytes of bodies, in and out. */
  traffic(): { bytesIn: number; bytesOut: number };
  log(): LogEntry[];
  /** Forgets counts, traffic and log. */
  resetCounts(): void;
  /** Every stored version. */
  objects(bucket?: string): ListedObject[];
  /** Turns one bit of the latest version over, at rest. Returns false where there is none. */
  corrupt(key: string, atByte?: number): boolean;
  /** Removes all versions of a key, as if they had never been. Returns how many. */
  remove(key: string): number;
  /** Puts a hide marker over a key. */
  hide(key: string): void;
  /** Makes the bucket exist or not; its content stays. */
  setBucket(name: string, present: boolean): void;
  /** Sets the store's clock ahead (or, negative, back). */
  setClockSkew(ms: number): void;
}
