/**
 * What the bucket costs a month, now and soon, beside what a policy allows. Reported, and nothing
 * more: an upload of something that is nowhere else never asks for it. Pure; estimates.
 */
import type { Budget } from "./model.ts";
import { type Prices, storageMoney } from "./money.ts";

/** What lies in the bucket. Bytes as stored. */
export interface BucketUse {
  bytes: number;
  /** Of that, what came in the last 30 days. */
  recentBytes: number;
  /** What is still to be uploaded. */
  waitingBytes: number;
}

export interface CostReport {
  currency: string;
  /** When the prices were true. */
  pricesOf: string;
  bytes: number;
  /** Storage, a month: as it is now, … */
  perMonth: number;
  /** … and 30 days from now, with what waits and if it grows as in the last 30 days. */
  forecastPerMonth: number;
  /** Undefined: the policy says nothing. */
  budget?: {
    perMonth: number;
    currency: string;
    /** Undefined where the prices are in another currency. */
    exceeded?: "now" | "forecast" | "no";
  };
}

export function costOf(
  use: BucketUse,
  { prices, budget }: { prices: Prices; budget?: Budget | undefined },
): CostReport {
  const perMonth = storageMoney(use.bytes, prices);
  const soon = use.bytes + use.waitingBytes + use.recentBytes;
  const report: CostReport = {
    currency: prices.currency,
    pricesOf: prices.date,
    bytes: use.bytes,
    perMonth,
    forecastPerMonth: storageMoney(soon, prices),
  };
  if (budget === undefined) return report;
  report.budget = { ...budget };
  if (budget.currency !== prices.currency) return report;
  report.budget.exceeded = perMonth > budget.perMonth
    ? "now"
    : report.forecastPerMonth > budget.perMonth
    ? "forecast"
    : "no";
  return report;
}
