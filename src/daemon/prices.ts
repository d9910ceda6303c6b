/** The price table of the configuration as policies count with it. Dated, and for estimates only. */
import type { Prices } from "../policy/money.ts";
import type { SettingValues } from "./settings.ts";

export function pricesOf(values: SettingValues): Prices {
  return {
    date: values["prices.date"]!,
    currency: values["prices.currency"]!,
    storedGbMonth: values["prices.storage_per_gb_month"]!,
    egressGb: values["prices.egress_per_gb"]!,
    upload10k: values["prices.upload_per_10k"]!,
    download10k: values["prices.download_per_10k"]!,
  };
}

/** An amount for people: `3.00 USD`; small ones with the digits that count. */
export function printMoney(amount: number, currency: string): string {
  const digits = amount !== 0 && Math.abs(amount) < 0.1 ? 4 : 2;
  return `${amount.toFixed(digits)} ${currency}`;
}
