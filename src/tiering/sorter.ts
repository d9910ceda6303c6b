/**
 * Keeps files in the classes of the policy: looks at those that changed and at those whose time has
 * come, never at all of them but when the policy changes. Also says which dirty files stay out of the
 * bucket. Decides nothing itself (src/policy); owns when to look.
 */
import type { FactsRow } from "../metadata/facts_table.ts";
import { UsageClass } from "../metadata/schema.ts";
import type { SortPlace } from "../metadata/usage_table.ts";
import { sleep } from "../runtime/clock.ts";
import { describe, type Tiering } from "./context.ts";
import { pages } from "./pages.ts";
import { ENGINE_LIMITS } from "./settings.ts";
import { Wakeup } from "./wakeup.ts";

/** News first, then changed files, then those whose time has come. */
const placeOf = ({ news, changed, woken }: SortPlace) => [
  -news,
  changed ?? Infinity,
  woken.wakeMs,
  woken.inode,
];

export class Sorter {
  readonly #tiering: Tiering;
  readonly #wakeup: Wakeup;
  /** Resolves when every file has been made unsorted for the policy in force. */
  #reclassified: Promise<void> = Promise.resolve();
  #passing: Promise<void> | undefined;
  sorted = 0;

  constructor(tiering: Tiering) {
    this.#tiering = tiering;
    this.#wakeup = new Wakeup(tiering.clock);
  }

  /** Works until the engine's signal aborts. Never rejects. */
  async run(): Promise<void> {
    const { signal, clock, log } = this.#tiering;
    while (!signal.aborted) {
      await this.#wakeup.wait(ENGINE_LIMITS.SORT_IDLE_MS, signal);
      if (signal.aborted) return;
      try {
        await this.settle();
      } catch (error) {
        if (!signal.aborted) log("error", "files could not be sorted", { error: describe(error) });
      }
      await sleep(clock, ENGINE_LIMITS.SORT_GAP_MS, signal).catch(() => {});
    }
  }

  /** Something is unsorted. */
  look(): void {
    this.#wakeup.call();
  }

  /** Another policy is in force. */
  policyChanged(): void {
    const { filesystem, policy, signal, log } = this.#tiering;
    this.#reclassified = filesystem.call("reclassify", { policy: policy.name }).catch((error) => {
      if (!signal.aborted) {
        log("error", "the policy does not hold for old files yet", { error: describe(error) });
      }
    });
    this.look();
  }

  /** Sorts whatever is unsorted now. Calls at the same time share the work. */
  async settle(): Promise<void> {
    await this.#reclassified;
    // One that is under way may have passed what the caller means.
    await this.#passing?.catch(() => {});
    this.#passing ??= this.#pass().finally(() => this.#passing = undefined);
    await this.#passing;
  }

  async #pass(): Promise<void> {
    const { filesystem, signal, clock, chunkSize } = this.#tiering;
    const limit = ENGINE_LIMITS.SORT_PAGE_FILES;
    const walk = pages(
      "what is to be sorted",
      placeOf,
      (after: SortPlace | undefined) =>
        filesystem.call("unsorted", { limit, after, needs: this.#tiering.policy.needs }),
    );
    for await (const page of walk) {
      if (signal.aborted) return;
      const { policy } = this.#tiering;
      const now = clock.wallMs();
      const files = page.facts.map((row) => policy.sort(row, { now, chunkSize }));
      const local = page.facts.filter((row, place) =>
        row.dirty && !row.kept && files[place].class === UsageClass.LOCAL
      ).map((row) => row.inode);
      if (local.length > 0) await filesystem.call("keep", { inodes: local });
      if (files.length > 0) await filesystem.call("sort", { files });
      this.sorted += files.length;
    }
  }

  /** Of these dirty files, those that may go to the bucket; the others are kept out of it. */
  async uploadable(inodes: readonly number[]): Promise<Set<number>> {
    const { filesystem, policy, clock } = this.#tiering;
    const allowed = new Set(inodes);
    if (!policy.keepsLocal || inodes.length === 0) return allowed;
    await this.#reclassified;
    const rows = await filesystem.call("facts", { inodes: [...inodes], needs: policy.needs });
    const now = clock.wallMs();
    const local = rows.filter((row): row is FactsRow =>
      row !== undefined && policy.isLocal(row, now)
    );
    for (const row of local) allowed.delete(row.inode);
    const fresh = local.filter((row) => row.dirty && !row.kept).map((row) => row.inode);
    if (fresh.length > 0) await filesystem.call("keep", { inodes: fresh });
    return allowed;
  }
}
