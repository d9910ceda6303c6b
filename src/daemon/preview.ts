/**
 * What a policy would do, from the databases alone: opened read-only, never written, never waiting for
 * the mount. Uses the same facts, rules and plan as the engine. Who has a file open is only known to
 * the daemon; where it does not answer, that is said.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import { parseDuration } from "../domain/units.ts";
import { AbsentSearch } from "../metadata/absent_search.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { readBucketUse } from "../metadata/bucket_use.ts";
import { DentryTable } from "../metadata/dentry_table.ts";
import { FactsTable } from "../metadata/facts_table.ts";
import { FactsWalk } from "../metadata/facts_walk.ts";
import { type JournalEntry, readJournal } from "../metadata/journal_table.ts";
import { costOf, type CostReport } from "../policy/budget.ts";
import { diffPlans, type PlanDiff } from "../policy/diff.ts";
import { explain, type Explanation } from "../policy/explain.ts";
import type { FileFacts, Usage } from "../policy/facts.ts";
import { lintAgainst } from "../policy/lint.ts";
import { type Marks, resolveMarks } from "../policy/marks.ts";
import type { Prices } from "../policy/money.ts";
import { type Plan, planOf } from "../policy/plan.ts";
import type { Problem } from "../policy/problems.ts";
import type { StaticFacts } from "../policy/replay.ts";
import { Survey } from "../policy/survey.ts";
import { YamlSource } from "../policy/yaml_source.ts";
import * as libc from "../runtime/libc.ts";
import { readAccountNames } from "../tiering/account_names.ts";
import { ActivePolicy } from "../tiering/active_policy.ts";
import { type PolicySurvey, showTree } from "../tiering/tree_survey.ts";
import { cacheLayout } from "./cache_layout.ts";
import { loadPolicyFile, parsePolicy } from "./effective_policy.ts";
import type { PolicyNote } from "./policy_in_force.ts";
import { marksFor, type ReplayedPolicy } from "./replay.ts";

export type { CostReport } from "../policy/budget.ts";

/** What only the daemon knows. */
export interface LiveState {
  /** Inodes that somebody has open, and whether for writing. */
  open: Map<number, { writing: boolean }>;
  /** Bytes promised to recalls, and not yet off the disk. */
  reserved: number;
  leaving: number;
}

/** A policy with the marks that go with it. */
export interface Candidate {
  active: ActivePolicy;
  marks: Marks;
  file: string;
  text: string;
}

/** 30 days. */
const MONTH_MS = 30 * 86_400_000;
const NOTHING_LIVE: LiveState = { open: new Map(), reserved: 0, leaving: 0 };

export class Preview {
  readonly chunkSize: number;
  readonly #cache: string;
  readonly #database: MetadataDatabase;
  readonly #facts: FactsTable;
  readonly #note: PolicyNote;
  live: LiveState = NOTHING_LIVE;

  /** Opens the databases of a cache. Throws UserError where there are none, or nothing was ever mounted. */
  constructor(cache: string) {
    this.#cache = cache;
    this.#note = readNote(cache);
    this.#database = MetadataDatabase.open({ directory: cache, readOnly: true });
    this.#facts = new FactsTable(this.#database);
    this.chunkSize = this.#database.setting("chunk_size") as number;
  }

  close(): void {
    this.#database.close({ clean: false });
  }

  /** The policy in force, or the one in a file. */
  policy(file: string | undefined): Candidate {
    const { marks, upload } = this.#note;
    if (file === undefined) {
      const loaded = parsePolicy(this.#note.text, this.#note.file);
      // What counts is what the mount settled, wherever it came from.
      const policy = { ...loaded.policy, upload: { ...loaded.policy.upload, ...upload } };
      return { active: this.#activate(policy), marks, file: loaded.file, text: loaded.text };
    }
    const { policy, text } = loadPolicyFile(file);
    const volume = this.#volume();
    return {
      active: this.#activate(policy),
      marks: resolveMarks(policy.disk, { diskBytes: volume.totalBytes, otherwise: marks }),
      file,
      text,
    };
  }

  /** The same for a replay, on a disk of `target` bytes where that is given. */
  replayed(
    file: string | undefined,
    { target }: { target: number | undefined },
  ): ReplayedPolicy {
    const { active, marks, file: name } = this.policy(file);
    return { name, policy: active.policy, marks: target ? marksFor(active.policy, target) : marks };
  }

  /** Where accesses to this file system are recorded. */
  get tracePath(): string {
    return cacheLayout(this.#cache).trace;
  }

  get prices(): Prices | undefined {
    return this.#note.prices;
  }

  /** What the bucket costs; undefined where no prices are known. */
  cost({ active }: Candidate, { now }: { now: number }): CostReport | undefined {
    const { prices } = this;
    if (prices === undefined) return undefined;
    const use = readBucketUse(this.#database, { sinceMs: now - MONTH_MS });
    return costOf(use, { prices, budget: active.policy.budget });
  }

  /** Tells names, owners and pins of inodes, as far as they are still there; remembers what it told. */
  describe(): (inode: number) => StaticFacts | undefined {
    const accounts = readAccountNames();
    const known = new Map<number, StaticFacts | undefined>();
    return (inode) => {
      if (known.has(inode)) return known.get(inode);
      const row = this.#facts.get(inode, { uses: false, xattrs: true });
      let facts: StaticFacts | undefined;
      if (row !== undefined) {
        const { paths, uid, gid, xattrs, pin } = row;
        const [owner, group] = [accounts.user(uid), accounts.group(gid)];
        facts = { paths, uid, gid };
        if (xattrs !== undefined) facts.xattrs = xattrs;
        if (pin !== undefined) facts.pin = pin;
        if (owner !== undefined) facts.owner = owner;
        if (group !== undefined) facts.group = group;
      }
      known.set(inode, facts);
      return facts;
    };
  }

  #activate(policy: ActivePolicy["policy"]): ActivePolicy {
    return new ActivePolicy(policy, { accounts: readAccountNames() });
  }

  #volume() {
    const volume = libc.statvfs(this.#cache);
    if (typeof volume === "number") {
      throw new UserError(`the disk of the cache ${this.#cache} cannot be looked at`, {
        hint: `statvfs answered errno ${-volume}`,
      });
    }
    return volume;
  }

  #show(
    surveys: readonly PolicySurvey[],
    { walk, atMs, seen }: {
      walk: FactsWalk;
      atMs: number;
      seen?: (facts: FileFacts, row: number) => void;
    },
  ): void {
    const absent = new AbsentSearch(this.#database, this.#facts);
    showTree(surveys, { walk, absent, now: atMs, open: this.live.open, seen });
  }

  #survey(
    { active, marks }: Candidate,
    { atMs, expected }: { atMs: number; expected: number },
  ): Survey {
    const usage: Usage = {
      marks,
      reserved: this.live.reserved,
      leaving: this.live.leaving,
      diskFree: this.#volume().availableBytes,
      running: false,
      needed: 0,
      chunkSize: this.chunkSize,
    };
    const factsOf = (inode: number) => {
      const row = this.#facts.get(inode, active.needs);
      return row && active.facts({ ...row, ...this.#openness(inode) });
    };
    return new Survey({ rules: active.rules, usage, now: atMs, factsOf, expected });
  }

  #openness(inode: number): { open: boolean; writing: boolean } {
    const state = this.live.open.get(inode);
    return { open: state !== undefined, writing: state?.writing === true };
  }

  /**
   * The plan at `atMs`, wall clock, as if nobody touched anything until then. `seen` is told of every
   * file with its row in the plan's survey.
   */
  plan(
    candidate: Candidate,
    { atMs, seen }: { atMs: number; seen?: (facts: FileFacts, row: number) => void },
  ): Plan {
    const walk = new FactsWalk(this.#database, this.#facts);
    const survey = this.#survey(candidate, { atMs, expected: walk.expected() });
    this.#show([{ survey, active: candidate.active }], { walk, atMs, seen });
    return planOf(survey, this.prices);
  }

  /** What of a policy contradicts this file system, or itself on this disk. */
  warnings({ active, file, text }: Candidate, { totals: { classes, rules } }: Plan): Problem[] {
    return lintAgainst(active.policy, {
      source: new YamlSource(text, file),
      surroundings: {
        diskBytes: this.#volume().totalBytes,
        pinnedBytes: classes.pinned.bytes,
        localBytes: classes.local.bytes,
        matchedRules: rules,
      },
    });
  }

  diff(before: Candidate, after: Candidate, { atMs }: { atMs: number }): PlanDiff {
    const walk = new FactsWalk(this.#database, this.#facts);
    const expected = walk.expected();
    const surveys = [before, after].map((candidate) => ({
      survey: this.#survey(candidate, { atMs, expected }),
      active: candidate.active,
    }));
    this.#show(surveys, { walk, atMs });
    const [one, other] = surveys.map(({ survey }) => planOf(survey, this.prices));
    return diffPlans(one, other);
  }

  /** The regular file at a path below the mount, or a UserError. */
  #inodeAt(names: readonly Uint8Array[]): number {
    const dentries = new DentryTable(this.#database);
    let inode = 1;
    for (const [place, name] of names.entries()) {
      const row = dentries.find(inode, name);
      if (row === undefined) {
        throw new UserError(
          `/${names.slice(0, place + 1).map(printName).join("/")} does not exist`,
        );
      }
      inode = row.inode;
    }
    return inode;
  }

  #factsAt(candidate: Candidate, names: readonly Uint8Array[]) {
    const row = this.#facts.get(this.#inodeAt(names), candidate.active.needs);
    if (row === undefined) {
      throw new UserError(`/${names.map(printName).join("/")} is no regular file`, {
        hint: "a policy decides about regular files only; name one",
        exitCode: ExitCode.usage,
      });
    }
    return { ...row, ...this.#openness(row.inode) };
  }

  explain(
    candidate: Candidate,
    { names, atMs }: { names: readonly Uint8Array[]; atMs: number },
  ): Explanation {
    const facts = candidate.active.facts(this.#factsAt(candidate, names));
    return explain(candidate.active.rules, facts, { now: atMs, chunkSize: this.chunkSize });
  }

  /** What has happened to a file, and how it stands. */
  why(candidate: Candidate, names: readonly Uint8Array[]): {
    facts: ReturnType<FactsTable["get"]> & object;
    journal: JournalEntry[];
  } {
    const facts = this.#factsAt(candidate, names);
    return { facts, journal: readJournal(this.#database, facts.inode) };
  }
}

function readNote(cache: string): PolicyNote {
  const path = cacheLayout(cache).policy;
  try {
    return JSON.parse(Deno.readTextFileSync(path)) as PolicyNote;
  } catch (error) {
    throw new UserError(`what policy is in force cannot be read from ${path}`, {
      hint: error instanceof Deno.errors.NotFound
        ? "mount the file system once with this version of zero"
        : String(error),
      cause: error,
    });
  }
}

/** `+30d`, or a date: a point in time, milliseconds. Throws UserError. */
export function parseTime(text: string, { now }: { now: number }): number {
  if (text.startsWith("+")) return now + parseDuration(text.slice(1));
  const atMs = Date.parse(text);
  if (/^\d{4}-\d{2}-\d{2}/.test(text) && !Number.isNaN(atMs)) return atMs;
  throw new UserError(`'${text}' is no time`, {
    hint: "write +30d, a date such as 2027-01-31, or 2027-01-31T18:00",
    exitCode: ExitCode.usage,
  });
}
