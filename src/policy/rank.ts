/**
 * In which order files leave. Pure arithmetic.
 *
 * The score of a file is how much it should leave; the highest leaves first:
 *
 *   score(now) = age         · (now − lastUsed) / H
 *              + size        · log2(size / 1 MiB)
 *              + heat        · log2(heat(now))
 *              + recall_cost · log2(seconds to bring back one MiB of it)
 *
 * with the policy's weights and its half-life H. heat counts uses and halves every H:
 * heat(now) = h · 2^(−(now − t) / H), h its value at t. So both terms that depend on now are linear in
 * it with the same slope for every file, (age − heat) / H, and the order of any two files never
 * changes while nobody uses them. Without that part the score is a constant of the file,
 *
 *   rank = age · lastUsed / H − size · log2(…) − heat · (log2(h) + t / H) − recall_cost · log2(…)
 *        = (age − heat) · now / H − score(now)        for every now
 *
 * a column that an index can hold: the lowest rank leaves first, a use changes one row.
 */
import { cooled } from "../domain/heat.ts";
import { MiB } from "../domain/units.ts";
import type { FileFacts } from "./facts.ts";
import type { Weights } from "./model.ts";

/** Smaller files count as so large: they occupy a page each. */
const SMALLEST = 4096;
/** Heat below which a file is just cold; keeps the logarithm finite. */
const COLDEST = 2 ** -20;
/**
 * What bringing back content costs, seconds: the wait for the first byte, and one MiB. Constants of
 * the formula and not measurements, so that a rank does not change with the weather.
 */
const FIRST_BYTE_SECONDS = 0.25;
const MIB_SECONDS = 0.1;

/** Seconds to bring back one MiB of a file of `size` bytes: dear for small ones. */
export function recallCost(size: number): number {
  return FIRST_BYTE_SECONDS / (Math.max(size, SMALLEST) / MiB) + MIB_SECONDS;
}

type Ranked = Pick<FileFacts, "size" | "lastUsedMs" | "heat" | "heatAtMs">;

/** The part of the score that depends on the size only. */
const sizeScore = (size: number, weights: Weights) =>
  weights.size * Math.log2(Math.max(size, SMALLEST) / MiB) +
  weights.recall_cost * Math.log2(recallCost(size));

/** The rank of a file: a number that changes only when the file is used or resized. Lowest leaves first. */
export function rankOf(facts: Ranked, weights: Weights): number {
  const { age, heat, halfLifeMs } = weights;
  const logHeat = Math.log2(Math.max(facts.heat, COLDEST)) + facts.heatAtMs / halfLifeMs;
  return age * facts.lastUsedMs / halfLifeMs - heat * logHeat - sizeScore(facts.size, weights);
}

/** The score as the formula says it, for explanations; highest leaves first. */
export function scoreAt(facts: Ranked, weights: Weights, now: number): number {
  const { age, heat, halfLifeMs } = weights;
  const coldest = COLDEST * 2 ** (-(now - facts.heatAtMs) / halfLifeMs);
  const hot = Math.max(coldest, cooled(facts, { now, halfLifeMs }));
  return age * (now - facts.lastUsedMs) / halfLifeMs + heat * Math.log2(hot) +
    sizeScore(facts.size, weights);
}
