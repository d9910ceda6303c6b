/**
 * What a plan costs, and what undoing it would. Prices are data with a date, from the configuration;
 * nothing here knows one. Pure; estimates, and called so.
 */

/** What a store asks for. Money in `currency`. */
export interface Prices {
  /** When somebody looked them up, for people: `2026-09-07`. */
  date: string;
  currency: string;
  /** Per 10⁹ bytes stored for 30 days. */
  storedGbMonth: number;
  /** Per 10⁹ bytes downloaded. */
  egressGb: number;
  /** Per 10,000 calls that upload, and that download. */
  upload10k: number;
  download10k: number;
}

export interface PlanMoney {
  currency: string;
  /** What the uploads add to every month, and their calls once. */
  uploadsPerMonth: number;
  uploadCalls: number;
  /** Bringing back all that is evicted, once. */
  undo: number;
}

const GB = 1e9;
/** Bytes of a pack at most, and so of one call that uploads or downloads. */
const CALL_BYTES = 16 * 1024 * 1024;

/** Cost of bringing back some bytes in so many recalls. */
export function recallMoney(
  { bytes, files }: { bytes: number; files: number },
  prices: Prices,
): number {
  const calls = Math.max(files, Math.ceil(bytes / CALL_BYTES));
  return bytes / GB * prices.egressGb + calls / 10_000 * prices.download10k;
}

/** Cost of keeping `bytes` for a month. */
export const storageMoney = (bytes: number, prices: Prices): number =>
  bytes / GB * prices.storedGbMonth;

/** What the sums of a plan cost. */
export function moneyOf(
  { upload, evict }: { upload: { bytes: number }; evict: { bytes: number; files: number } },
  prices: Prices,
): PlanMoney {
  return {
    currency: prices.currency,
    uploadsPerMonth: storageMoney(upload.bytes, prices),
    uploadCalls: Math.ceil(upload.bytes / CALL_BYTES) / 10_000 * prices.upload10k,
    undo: recallMoney(evict, prices),
  };
}
