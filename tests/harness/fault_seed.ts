/** The seed of a test that injects faults: ZERO_SEED replays one; and how big the test is. */
import { SeededRandom } from "./seeded_random.ts";

/** ZERO_SOAK=1: full size. */
export const soak = Deno.env.get("ZERO_SOAK") === "1";

/** Randomness for a test, with its seed printed so that it can be replayed. */
export function faultRandom(what: string): SeededRandom {
  const given = Deno.env.get("ZERO_SEED");
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0] : Number(given);
  console.log(`${what}: ZERO_SEED=${seed}${soak ? " ZERO_SOAK=1" : ""} replays this`);
  return new SeededRandom(seed);
}

/** Asks again until `question` answers with something, at most so long. */
export async function until<T>(
  what: string,
  question: () => T | undefined | Promise<T | undefined>,
  options: { timeoutMs: number } = { timeoutMs: 60_000 },
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const answer = await question();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
