/**
 * Two machines race for one bucket in every interleaving of what they ask of it, on the real lease. A
 * call waits until the schedule lets it through; time passes, five seconds at a time, when the schedule
 * says so: also while a claim is on its way. All schedules are tried, one after another, from the start.
 */
import assert from "node:assert/strict";
import type { ClaimName } from "../../../src/format/lease_claim.ts";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import type { ObjectStore } from "../../../src/object_store/object_store.ts";
import { acquireLease, type Lease, type LeaseOptions } from "../../../src/tiering/lease.ts";
import { soak } from "../../harness/fault_seed.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { settle, SimulatedClock } from "../../harness/simulated_clock.ts";

const PAUSE_MS = 5_000;
/** Times that five seconds pass while calls wait. */
const PAUSES = soak ? 3 : 1;
const MACHINES = ["attic", "cellar"] as const;
type Machine = typeof MACHINES[number];

/** Choices of one run, and how many there were at each point. */
class Schedule {
  readonly #choices: number[];
  readonly options: number[] = [];
  readonly taken: number[] = [];

  constructor(choices: number[]) {
    this.#choices = choices;
  }

  choose(options: number): number {
    const choice = this.#choices[this.options.length] ?? 0;
    this.options.push(options);
    this.taken.push(choice);
    return choice;
  }

  /** The next one in order; undefined after the last. */
  next(): number[] | undefined {
    for (let at = this.taken.length - 1; at >= 0; at--) {
      if (this.taken[at] + 1 < this.options[at]) {
        return [...this.taken.slice(0, at), this.taken[at] + 1];
      }
    }
    return undefined;
  }
}

interface Race {
  clock: SimulatedClock;
  bucket: MemoryObjectStore;
  /** Calls that wait, by machine, which has one at a time. */
  waiting: Map<Machine, () => void>;
  open: boolean;
}

/** The bucket as one machine sees it: each call waits for its turn, takes effect and is answered. */
function gated(race: Race, machine: Machine): ObjectStore {
  const turn = () =>
    race.open ? Promise.resolve() : new Promise<void>((go) => {
      assert(!race.waiting.has(machine));
      race.waiting.set(machine, go);
    });
  return new Proxy(race.bucket, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (name !== "list") {
        return async (...rest: unknown[]) => {
          await turn();
          return await value.apply(target, rest);
        };
      }
      return async function* (...rest: unknown[]) {
        await turn();
        yield* value.apply(target, rest);
      };
    },
  });
}

interface Claimant {
  machine: Machine;
  options: Partial<LeaseOptions>;
}

function claim(race: Race, { machine, options }: Claimant): Promise<Lease> {
  return acquireLease({
    store: gated(race, machine),
    clock: race.clock,
    random: new SeededRandom(machine.length),
    fileSystem: "00112233445566778899aabbccddeeff",
    machine,
    user: "anna",
    ...options,
  });
}

/** One run by a schedule. Answers who may write when a minute has passed. */
async function run(schedule: Schedule, setting: Setting): Promise<Machine[]> {
  const clock = new SimulatedClock();
  const bucket = new MemoryObjectStore({ clock });
  const race: Race = { clock, bucket, waiting: new Map(), open: true };
  const claimants = await setting(race);
  race.open = false;
  const leases: { machine: Machine; lease: Lease }[] = [];
  let left = claimants.length;
  for (const claimant of claimants) {
    claim(race, claimant).then(async (lease) => {
      await lease.settled;
      leases.push({ machine: claimant.machine, lease });
    }).catch((error) => assert.equal(error.name, "UserError")).finally(() => left--);
  }
  await settle();
  for (let pauses = 0; left > 0;) {
    const calls = [...race.waiting.keys()].sort();
    const mayPause = clock.pending > 0 || pauses < PAUSES;
    const choice = schedule.choose(calls.length + (mayPause && pauses < PAUSES ? 1 : 0) || 1);
    if (choice < calls.length) {
      const go = race.waiting.get(calls[choice])!;
      race.waiting.delete(calls[choice]);
      go();
      await settle();
    } else {
      pauses++;
      await clock.advance(PAUSE_MS);
    }
  }
  // A minute later whoever was taken over from knows it, and whoever was not still may.
  race.open = true;
  await clock.advance(61_000);
  const writers: Machine[] = [];
  for (const { machine, lease } of leases) {
    try {
      await lease.check();
      writers.push(machine);
    } catch (error) {
      assert.equal((error as Error).name, "UserError");
      assert(claimants.some(({ options }) => options.takeOver), "nobody took over, and he lost");
    }
    await lease.release();
  }
  assert(writers.length >= Math.min(1, leases.length), "who took over last holds");
  return writers;
}

type Setting = (race: Race) => Promise<Claimant[]>;

async function inAllInterleavings(setting: Setting): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  for (let choices: number[] | undefined = []; choices !== undefined;) {
    const schedule: Schedule = new Schedule(choices);
    const winners = await run(schedule, setting);
    assert(winners.length <= 1, `both may write after ${schedule.taken}`);
    const outcome = winners[0] ?? "nobody";
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    choices = schedule.next();
  }
  return outcomes;
}

/** A claim that a crash left, and what its cache remembers of it. */
async function crashed(race: Race, machine: Machine): Promise<ClaimName[]> {
  let remembered: ClaimName[] = [];
  const options = { remember: (claims: ClaimName[]) => void (remembered = claims) };
  const lease = await claim(race, { machine, options });
  await race.clock.until(lease.settled);
  return remembered;
}

Deno.test("of two machines that claim an empty prefix never both win, in any interleaving", async () => {
  const outcomes = await inAllInterleavings(() =>
    Promise.resolve(MACHINES.map((machine) => ({ machine, options: {} })))
  );
  const all = [...outcomes.values()].reduce((sum, each) => sum + each, 0);
  assert(all > 100, `${all} interleavings`);
  assert.deepEqual([...outcomes.keys()].sort(), ["attic", "cellar", "nobody"]);
});

Deno.test("a machine that comes back after a crash, and one that takes over from it, never both win", async () => {
  const outcomes = await inAllInterleavings(async (race) => [
    { machine: "attic", options: { previous: await crashed(race, "attic") } },
    { machine: "cellar", options: { takeOver: true } },
  ]);
  assert(outcomes.size >= 2, JSON.stringify([...outcomes]));
});

Deno.test("two that take over from a third never both win", async () => {
  const outcomes = await inAllInterleavings(async (race) => {
    await crashed(race, "attic");
    return MACHINES.map((machine) => ({ machine, options: { takeOver: true } }));
  });
  assert.deepEqual([...outcomes.keys()].sort(), ["attic", "cellar", "nobody"]);
});
