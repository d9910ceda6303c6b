/** The engine's planner takes what the plan says, from queues that an index can hold. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { MiB } from "../../../src/domain/units.ts";
import type { FactsRow } from "../../../src/metadata/facts_table.ts";
import { UsageClass } from "../../../src/metadata/schema.ts";
import { judge } from "../../../src/policy/judge.ts";
import { ActivePolicy } from "../../../src/tiering/active_policy.ts";
import type { Choice } from "../../../src/policy/decision.ts";
import type { FileFacts, Usage } from "../../../src/policy/facts.ts";
import { bytesToFree, isUrgent } from "../../../src/policy/marks.ts";
import { Rules } from "../../../src/policy/outcome.ts";
import { plan } from "../../../src/policy/plan.ts";
import { Planner, type Queues } from "../../../src/policy/planner.ts";
import { queueKey } from "../../../src/policy/timeline.ts";
import { anyFile, anyPolicy, CHUNK, DAY, file, NOW, policyOf, usage } from "./helpers.ts";

/** The queues of an index whose keys were made at `madeAt` of each file, asked at NOW. */
function queuesOf(
  rules: Rules,
  facts: FileFacts[],
  madeAt: (facts: FileFacts) => number = () => NOW,
): Queues {
  const rows = facts.filter((each) => each.resident > 0).map((each) => ({
    facts: each,
    key: queueKey(rules, each, { now: madeAt(each), chunkSize: CHUNK }),
  })).sort((a, b) => a.key.rank - b.key.rank || a.facts.inode - b.facts.inode);
  const pick = (wanted: (key: typeof rows[0]["key"]) => boolean) =>
    rows.filter(({ key }) => wanted(key)).map((row) => row.facts);
  return {
    first: pick((key) => key.firstAtMs <= NOW),
    ranked: pick((key) => key.leavesAtMs <= NOW),
    held: pick((key) => key.leavesAtMs > NOW),
  };
}

function plannerOf(rules: Rules, facts: FileFacts[], disk: Usage): Planner {
  const used = facts.reduce((sum, each) => sum + each.resident, disk.reserved + disk.leaving);
  const pressure = { ...disk, used };
  return new Planner({
    rules,
    now: () => NOW,
    chunkSize: CHUNK,
    toFree: bytesToFree(pressure),
    urgent: isUrgent(pressure),
    residentFiles: facts.filter((each) => each.resident > 0).length,
  });
}

async function all(planner: Planner, queues: Queues): Promise<Choice[]> {
  const decisions: Choice[] = [];
  for await (const decision of planner.next(queues)) decisions.push(decision);
  return decisions;
}

Deno.test("the planner evicts what the plan says, in its order, even from keys made a month before", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyFile, { minLength: 1, maxLength: 30, size: "max" }),
      anyPolicy,
      fc.integer({ min: 5, max: 120 }),
      fc.constantFrom(0, 0.01, 1, 30),
      async (facts, policy, share, daysBefore) => {
        const rules = new Rules(policy);
        const resident = facts.reduce((sum, each) => sum + each.resident, 0);
        const disk = usage({ target: Math.ceil(resident * share / 100) });
        // A key is made when the file is used or made, so never before it.
        const madeAt = (each: FileFacts) =>
          Math.max(NOW - daysBefore * DAY, each.lastUsedMs, each.residentSinceMs, each.changedMs);
        const queues = queuesOf(rules, facts, madeAt);
        const planned = plan({ facts, usage: disk, policy: rules, now: NOW });
        const wanted = planned.decisions.filter((each) => each.verdict === "evict");
        const planner = plannerOf(rules, facts, disk);
        const done = await all(planner, queues);
        assert.deepEqual(done.map((each) => each.inode), wanted.map((each) => each.inode));
        assert.deepEqual(done.map((each) => each.left), wanted.map((each) => each.left));
        assert.equal(planner.limit, planned.unmet?.limit);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("a file that was refused is made up for by the next one", async () => {
  const facts = Array.from({ length: 96 }, () => file());
  const rules = new Rules(policyOf(""));
  const planner = plannerOf(rules, facts, usage());
  const evicted: number[] = [];
  for await (const decision of planner.next(queuesOf(rules, facts))) {
    if (evicted.length === 3 && planner.blocked.open === undefined) {
      planner.refused(decision, { reason: "open", error: false });
    } else evicted.push(decision.inode);
  }
  assert.equal(evicted.length, 11);
  assert.deepEqual(planner.blocked, { open: { files: 1, bytes: MiB } });
});

Deno.test("an error storm trips the breaker; a few errors do not", async () => {
  const facts = Array.from({ length: 96 }, () => file());
  const rules = new Rules(policyOf("evict: { breaker: { errors: 20% } }\n"));
  const attempts = async (fails: (index: number) => boolean) => {
    const planner = plannerOf(rules, facts, usage());
    let index = 0;
    for await (const decision of planner.next(queuesOf(rules, facts))) {
      if (fails(index++)) planner.refused(decision, { reason: "unconfirmed", error: true });
    }
    return { index, limit: planner.limit };
  };
  assert.deepEqual(await attempts(() => true), { index: 10, limit: "breaker" });
  assert.deepEqual(await attempts((index) => index === 4), { index: 12, limit: undefined });
});

Deno.test("the planner stops reading its queue as soon as it has enough", async () => {
  const rules = new Rules(policyOf(""));
  let read = 0;
  function* endless() {
    for (;;) {
      read++;
      yield file();
    }
  }
  const planner = new Planner({
    rules,
    now: () => NOW,
    chunkSize: CHUNK,
    toFree: 5 * MiB,
    urgent: true,
    residentFiles: 1e6,
  });
  const done = await all(planner, { first: [], ranked: endless(), held: endless() });
  assert.equal(done.length, 5);
  assert.equal(read, 5);
});

Deno.test("a key that lags behind does no harm: facts are judged at the head of the queue", async () => {
  const rules = new Rules(
    policyOf("rules: [{ name: w, match: { path: '/Work/**' }, keep: pinned }]\n"),
  );
  const moved = file({ paths: ["/Work/now/here"], lastUsedMs: NOW - 400 * DAY });
  const other = file();
  const planner = plannerOf(rules, [moved, other], usage({ target: MiB }));
  const done = await all(planner, { first: [moved], ranked: [moved, other], held: [] });
  assert.deepEqual(done.map((each) => each.inode), [other.inode]);
  assert.deepEqual(planner.blocked, { pinned_by_rule: { files: 1, bytes: MiB } });
});

Deno.test("what a file was settled as is what a judgement says at any time before the next look", () => {
  let settled = 0;
  fc.assert(
    fc.property(
      anyFile,
      anyPolicy,
      fc.integer({ min: 0, max: 400 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (facts, policy, daysLater, share) => {
        const active = new ActivePolicy(policy);
        const row = { ...facts, stamp: 0 } as unknown as FactsRow;
        const at = { now: NOW + daysLater * DAY, chunkSize: CHUNK };
        const sorted = active.sort(row, at);
        if (sorted.settled === undefined) return;
        settled++;
        const until = sorted.wakeMs ?? at.now + 400 * DAY;
        const now = Math.floor(at.now + share * (until - 1 - at.now));
        // What the filesystem isolate looks at again is left to it: open, dirty, confirmed.
        const still = { ...facts, open: false, dirty: false, confirmed: true };
        if (still.resident === 0) return;
        const judgement = judge(active.rules, still, { now, chunkSize: CHUNK });
        const taken = active.settled({ ...sorted, frees: facts.resident, settled: sorted.settled });
        assert.equal(judgement.tier, sorted.class === UsageClass.FIRST ? 0 : 1);
        assert.equal(judgement.frees, taken.frees);
        assert.equal(judgement.outcome.rule, taken.rule);
        assert.equal(judgement.outcome.keepHead, 0);
      },
    ),
    runs(5_000),
  );
  assert.ok(settled > 20, `only ${settled} were settled`);
});

Deno.test("the planner takes settled files as it would with their facts", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyFile, { minLength: 1, maxLength: 30, size: "max" }),
      anyPolicy,
      fc.integer({ min: 5, max: 120 }),
      fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
      async (facts, policy, share, trusted) => {
        const active = new ActivePolicy(policy);
        const { rules } = active;
        const resident = facts.reduce((sum, each) => sum + each.resident, 0);
        const disk = usage({ target: Math.ceil(resident * share / 100) });
        const queues = queuesOf(rules, facts);
        const settledOf = (file: FileFacts) => {
          const row = { ...file, stamp: 0 } as unknown as FactsRow;
          const { settled } = active.sort(row, { now: NOW, chunkSize: CHUNK });
          const plain = settled === undefined || file.open || file.dirty || !file.confirmed;
          if (plain || file.resident === 0 || !trusted[facts.indexOf(file)]) return file;
          return active.settled({ inode: file.inode, frees: file.resident, settled });
        };
        const fast = { ...queues };
        for (const name of ["first", "ranked"] as const) {
          fast[name] = [...queues[name] as FileFacts[]].map((each) => settledOf(each));
        }
        const [one, other] = [plannerOf(rules, facts, disk), plannerOf(rules, facts, disk)];
        const part = ({ inode, frees, rule, reason, left, keepHead }: Choice) => ({
          ...{ inode, frees, rule: rule?.name, reason, left, keepHead },
        });
        assert.deepEqual((await all(other, fast)).map(part), (await all(one, queues)).map(part));
        assert.equal(other.limit, one.limit);
      },
    ),
    runs(1_000),
  );
});
