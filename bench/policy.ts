/**
 * What policies cost at scale: choosing 100,000 files to evict out of 1,000,000 resident ones among
 * 10,000,000, from the real database; and answers about every file, as `check` and `diff` give them.
 *
 *   deno run -A bench/policy.ts [--files N] [--resident N] [--evict N] [--cache DIRECTORY]
 *
 * The database is made in a temporary directory and removed afterwards (10,000,000 files: 2.3 GB, some
 * two minutes); with --cache it is made there where there is none, and kept for the next run. Each
 * figure comes from a process of its own, so that its memory is its own, too.
 */
import process from "node:process";
import { AbsentSearch } from "../src/metadata/absent_search.ts";
import { MetadataDatabase } from "../src/metadata/database.ts";
import { FactsTable } from "../src/metadata/facts_table.ts";
import { FactsWalk } from "../src/metadata/facts_walk.ts";
import { UsageClass } from "../src/metadata/schema.ts";
import { type QueuePlace, UsageTable } from "../src/metadata/usage_table.ts";
import { diffPlans } from "../src/policy/diff.ts";
import type { Usage } from "../src/policy/facts.ts";
import { loadPolicy } from "../src/policy/load.ts";
import { planOf } from "../src/policy/plan.ts";
import { type Candidate, Planner } from "../src/policy/planner.ts";
import { Survey } from "../src/policy/survey.ts";
import { ActivePolicy } from "../src/tiering/active_policy.ts";
import { ENGINE_LIMITS } from "../src/tiering/settings.ts";
import { showTree } from "../src/tiering/tree_survey.ts";
import { CHUNK, FILE_BYTES, fillDatabases } from "./policy_fill.ts";

function option(name: string, fallback: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(Deno.args[at + 1]);
}
function text(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

const FILES = option("files", 10_000_000);
const RESIDENT = option("resident", Math.floor(FILES / 10));
const EVICT = option("evict", Math.floor(RESIDENT / 10));
const now = Date.now();
const only = text("only");

const policyOf = (name: string) => {
  const file = new URL(`../policies/${name}.yaml`, import.meta.url).pathname;
  const { policy } = loadPolicy(Deno.readTextFileSync(file), { file, now });
  const evict = { ...policy!.evict, maxPerRun: Infinity, breaker: { files: 1, errors: 1 } };
  return new ActivePolicy({ ...policy!, evict });
};

/** Runs `body` and tells what it took: on the wall, and of processors, which holds on a busy machine too. */
async function measure(what: string, bound: string, body: () => Promise<string> | string) {
  const from = performance.now();
  const cpu = process.cpuUsage();
  const said = await body();
  const wall = (performance.now() - from) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const memory = Math.round(process.resourceUsage().maxRSS / 1024);
  const load = Deno.readTextFileSync("/proc/loadavg").split(" ")[0];
  console.log(
    `${what}\n    ${wall.toFixed(2)} s, ${((user + system) / 1e6).toFixed(2)} s of processors; ` +
      `process at most ${memory} MiB; load ${load}${said}  (bound: ${bound})`,
  );
}

/**
 * The first so many files of the queue, as the engine chooses them. `trusted`: they are settled, as all
 * are but in the minutes after a change of policy or the move of a directory.
 */
async function choose(database: MetadataDatabase, trusted: boolean): Promise<void> {
  const facts = new FactsTable(database);
  const usage = new UsageTable(database);
  const active = policyOf("laptop");
  const { rules, needs } = active;
  const { SETTLED_PAGE_FILES, CANDIDATE_PAGE_FILES } = ENGINE_LIMITS;
  let longest = 0;
  /** As FactDesk answers: each page is sent from one isolate to the other. */
  function* ranked(): Generator<Candidate> {
    const limit = trusted ? SETTLED_PAGE_FILES : CANDIDATE_PAGE_FILES;
    for (let after: QueuePlace | undefined, more = true; more;) {
      const from = performance.now();
      const rows = usage.queue(UsageClass.RANKED, { limit, after, now });
      const files = structuredClone(
        rows.map(({ inode, stamp, bytes, settled }) =>
          trusted && settled !== null
            ? { inode, stamp, epoch: 0, frees: bytes, settled }
            : facts.get(inode, needs)!
        ),
      );
      longest = Math.max(longest, performance.now() - from);
      for (const each of files) yield "settled" in each ? active.settled(each) : each;
      after = rows.at(-1);
      more = rows.length === limit;
    }
  }
  for (const round of ["first", "second"]) {
    const how = trusted ? "" : " by their facts";
    const what = `choose ${EVICT} of ${RESIDENT} resident, among ${FILES}${how} (${round} time)`;
    await measure(what, "1 s", async () => {
      const planner = new Planner({
        rules,
        now: () => now,
        chunkSize: CHUNK,
        toFree: EVICT * FILE_BYTES,
        urgent: false,
        residentFiles: RESIDENT,
      });
      let chosen = 0;
      for await (const _ of planner.next({ first: [], ranked: ranked(), held: [] })) chosen++;
      if (chosen !== EVICT) throw new Error(`${chosen} files were chosen instead of ${EVICT}`);
      return `; longest page ${longest.toFixed(1)} ms`;
    });
  }
}

/** What `check` does with one policy, and `diff` with two, from the database. */
async function answer(database: MetadataDatabase, names: readonly string[]): Promise<void> {
  const what = names.length === 1 ? "check" : "diff";
  const bound = `${(3 * FILES / 1e6).toFixed(1)} s (3 s per million), 300 MiB`;
  await measure(`${what} with all reasons over ${FILES} files, ${RESIDENT} resident`, bound, () => {
    const target = RESIDENT * FILE_BYTES;
    const marks = { target, high: target * 0.95, low: target * 0.9, hard: target, minFree: 0 };
    const usage: Usage = {
      ...{ marks, reserved: 0, leaving: 0, diskFree: 1e12, running: false, needed: 0 },
      chunkSize: CHUNK,
    };
    const table = new FactsTable(database);
    const walk = new FactsWalk(database, table);
    const all = names.map((name) => {
      const active = policyOf(name);
      const factsOf = () => undefined;
      const { rules } = active;
      const expected = walk.expected();
      return { active, survey: new Survey({ rules, usage, now, factsOf, expected }) };
    });
    const absent = new AbsentSearch(database, table);
    const { looked } = showTree(all, { walk, absent, now, open: new Map() });
    const plans = all.map(({ survey }) => planOf(survey));
    const changed = plans.length === 2 ? diffPlans(plans[0], plans[1]).files : undefined;
    return `; ${plans[0].totals.evict.files} leave` +
      (changed === undefined ? "" : `, ${changed} change`) + `; ${looked} looked at for rules only`;
  });
}

const given = text("cache");
const directory = given ?? await Deno.makeTempDir({ prefix: "zero-bench-policy-" });
if (only === undefined) {
  try {
    const made = await Deno.stat(`${directory}/metadata.db`).then(() => true, () => false);
    if (!made) {
      const from = performance.now();
      await Deno.mkdir(directory, { recursive: true });
      fillDatabases({ directory, files: FILES, resident: RESIDENT, now });
      console.log(`made ${FILES} files in ${((performance.now() - from) / 1000).toFixed(0)} s`);
    }
    for (const part of ["choose", "judge", "check", "diff"]) {
      const { code } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", import.meta.filename!, "--cache", directory]
          .concat(["--files", `${FILES}`, "--resident", `${RESIDENT}`, "--evict", `${EVICT}`])
          .concat(["--only", part]),
        stdout: "inherit",
        stderr: "inherit",
      }).output();
      if (code !== 0) Deno.exit(code);
    }
  } finally {
    if (given === undefined) await Deno.remove(directory, { recursive: true });
  }
} else {
  const database = MetadataDatabase.open({ directory, readOnly: true });
  if (only === "choose") await choose(database, true);
  else if (only === "judge") await choose(database, false);
  else await answer(database, only === "diff" ? ["laptop", "minimal"] : ["laptop"]);
  database.close({ clean: false });
}
