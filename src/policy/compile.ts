/**
 * A document as the language reads it → the policy that rules work with: defaults filled in, each
 * rule with its place. Finds no problems.
 */
import { DEFAULT_HALF_LIFE_MS } from "../domain/heat.ts";
import type { MatchDocument, PolicyDocument, TestDocument } from "./language.ts";
import type {
  BandwidthEntry,
  Evict,
  Expectation,
  Given,
  Keep,
  Match,
  Policy,
  PolicyTest,
  Rule,
  Weights,
} from "./model.ts";
import type { YamlSource } from "./yaml_source.ts";

/** How the ranking weighs where a policy does not say otherwise; found by replay, see README. */
export const DEFAULT_WEIGHTS: Weights = {
  age: 1,
  size: 0.3,
  heat: -2,
  recall_cost: -0.5,
  halfLifeMs: DEFAULT_HALF_LIFE_MS,
};

export function compilePolicy(document: PolicyDocument, source: YamlSource): Policy {
  const { disk, upload, evict } = document;
  return {
    file: source.text.file,
    disk: {
      target: disk?.target,
      high: disk?.high ?? 0.95,
      low: disk?.low ?? 0.85,
      hard: disk?.hard ?? 1,
      minFree: disk?.min_free,
    },
    upload: {
      afterMs: upload?.after,
      deadlineMs: upload?.deadline,
      bandwidth: (upload?.bandwidth ?? []).map((entry, index): BandwidthEntry => ({
        ...entry,
        place: source.place(["upload", "bandwidth", index]),
      })),
    },
    evict: {
      minResidenceMs: evict?.min_residence ?? 0,
      order: weights(evict?.order),
      maxPerRun: evict?.max_per_run ?? Infinity,
      breaker: { files: evict?.breaker?.files ?? 1, errors: evict?.breaker?.errors ?? 1 },
      yields: evict?.yields ?? ["after"],
    },
    readers: (document.readers ?? []).map((reader, index) => ({
      comm: reader.comm,
      place: source.place(["readers", index]),
      recall: reader.recall ?? "allow",
      heat: reader.heat ?? "count",
    })),
    rules: (document.rules ?? []).map((rule, index): Rule => ({
      name: rule.name,
      index,
      place: source.place(["rules", index]),
      match: compileMatch(rule.match),
      keep: compileKeep(rule.keep),
      local: rule.upload === "never",
      evict: compileEvict(rule.evict),
      keepHead: rule.keep_head ?? 0,
    })),
    budget: document.budget === undefined ? undefined : {
      perMonth: document.budget.per_month.value,
      currency: document.budget.per_month.currency,
    },
    tests: (document.tests ?? []).map((test, index) => ({
      ...compileTest(test),
      place: source.place(["tests", index]),
    })),
  };
}

type OrderDocument = NonNullable<NonNullable<PolicyDocument["evict"]>["order"]>;

/** Where somebody gives an order, what it does not name does not count. */
function weights(order: OrderDocument | undefined): Weights {
  if (order === undefined) return DEFAULT_WEIGHTS;
  const given = [order.age, order.size, order.heat, order.recall_cost];
  const halfLifeMs = order.half_life ?? DEFAULT_WEIGHTS.halfLifeMs;
  if (given.every((weight) => weight === undefined)) return { ...DEFAULT_WEIGHTS, halfLifeMs };
  const [age, size, heat, recall_cost] = given.map((weight) => weight ?? 0);
  return { age, size, heat, recall_cost, halfLifeMs };
}

function compileMatch(match: MatchDocument): Match {
  const { link_count, not, ...terms } = match;
  return { ...terms, linkCount: link_count, not: not?.map((each) => compileMatch(each)) };
}

function compileKeep(keep: "pinned" | { pinned_until: number } | undefined): Keep | undefined {
  if (keep === undefined) return undefined;
  return keep === "pinned"
    ? { kind: "pinned" }
    : { kind: "pinned_until", untilMs: keep.pinned_until };
}

function compileEvict(evict: "first" | "allow" | { after: number } | undefined): Evict | undefined {
  if (evict === undefined) return undefined;
  return typeof evict === "string" ? { kind: evict } : { kind: "after", afterMs: evict.after };
}

function compileTest(test: TestDocument): Omit<PolicyTest, "place"> {
  const given: Given = test.given;
  return { given, expect: expectation(test.expect), rule: test.rule };
}

function expectation(expect: TestDocument["expect"]): Expectation {
  if (typeof expect !== "string") {
    return { kind: "verdict", verdict: "blocked", block: expect.blocked };
  }
  switch (expect) {
    case "allow":
    case "deny":
    case "stream":
      return { kind: "reader", recall: expect };
    default:
      return { kind: "verdict", verdict: expect };
  }
}
