/** What the bucket costs, from a collection's report and the configured prices. Pure; estimates. */
import type { CollectionReport } from "../tiering/collection_report.ts";
import type { GcResult } from "./care_requests.ts";
import type { SettingValues } from "./settings.ts";

const GB = 1e9;

export function moneyOf(report: CollectionReport, values: SettingValues): GcResult["money"] {
  const stored = values["prices.storage_per_gb_month"]!;
  const perMonth = (bytes: number) => bytes / GB * stored;
  return {
    perMonth: perMonth(report.billed.bytes),
    trashPerMonth: perMonth(report.trashBytes ?? 0),
    garbagePerMonth: perMonth(report.dead.bytes + report.unknown.bytes),
    egressOfAll: report.live.referencedBytes / GB * values["prices.egress_per_gb"]!,
    date: values["prices.date"]!,
  };
}
