/**
 * The seed of a test that injects faults, and how big the test is. At CI size the seed is always the same,
 * so that no run fails by chance; with ZERO_SOAK=1 it is a fresh one. ZERO_SEED replays one. ZERO_ROUNDS
 * says how often the daemon is killed or the power cut, at either size.
 */
import { SeededRandom } from "./seeded_random.ts";

/** ZERO_SOAK=1: full size. */
export const soak = Deno.env.get("ZERO_SOAK") === "1";

/** What ZERO_SEED says; otherwise always the same at CI size, and undefined at full size. */
export const givenSeed = Deno.env.has("ZERO_SEED")
  ? Number(Deno.env.get("ZERO_SEED"))
  : soak
  ? undefined
  : 1;

/** How often a fault strikes: `full` times with ZERO_SOAK=1, `small` times otherwise, unless ZERO_ROUNDS says. */
export const rounds = ({ small, full }: { small: number; full: number }): number =>
  Number(Deno.env.get("ZERO_ROUNDS") ?? (soak ? full : small));

/** Randomness for a test, with its seed printed so that it can be replayed. */
export function faultRandom(what: string): SeededRandom {
  const seed = givenSeed ?? crypto.getRandomValues(new Uint32Array(1))[0];
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
