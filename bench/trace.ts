/**
 * What recording an access costs the filesystem isolate: with a trace, and without one. Uses come in
 * turns over many files, as a busy machine opens them, with the writing that each second does.
 *
 *   deno run -A bench/trace.ts [--accesses N]
 */
import { recordAccesses } from "../src/daemon/access_trace_file.ts";
import { MiB } from "../src/domain/units.ts";
import type { Inode } from "../src/filesystem/inode.ts";
import { TraceFile } from "../src/filesystem/trace_file.ts";
import { Uses } from "../src/filesystem/uses.ts";
import type { UsageTable } from "../src/metadata/usage_table.ts";

const at = Deno.args.indexOf("--accesses");
const ACCESSES = at < 0 ? 1_000_000 : Number(Deno.args[at + 1]);
const FILES = 20_000;
/** Opens in one second. */
const PER_FLUSH = 10_000;

const directory = await Deno.makeTempDir({ prefix: "zero-bench-" });
try {
  const usage = { record: () => {} } as unknown as UsageTable;
  const inodes = Array.from({ length: FILES }, (_, id) => ({ id: id + 1, size: MiB }) as Inode);
  const log = { warn: (message: string) => console.error(message) };
  const { tracePath } = recordAccesses(`${directory}/trace`, { bytes: 16 * MiB, log });
  let nowMs = Date.now();
  const nanoseconds = (trace: TraceFile | undefined): number => {
    const uses = new Uses(usage, { trace, wallMs: () => nowMs });
    const start = performance.now();
    for (let n = 0; n < ACCESSES; n++) {
      uses.read(inodes[n % FILES], undefined);
      if (n % PER_FLUSH === PER_FLUSH - 1) {
        nowMs += 1000;
        uses.flush();
      }
    }
    return (performance.now() - start) / ACCESSES * 1e6;
  };
  const trace = TraceFile.open(tracePath!)!;
  nanoseconds(trace); // warm
  const rounds = Array.from({ length: 5 }, () => [nanoseconds(undefined), nanoseconds(trace)]);
  const median = (index: number) => rounds.map((each) => each[index]).sort((a, b) => a - b)[2];
  const [without, recorded] = [median(0), median(1)];
  console.log(
    `per access, median of 5 rounds: ${without.toFixed(0)} ns without a trace, ` +
      `${recorded.toFixed(0)} ns with one (writing included)`,
  );
  trace.close();
} finally {
  await Deno.remove(directory, { recursive: true });
}
