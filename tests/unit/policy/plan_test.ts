/** What every plan promises, for any files, any policy and any disk. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { MiB } from "../../../src/domain/units.ts";
import type { FileFacts, Usage } from "../../../src/policy/facts.ts";
import type { Policy } from "../../../src/policy/model.ts";
import { Rules } from "../../../src/policy/outcome.ts";
import type { Decision } from "../../../src/policy/decision.ts";
import { type Plan, plan, planOf as planOfSurvey } from "../../../src/policy/plan.ts";
import { Survey } from "../../../src/policy/survey.ts";
import { straightforwardPlan } from "../../harness/straightforward_plan.ts";
import { anyFile, anyPolicy, NOW, usage } from "./helpers.ts";

interface World {
  facts: FileFacts[];
  policy: Policy;
  usage: Usage;
}

const anyWorld: fc.Arbitrary<World> = fc.record({
  facts: fc.array(anyFile, { minLength: 1, maxLength: 40, size: "max" }),
  policy: anyPolicy,
  /** Of what is resident, percent. */
  share: fc.integer({ min: 5, max: 140 }),
  reserved: fc.constantFrom(0, 0, 3 * MiB),
  leaving: fc.constantFrom(0, 0, 2 * MiB),
  running: fc.boolean(),
  needed: fc.constantFrom(0, 0, 0, 10 * MiB),
}).map(({ facts, policy, share, ...rest }) => {
  const resident = facts.reduce((sum, each) => sum + each.resident, 0);
  return { facts, policy, usage: usage({ target: Math.ceil(resident * share / 100), ...rest }) };
});

const planOf = ({ facts, policy, usage }: World, now = NOW): Plan =>
  plan({ facts, usage, policy, now });
const parts = ({ decisions, totals, unmet }: Plan) => ({ decisions, totals, unmet });
const evicted = (made: Plan) =>
  new Set(made.decisions.filter((each) => each.verdict === "evict").map((each) => each.inode));
const check = (property: (world: World) => void, full = 300) =>
  fc.assert(fc.property(anyWorld, property), runs(full));

Deno.test("nothing dirty, open, pinned, local or unconfirmed is ever evicted", () => {
  let evictions = 0;
  check((world) => {
    const rules = new Rules(world.policy);
    const chosen = evicted(planOf(world));
    evictions += chosen.size;
    for (const facts of world.facts.filter((each) => chosen.has(each.inode))) {
      assert.ok(!facts.dirty && !facts.open && facts.confirmed && facts.resident > 0);
      assert.ok(facts.pin === undefined || (facts.pin.untilMs ?? Infinity) <= NOW);
      const names = facts.paths.map((path) => rules.ruleFor({ path, facts, now: NOW }));
      for (const rule of names) {
        assert.ok(rule?.local !== true);
        assert.ok(rule?.keep?.kind !== "pinned");
        assert.ok(rule?.keep?.kind !== "pinned_until" || rule.keep.untilMs <= NOW);
      }
    }
  }, 1000);
  assert.ok(evictions > 50, `only ${evictions} evictions were looked at`);
});

Deno.test("what is too young, or not unused for long enough, leaves only where the policy yields and writers wait", () => {
  check((world) => {
    const rules = new Rules(world.policy);
    const made = planOf(world);
    const chosen = evicted(made);
    const { minResidenceMs, yields } = world.policy.evict;
    const gives = (name: "after" | "min_residence") => made.totals.urgent && yields.includes(name);
    for (const facts of world.facts.filter((each) => chosen.has(each.inode))) {
      if (NOW < facts.residentSinceMs + minResidenceMs) assert.ok(gives("min_residence"));
      const { afterMs } = rules.outcome(facts, NOW);
      if (afterMs > 0 && NOW < facts.lastUsedMs + afterMs) assert.ok(gives("after"));
    }
  });
});

Deno.test("a plan frees what it has to, or names every byte that is left and what holds it", () => {
  check((world) => {
    const { totals, unmet } = planOf(world);
    const { pinned, local, dirty, open, clean } = totals.classes;
    const resident = world.facts.reduce((sum, each) => sum + each.resident, 0);
    const classes = [pinned, local, dirty, open, clean].reduce((sum, each) => sum + each.bytes, 0);
    assert.equal(classes, resident);
    assert.equal(totals.used, resident + totals.reserved + totals.leaving);
    if (unmet === undefined) {
      assert.ok(totals.freed >= totals.toFree);
      if (totals.toFree > 0 && world.usage.needed === 0) {
        assert.ok(totals.used - totals.freed <= world.usage.marks.low);
      }
      return;
    }
    assert.equal(unmet.missing, totals.toFree - totals.freed);
    const held = Object.values(unmet.holders).reduce((sum, each) => sum + each.bytes, 0);
    assert.equal(held, totals.used - totals.freed);
  });
});

Deno.test("a plan takes no more files than it needs", () => {
  check((world) => {
    const { decisions, totals } = planOf(world);
    const last = decisions.findLast((each) => each.verdict === "evict");
    if (last !== undefined) assert.ok(totals.freed - last.frees < totals.toFree);
  });
});

Deno.test("the same input gives the same plan, in whatever order the files come", () => {
  fc.assert(
    fc.property(anyWorld, fc.integer(), (world, seed) => {
      const made = planOf(world);
      assert.deepEqual(parts(planOf(world)), parts(made));
      const shuffled = [...world.facts].sort((a, b) =>
        ((a.inode * 7919 + seed) % 101) - ((b.inode * 7919 + seed) % 101)
      );
      const again = planOf({ ...world, facts: shuffled });
      const order = (each: Plan) =>
        each.decisions.filter(({ verdict }) => verdict === "evict").map(({ inode }) => inode);
      assert.deepEqual(order(again), order(made));
      assert.deepEqual(again.totals, made.totals);
      assert.deepEqual(again.unmet, made.unmet);
    }),
    runs(200),
  );
});

Deno.test("a plan changes nothing of what it was given", () => {
  check((world) => {
    const before = JSON.stringify(world);
    planOf(world);
    assert.equal(JSON.stringify(world), before);
  }, 50);
});

Deno.test("a pin that is added, or lasts longer, never makes that file leave", () => {
  fc.assert(
    fc.property(anyWorld, fc.nat(), fc.nat(60), (world, which, hours) => {
      fc.pre(world.facts.length > 0);
      const chosen = world.facts[which % world.facts.length];
      const pinned = { ...chosen, pin: { untilMs: NOW + hours * 3_600_000 } };
      const facts = world.facts.map((each) => each === chosen ? pinned : each);
      const left = evicted(planOf(world));
      const leftPinned = evicted(planOf({ ...world, facts }));
      if (hours > 0) assert.ok(!leftPinned.has(chosen.inode));
      if (!left.has(chosen.inode) && chosen.pin === undefined) {
        assert.ok(!leftPinned.has(chosen.inode) || hours === 0);
      }
    }),
    runs(300),
  );
});

Deno.test("a lower target never evicts less", () => {
  fc.assert(
    fc.property(anyWorld, fc.integer({ min: 1, max: 99 }), (world, percent) => {
      const { marks } = world.usage;
      const lower = usage({ ...world.usage, target: Math.floor(marks.target * percent / 100) });
      const less = planOf(world);
      const more = planOf({ ...world, usage: lower });
      assert.ok(more.totals.freed >= less.totals.freed);
      const all = evicted(more);
      for (const inode of evicted(less)) assert.ok(all.has(inode));
    }),
    runs(300),
  );
});

Deno.test("every decision has a reason, a verdict and, where a rule decided, its name and place", () => {
  check((world) => {
    for (const decision of planOf(world).decisions) {
      assert.ok(decision.reason !== undefined && decision.path.startsWith("/"));
      assert.equal(decision.verdict === "blocked", decision.block !== undefined);
      if (decision.rule !== undefined) {
        assert.equal(decision.rule.place.file, "p.yaml");
        assert.ok(decision.rule.place.line > 1 && decision.rule.name.length > 0);
      }
    }
  }, 100);
});

Deno.test("a dirty file of class local is neither uploaded nor evicted; all other dirty files are uploaded in time", () => {
  check((world) => {
    const rules = new Rules(world.policy);
    const { decisions } = planOf(world, NOW + 15 * 60_000);
    for (const facts of world.facts.filter((each) => each.dirty)) {
      const decision = decisions.find((each) => each.inode === facts.inode)!;
      const local = rules.outcome(facts, NOW + 15 * 60_000).local;
      assert.equal(decision.verdict, local ? "keep" : "upload");
    }
  }, 100);
});

Deno.test("a plan on columns is the one that a plain implementation with an object a file makes", () => {
  check((world) => {
    const made = planOf(world);
    const { facts, usage, policy } = world;
    const plain = straightforwardPlan({ facts, usage, policy, now: NOW });
    // What is undefined and what is not there are the same.
    const tidy = (decisions: readonly Decision[]) => JSON.parse(JSON.stringify(decisions));
    assert.deepEqual(tidy(made.decisions), tidy(plain.decisions));
    assert.deepEqual(made.totals, plain.totals);
    assert.deepEqual(made.unmet, plain.unmet);
  });
});

Deno.test("a survey that has to grow, or was told how much comes, says the same", () => {
  const facts = fc.sample(anyFile, { numRuns: 200, seed: 5 });
  const rules = new Rules(fc.sample(anyPolicy, { numRuns: 1, seed: 7 })[0]);
  const made = [16, 50, 1024].map((expected) => {
    const survey = new Survey({ rules, usage: usage(), now: NOW, expected });
    for (const each of facts) survey.add(each);
    return planOfSurvey(survey).decisions;
  });
  assert.deepEqual(made[0], made[2]);
  assert.deepEqual(made[1], made[2]);
});
