/**
 * Why a mark cannot be reached: every byte that is left on the disk, under the name of what holds it
 * there. The sums are exact, so nobody has to guess which class is in the way. Pure.
 */
import { formatBytes } from "../domain/units.ts";
import type { Decision } from "./decision.ts";
import type { Judgement } from "./judge.ts";
import type { Tally, Totals } from "./plan.ts";
import type { Limit, Run } from "./run.ts";

/** What holds bytes on the disk. */
export const HOLDERS = [
  "pinned",
  "local",
  "dirty",
  "open",
  "unconfirmed",
  "too_young",
  "after",
  "head",
  /** Promised to recalls under way. */
  "reserved",
  /** Not yet off the disk. */
  "leaving",
  /** Nothing holds it but a limit on the run: the next one takes it. */
  "later",
] as const;
export type Holder = typeof HOLDERS[number];

export interface Unmet {
  /** Bytes that had to be freed and were not. */
  missing: number;
  /** All that is left on the disk; the sum is what is used after the run. */
  holders: Partial<Record<Holder, Tally>>;
  /** What ended the run early; undefined: there was nothing more to take. */
  limit: Limit | undefined;
  /** Whether the next runs can free what is missing. */
  later: boolean;
}

export class Obstacles {
  readonly #holders: Partial<Record<Holder, Tally>> = {};

  constructor(totals: Totals) {
    this.#add("reserved", totals.reserved, 0);
    this.#add("leaving", totals.leaving, 0);
  }

  /** What a decision leaves on the disk. `holder` undefined: nothing held it but the run's limits. */
  add(
    { verdict, resident, frees }: Pick<Decision, "verdict" | "resident" | "frees">,
    holder: Holder | undefined,
  ): void {
    if (verdict !== "evict" && holder !== undefined) return this.#add(holder, resident, 1);
    // Of what leaves now or later, the head stays.
    this.#add("head", resident - frees, 1);
    if (verdict !== "evict") this.#add("later", frees, 1);
  }

  #add(holder: Holder, bytes: number, files: number): void {
    if (bytes <= 0) return;
    const tally = this.#holders[holder] ??= { files: 0, bytes: 0 };
    tally.files += files;
    tally.bytes += bytes;
  }

  unmet(run: Run, totals: Totals): Unmet {
    const { later, leaving } = this.#holders;
    const coming = (later?.bytes ?? 0) + (leaving?.bytes ?? 0);
    const missing = totals.toFree - totals.freed;
    return { missing, holders: this.#holders, limit: run.limit, later: coming >= missing };
  }
}

/** What holds a file here, apart from limits of a run; undefined: nothing. */
export function holderOf({ class: kind, stay, block }: Judgement): Holder | undefined {
  if (block === undefined && stay === undefined) return undefined;
  if (kind !== "clean") return kind === "evicted" ? "leaving" : kind;
  if (stay === "after" || stay === "head") return stay;
  return block === "too_young" ? "too_young" : "unconfirmed";
}

const WORDS: Record<Holder, string> = {
  pinned: "pinned",
  local: "never uploaded",
  dirty: "not in the bucket yet",
  open: "open",
  unconfirmed: "not confirmed by the bucket yet",
  too_young: "here for less than min_residence",
  after: "not unused for as long as the rules ask",
  head: "heads that stay",
  reserved: "reserved for recalls",
  leaving: "on its way off the disk",
  later: "for the next run",
};

/** One line per holder, the largest first. */
export function renderUnmet(unmet: Unmet): string[] {
  const rows = Object.entries(unmet.holders) as [Holder, Tally][];
  return [
    `${formatBytes(unmet.missing)} cannot be freed${unmet.later ? " by this run" : ""}:`,
    ...rows.sort((a, b) => b[1].bytes - a[1].bytes).map(([holder, { files, bytes }]) =>
      `  ${formatBytes(bytes).padStart(10)}  ${WORDS[holder]}` +
      (files > 0 ? ` (${files} ${files === 1 ? "file" : "files"})` : "")
    ),
  ];
}
