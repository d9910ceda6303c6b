/**
 * What can go wrong, and when: labelled rules over operations and keys.
 *
 * A rule counts the requests that it matches and those that it hit, so a test can say "the third
 * put" and can check that its fault did happen. Chance comes from a seed.
 */

/** What the simulator calls the requests that it gets. */
export type Operation =
  | "put"
  | "get"
  | "head"
  | "delete"
  | "hide"
  | "list"
  | "listVersions"
  | "headBucket"
  | "authorize"
  | "listBuckets"
  | "other";

export type FaultAction =
  /** Answers with an error, before or (`applied`) after the request took effect. */
  | {
    kind: "status";
    status: number;
    code?: string;
    message?: string;
    retryAfterSeconds?: number;
    body?: "xml" | "html" | "empty";
    headers?: Record<string, string>;
    applied?: boolean;
  }
  /** Waits before it answers. */
  | { kind: "delay"; ms: number }
  /** Never answers. */
  | { kind: "silent" }
  /** Answers only when the rule has been taken away: a store that stalls, and then works again. */
  | { kind: "hold" }
  /** Reads so many bytes of the request's body, then nothing more. */
  | { kind: "stallUpload"; afterBytes: number }
  /** Announces the whole body, sends so many bytes of it, then nothing more. */
  | { kind: "stallBody"; afterBytes: number }
  /** Announces the whole body, sends so many bytes of it, then closes. */
  | { kind: "cutBody"; afterBytes: number }
  /** Sends the body in drops. */
  | { kind: "trickle"; bytes: number; everyMs: number }
  /** Answers consistently, with a body that lacks its end. */
  | { kind: "shorten"; byBytes: number }
  /** Answers with one bit of the body turned over. */
  | { kind: "flipBit"; atByte?: number }
  /** Answers a range with the whole object (200). */
  | { kind: "wholeObject" }
  /** Answers another range of the same length. */
  | { kind: "shiftRange"; byBytes: number }
  /** Closes without reading the body or answering. */
  | { kind: "resetBefore" }
  /** Does what was asked, then closes without an answer. */
  | { kind: "loseAnswer" }
  /** Stores a put twice, as two versions. */
  | { kind: "storeTwice" }
  /** Stores a put with one bit turned over, and answers as if nothing had happened. */
  | { kind: "storeDamaged" }
  /** Says that the object does not exist. */
  | { kind: "missing" }
  /** Says that the bucket does not exist. */
  | { kind: "noBucket" }
  /** Answers 200 with a web page. */
  | { kind: "webPage" }
  /** Leaves the version id out of the answer to a put. */
  | { kind: "noVersionId" }
  /** Leaves every second entry out of a listing. */
  | { kind: "listOmits" }
  /** Lists every entry twice. */
  | { kind: "listRepeats" }
  /** Says that the same page follows, for ever. */
  | { kind: "pageLoop" };

export interface FaultRule {
  /** Names the rule in the counts of hits and in the log. */
  label: string;
  match: {
    operations?: Operation[];
    /** A regular expression that the key (or prefix of a listing) must match. */
    key?: string;
    /** Only the request that is the nth to match, from 1. */
    nth?: number;
    /** At most so many hits. */
    times?: number;
    /** Hits with this chance. */
    probability?: number;
  };
  action: FaultAction;
}

/** A small seeded generator (mulberry32): numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Faults {
  #rules: { rule: FaultRule; seen: number; hits: number; cleared: () => void }[] = [];
  readonly #cleared = new WeakMap<FaultRule, Promise<void>>();
  #chance: () => number;
  constructor(seed: number) {
    this.#chance = seeded(seed);
  }

  add(rules: FaultRule[]): void {
    for (const rule of rules) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#cleared.set(rule, promise);
      this.#rules.push({ rule, seen: 0, hits: 0, cleared: resolve });
    }
  }

  /** Takes rules away: the one with this label, or all. */
  clear(label?: string): void {
    const stays = (rule: FaultRule) => label !== undefined && rule.label !== label;
    const gone = this.#rules.filter(({ rule }) => !stays(rule));
    this.#rules = this.#rules.filter(({ rule }) => stays(rule));
    for (const { cleared } of gone) cleared();
  }

  /** Resolves when a rule that was added has been taken away. */
  async untilCleared(rule: FaultRule): Promise<void> {
    await this.#cleared.get(rule);
  }

  /** How often each rule hit. */
  hits(): Record<string, number> {
    return Object.fromEntries(this.#rules.map(({ rule, hits }) => [rule.label, hits]));
  }

  /** The rules that hit this request; counts them. */
  strike(operation: Operation, key: string): FaultRule[] {
    const struck: FaultRule[] = [];
    for (const entry of this.#rules) {
      const { match } = entry.rule;
      if (match.operations !== undefined && !match.operations.includes(operation)) continue;
      if (match.key !== undefined && !new RegExp(match.key).test(key)) continue;
      entry.seen++;
      if (match.nth !== undefined && entry.seen !== match.nth) continue;
      if (match.times !== undefined && entry.hits >= match.times) continue;
      if (match.probability !== undefined && this.#chance() >= match.probability) continue;
      entry.hits++;
      struck.push(entry.rule);
    }
    return struck;
  }
}
