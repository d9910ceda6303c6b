/** What leaves first where nobody has said otherwise: what was used least recently. Pure. */
import type { Candidate } from "../filesystem/protocol.ts";

/**
 * The files to evict, so that at least `bytesToFree` are freed: from the least recently used on, and
 * no more than needed. `candidates` are in that order already; all of them where they do not suffice.
 */
export function chooseEvictions(candidates: Candidate[], bytesToFree: number): Candidate[] {
  const chosen: Candidate[] = [];
  let bytes = 0;
  for (const candidate of candidates) {
    if (bytes >= bytesToFree) break;
    if (candidate.residentBytes <= 0) continue;
    chosen.push(candidate);
    bytes += candidate.residentBytes;
  }
  return chosen;
}
