/**
 * The default order is worth having: compared with LRU and SIEVE on three traces at three disk sizes.
 * Pure, but too long for the unit tier.
 */
import assert from "node:assert/strict";
import { MiB } from "../../src/domain/units.ts";
import { type Contender, replay } from "../../src/policy/replay.ts";
import { CHUNK, policyOf } from "../unit/policy/helpers.ts";
import { driftTrace, type MadeTrace, scanTrace, TRACES, zipfTrace } from "../unit/policy/traces.ts";

const SHARES = [0.05, 0.15, 0.4];
/** Hit ratio, in points of a hundred, that the default may be behind the better of the two. */
const BEHIND = 1;

const contenders: [string, Contender][] = [
  ["LRU", "LRU"],
  ["SIEVE", "SIEVE"],
  ["default", policyOf("")],
  ["Belady", "Belady"],
];

function measure(trace: MadeTrace, share: number) {
  const target = trace.totalBytes * share;
  const marks = {
    target,
    high: target * 0.95,
    low: target * 0.85,
    hard: target,
    minFree: 0,
  };
  return contenders.map(([name, contender]) => {
    const result = replay(contender, { events: trace.events, marks, chunkSize: CHUNK });
    return { name, percent: result.hitRatio * 100, recalledMiB: result.recalledBytes / MiB };
  });
}

function compare(traces: MadeTrace[]): { behind: string[]; table: string[] } {
  const behind: string[] = [];
  const table: string[] = [];
  for (const trace of traces) {
    for (const share of SHARES) {
      const rows = measure(trace, share);
      const percent = (name: string) => rows.find((row) => row.name === name)!.percent;
      const cells = rows.map((row) =>
        `${row.name} ${row.percent.toFixed(1)}% ${(row.recalledMiB / 1024).toFixed(1)} GiB`
      );
      const place = `${trace.name} (seed ${trace.seed}), disk ${share * 100}% of all bytes`;
      table.push(`${place.padEnd(58)} ${cells.join(" · ")}`);
      const better = Math.max(percent("LRU"), percent("SIEVE"));
      if (percent("default") < better - BEHIND) behind.push(table.at(-1)!);
    }
  }
  return { behind, table };
}

Deno.test("the default order is within a point of the better of LRU and SIEVE, or above, at three disk sizes on three traces", () => {
  const { behind, table } = compare(TRACES);
  console.log(table.join("\n"));
  assert.deepEqual(behind, []);
});

Deno.test("that does not hang on the seeds", () => {
  assert.deepEqual(compare([zipfTrace(501), scanTrace(502), driftTrace(503)]).behind, []);
});
