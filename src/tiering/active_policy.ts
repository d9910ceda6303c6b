/**
 * The policy in force, ready to be asked about files as the filesystem isolate describes them. The
 * engine and the commands that preview use the same, so they cannot differ. Replaced as a whole.
 */
import { hex } from "../runtime/random.ts";
import { createHash } from "node:crypto";
import type { FactsRow } from "../metadata/facts_table.ts";
import type { Prefilter } from "../domain/prefilter.ts";
import type { WalkNeeds } from "../metadata/facts_columns.ts";
import { UsageClass } from "../metadata/schema.ts";
import type { SortedFile } from "../metadata/usage_table.ts";
import type { FileFacts } from "../policy/facts.ts";
import { FIRST_YIELDING_TIER } from "../policy/judge.ts";
import type { Policy } from "../policy/model.ts";
import { Rules } from "../policy/outcome.ts";
import type { Settled } from "../policy/planner.ts";
import { prefilterOf } from "../policy/prefilter.ts";
import { rankOf } from "../policy/rank.ts";
import { timeline } from "../policy/timeline.ts";
import { type AccountNames, NO_ACCOUNTS } from "./account_names.ts";

export class ActivePolicy {
  readonly policy: Policy;
  readonly rules: Rules;
  readonly #accounts: AccountNames;
  #name: string | undefined;

  constructor(policy: Policy, options: { accounts?: AccountNames } = {}) {
    this.policy = policy;
    this.rules = new Rules(policy);
    this.#accounts = options.accounts ?? NO_ACCOUNTS;
  }

  /** Tells policies apart that sort files differently. */
  get name(): string {
    if (this.#name === undefined) {
      const { rules, evict } = this.policy;
      const parts = JSON.stringify({ rules, evict });
      this.#name = hex(createHash("sha256").update(parts).digest().subarray(0, 16));
    }
    return this.#name;
  }

  /** A file that was settled by this policy, as its planner takes it. */
  settled({ inode, frees, settled }: { inode: number; frees: number; settled: number }): Settled {
    return { settled: true, inode, frees, rule: this.policy.rules[settled - 1] };
  }

  get needs(): { uses: boolean; xattrs: boolean } {
    const { uses, xattrs } = this.rules.needs;
    return { uses, xattrs };
  }

  /** The same for a walk over a whole tree; `names`: paths are needed whatever the rules ask for. */
  walkNeeds({ names }: { names: boolean }): WalkNeeds {
    const { needs } = this.rules;
    return { ...needs, names: names || needs.names };
  }

  /** What each rule asks at least of a file at `now`, in the order of the rules. */
  prefilters(now: number): Prefilter[] {
    const accounts = this.#accounts;
    return this.policy.rules.map(({ match }) => prefilterOf(match, { now, accounts }));
  }

  /** Whether some rule keeps files out of the bucket. */
  get keepsLocal(): boolean {
    return this.policy.rules.some((rule) => rule.local);
  }

  /** Facts as the policy knows them. */
  facts(row: FactsRow): FileFacts {
    if (!this.rules.needs.owners) return row;
    return { ...row, owner: this.#accounts.user(row.uid), group: this.#accounts.group(row.gid) };
  }

  /** Whether a file stays out of the bucket. */
  isLocal(row: FactsRow, now: number): boolean {
    return this.rules.outcome(this.facts(row), now).local;
  }

  /** Where a file belongs, and until when as long as nobody touches it. */
  sort(row: FactsRow, { now, chunkSize }: { now: number; chunkSize: number }): SortedFile {
    const facts = this.facts(row);
    const [{ judgement }, next] = timeline(this.rules, facts, { now, chunkSize });
    const place = { inode: row.inode, stamp: row.stamp, rank: rankOf(facts, this.#order) };
    const at = (kind: UsageClass): SortedFile => ({ ...place, class: kind, wakeMs: next?.fromMs });
    if (judgement.class === "local") return at(UsageClass.LOCAL);
    if (judgement.class === "pinned") return at(UsageClass.PINNED);
    if (facts.dirty) return { ...at(UsageClass.DIRTY), wakeMs: undefined };
    if (judgement.stay === "head") return at(UsageClass.HEAD);
    // Until `next` the judgement stays what it is, but for a head: other names may ask for another one.
    const whole = judgement.outcome.keepHead === 0 && row.paths.length === 1;
    const number = 1 + (judgement.outcome.rule?.index ?? -1);
    const settled = (kind: UsageClass) => whole ? { ...at(kind), settled: number } : at(kind);
    if (judgement.tier === 0) return settled(UsageClass.FIRST);
    const ready = judgement.tier !== undefined && judgement.tier < FIRST_YIELDING_TIER;
    return ready ? settled(UsageClass.RANKED) : at(UsageClass.HELD);
  }

  get #order() {
    return this.policy.evict.order;
  }
}
