/**
 * Random programs, engine, disk and crashes against the model of tests/harness/content_model.ts. A
 * failure prints the seed and a shortened sequence. ZERO_SOAK_SECONDS makes it run longer, ZERO_SEED
 * runs one seed.
 */
import { type Operation, randomOperation } from "../harness/content_operations.ts";
import { ContentPlayer } from "../harness/content_player.ts";
import type { FilesystemSettings } from "../../src/filesystem/protocol.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const OPERATIONS = 250;
const SEEDS = 60;
const CHECK_EVERY = 10;
const SHRINK_MS = 15_000;

/** Settings of a run, chosen by its seed: roomy, or so tight that nothing fits. */
function settingsOf(seed: number): Partial<FilesystemSettings> {
  if (seed % 3 > 0) return {};
  const chunk = 16384;
  return { high: 16 * chunk, low: 12 * chunk, hard: 24 * chunk, spaceTimeoutMs: 2000 };
}

/** Plays a sequence to its end and to rest. Throws what went wrong, with the step at which it did. */
function run(
  seed: number,
  operations: readonly Operation[],
): { step: number; error: Error } | undefined {
  const directory = Deno.makeTempDirSync({ prefix: "zero-test-" });
  let player: ContentPlayer | undefined;
  let step = 0;
  try {
    const passthrough = seed % 2 === 0;
    player = new ContentPlayer({ directory, settings: settingsOf(seed), passthrough });
    for (; step < operations.length; step++) {
      player.play(operations[step]);
      if (step % CHECK_EVERY === 0) player.check();
    }
    player.rest();
    return undefined;
  } catch (error) {
    return { step, error: error as Error };
  } finally {
    try {
      player?.close();
    } catch (error) {
      console.error(`closing failed: ${error}`);
    }
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Leaves out what the failure does not need. */
function shrink(seed: number, operations: Operation[]): Operation[] {
  const until = performance.now() + SHRINK_MS;
  let kept = operations;
  for (let size = kept.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < kept.length && performance.now() < until;) {
      const fewer = kept.toSpliced(at, size);
      if (run(seed, fewer) === undefined) at += size;
      else kept = fewer;
    }
  }
  return kept;
}

function play(seed: number): void {
  const random = new SeededRandom(seed);
  const operations = Array.from({ length: OPERATIONS }, () => randomOperation(random));
  const failure = run(seed, operations);
  if (failure === undefined) return;
  const short = shrink(seed, operations.slice(0, failure.step + 1));
  const again = run(seed, short)?.error ?? failure.error;
  const steps = short.map((operation) => JSON.stringify(operation)).join(",\n  ");
  throw new Error(`seed ${seed}, step ${failure.step}: ${again.stack}\n[\n  ${steps}\n]`);
}

Deno.test("content is what was written, through uploads, evictions, recalls and crashes", () => {
  const one = Deno.env.get("ZERO_SEED");
  if (one !== undefined) return play(Number(one));
  const soak = Deno.env.get("ZERO_SOAK_SECONDS");
  const until = performance.now() + (soak === undefined ? 60_000 : Number(soak) * 1000);
  let seed = soak === undefined ? 1 : 1 + Math.floor(Date.now() / 1000) % 1_000_000 * 1000;
  // Without ZERO_SOAK_SECONDS always the same ones, however quick the machine is.
  const end = soak === undefined ? seed + SEEDS : Infinity;
  for (; seed < end && performance.now() < until; seed++) play(seed);
});

Deno.test("a lent file that ends in a hole was cut off where its content file had been trimmed", () => {
  // Zeros at the end are saved as a hole, and the content file is trimmed; then programs read it by
  // themselves.
  const operations: Operation[] = [
    ["create", 3265584255, 927787440, 1022777965, 3001291399],
    ["write", 115176665, 1881084655, 3650665711, 2436548114],
    ["writeChunks", 3295411836, 3308171363, 3677144706, 4079197433],
    ["quiet", 3783348460, 754756178, 4082435683, 3787939420],
    ["lseek", 1469991342, 2393673205, 2865033642, 2960647032],
    ["kill", 2954870275, 3010799227, 938529152, 2200817100],
    ["saveWhole", 1906620136, 3410088123, 2002056286, 4040205809],
  ];
  const failure = run(977157088, operations);
  if (failure !== undefined) throw failure.error;
});
