/** Rules that match only what is not here are found as if every file had been shown to them. */
import assert from "node:assert/strict";
import { AbsentSearch } from "../../src/metadata/absent_search.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { type FactsRow, FactsTable } from "../../src/metadata/facts_table.ts";
import { FactsWalk } from "../../src/metadata/facts_walk.ts";
import type { Match, Policy, Rule } from "../../src/policy/model.ts";
import { Survey } from "../../src/policy/survey.ts";
import type { AccountNames } from "../../src/tiering/account_names.ts";
import { ActivePolicy } from "../../src/tiering/active_policy.ts";
import { showTree } from "../../src/tiering/tree_survey.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { SeededRandom } from "../harness/seeded_random.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";
import { fillTree } from "../harness/tree_of_every_kind.ts";
import { policyOf, usage } from "../unit/policy/helpers.ts";

const ROUNDS = 40;
const ACCOUNTS: AccountNames = {
  user: (uid) => ["root", "ann", "ann"][uid],
  group: (gid) => ["wheel", "staff"][gid],
  uids: (name) => [0, 1, 2].filter((uid) => ACCOUNTS.user(uid) === name),
  gids: (name) => [0, 1, 2].filter((gid) => ACCOUNTS.group(gid) === name),
};
/** Between the times that the tree has. */
const NOW = 1e12 + 5e8;

const PATHS = [
  ...["/**", "/*", "/nowhere/**", "/nowhere", "/plain*/**", "/*/*/**", "/ünï 3/*.mov*", "/?*/ca*"],
  ...["**/plain 6/**", "**/tab*/**", "**/no such/**", "**/*1", "**/*41slash*", "**/\u{1f600}*"],
  ...[
    "**/*.mov",
    "**/*\\xff*",
    "**/f*",
    "/{plain,ca}*/**",
    "**/*{000,111}",
    "/**/ca*/*0",
    "**/x*x",
  ],
  ...["**/ca.mov1*", "**/back*", "**/[pc]*0", "**/*9?", "/*.mov */*/?lain*", "**/*.mov */tab*"],
  ...["**/!(plain*)", "**/back\\\\x41slash*", "/*/back\\\\x41slash*/*/**", "**/*tab\\x09here*"],
];

class Drawn {
  readonly #random: SeededRandom;
  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }
  below(bound: number): number {
    return this.#random.below(bound);
  }
  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)];
  }
  /** Something, mostly; else a range about one of the values. */
  range(values: readonly number[]) {
    const [min, max] = [this.of(values), this.of(values)].sort((a, b) => a - b);
    const [minIncluded, maxIncluded] = [this.below(2) === 0, this.below(2) === 0];
    return this.of([
      { min, max, minIncluded, maxIncluded },
      { min, max: Infinity, minIncluded, maxIncluded },
      { min: -Infinity, max, minIncluded, maxIncluded },
    ]);
  }
  globs(): string[] {
    return Array.from({ length: 1 + this.below(2) }, () => this.of(PATHS));
  }
  match(depth = 0): Match {
    const chance = (one: number) => this.below(one) === 0;
    const names = () => this.globs().map((glob) => glob.slice(glob.lastIndexOf("/") + 1));
    return {
      ...chance(2) ? { path: this.globs() } : {},
      ...chance(6) ? { name: names() } : {},
      ...chance(4) ? { size: this.range([0, 4096, 4097, 8192, 16384, 20000]) } : {},
      ...chance(5) ? { idle: this.range([0, 1, 3e8, 5e8, 6e8, 1e12]) } : {},
      ...chance(8) ? { age: this.range([0, 1e8, 1e9, 5e8, 1e12]) } : {},
      ...chance(8) ? { modified: this.range([0, 5e8 - 40, 5e8 - 2000, 5e8]) } : {},
      ...chance(8) ? { owner: [this.of(["ann", "nobody", 0, 7])] } : {},
      ...chance(8) ? { group: [this.of(["staff", "nobody", 2])] } : {},
      ...chance(8) ? { linkCount: this.range([0, 1, 2, 3]) } : {},
      ...chance(8) ? { heat: this.range([0, 1, 8, 9]) } : {},
      ...chance(8)
        ? { uses: { count: this.range([0, 1, 2]), windowMs: this.of([1, 1e9, 1e13]) } }
        : {},
      ...chance(8) ? { xattr: { "user.keep": ["y*"] } } : {},
      ...depth === 0 && chance(4) ? { not: [this.match(1)] } : {},
    };
  }
  policy(base: Policy): Policy {
    const rules = Array.from({ length: 1 + this.below(6) }, (_, index): Rule => ({
      ...{ name: `rule ${index}`, index, place: { file: "p.yaml", line: 1, column: 1 } },
      match: this.match(),
      // The strictest of several names decides.
      evict: { kind: "after", afterMs: 1 + this.below(3) },
      ...{ local: false, keepHead: 0 },
    }));
    return { ...base, rules };
  }
}

Deno.test(
  "rules that match nothing but files that are not here are found by what they ask for as by showing them every file",
  withDirectory((directory) => {
    const options = { directory, fileSystemId: "0123", chunkSize: 4096, store: "file:///bucket" };
    const database = MetadataDatabase.create({ ...options, clock: new SimulatedClock() });
    // More than a page of names; of nearly all files, nothing is here.
    const ids = fillTree(database, { files: 2_200, seed: 5, hereEvery: 97 });
    const table = new FactsTable(database);
    const files = ids.map((id) => table.get(id, { uses: true, xattrs: true }))
      .filter((row): row is FactsRow => row !== undefined);
    const drawn = new Drawn(3);
    const base = policyOf("rules: []");
    const isHere = ({ resident, dirty }: FactsRow) => resident > 0 || dirty;
    let [onlyAbsent, spared] = [0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      const policies = [1, 2].map(() =>
        new ActivePolicy(drawn.policy(base), { accounts: ACCOUNTS })
      );
      const surveys = policies.map((active) => ({
        active,
        survey: new Survey({ rules: active.rules, usage: usage(), now: NOW }),
      }));
      const walk = new FactsWalk(database, table);
      const absent = new AbsentSearch(database, table);
      const { looked } = showTree(surveys, { walk, absent, now: NOW, open: new Map() });
      if (looked < walk.absent.files / 2) spared++;
      for (const { active, survey } of surveys) {
        const matched = [new Set<string>(), new Set<string>()];
        for (const row of files) {
          const rule = active.rules.outcome(active.facts(row), NOW).rule;
          if (rule !== undefined) matched[isHere(row) ? 0 : 1].add(rule.name);
        }
        const expected = matched[0].union(matched[1]);
        onlyAbsent += expected.size - matched[0].size;
        const wrong = JSON.stringify(active.policy.rules.map(({ match }) => match));
        assert.deepEqual([...survey.totals.rules].sort(), [...expected].sort(), wrong);
      }
    }
    assert.ok(onlyAbsent > 20, `only ${onlyAbsent} rules matched nothing but absent files`);
    assert.ok(spared > ROUNDS / 10, `only ${spared} times most files were passed over`);
    database.close({ clean: true });
  }),
);
