import assert from "node:assert/strict";
import { ExitCode } from "../../../src/domain/errors.ts";
import { claimKey, type ClaimName, parseClaimKey } from "../../../src/format/lease_claim.ts";
import { acquireLease, type Lease, type LeaseOptions } from "../../../src/tiering/lease.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";
import { failing, ScriptedStore } from "./engine_fixture.ts";

const seconds = (n: number) => n * 1000;
const refused = { name: "UserError", exitCode: ExitCode.refused };

class Bench {
  readonly clock = new SimulatedClock();
  readonly store = new ScriptedStore(this.clock);
  /** What the caches of the machines remember. */
  readonly caches = new Map<string, ClaimName[]>();
  readonly #random = new SeededRandom(7);

  acquire(machine: string, options: Partial<LeaseOptions> = {}): Promise<Lease> {
    return acquireLease({
      store: this.store,
      clock: this.clock,
      random: this.#random,
      fileSystem: "00112233445566778899aabbccddeeff",
      machine,
      user: "anna",
      previous: this.caches.get(machine),
      remember: (claims) => void this.caches.set(machine, claims),
      ...options,
    });
  }

  async holding(machine: string, options: Partial<LeaseOptions> = {}): Promise<Lease> {
    const lease = await this.acquire(machine, options);
    await this.clock.until(lease.settled);
    return lease;
  }

  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.store.list("lease/")) keys.push(key);
    return keys;
  }
}

Deno.test("an empty prefix is claimed, and may be written to after five seconds", async () => {
  const bench = new Bench();
  const lease = await bench.acquire("attic");
  assert.equal(lease.epoch, 1);
  let settled = false;
  lease.settled.then(() => settled = true);
  await bench.clock.advance(seconds(4.9));
  assert.equal(settled, false);
  await bench.clock.advance(seconds(0.2));
  assert.equal(settled, true);
  assert.deepEqual(await bench.keys(), [claimKey(lease)]);
});

Deno.test("where listings show every put at once nobody waits, and two claims still exclude each other", async () => {
  const bench = new Bench();
  bench.store.listsAtOnce = true;
  const alone = await bench.acquire("attic");
  await alone.settled;
  await alone.release();
  // Both have listed before either has put.
  const [one, two] = await Promise.allSettled(
    (await Promise.all(["attic", "cellar"].map((machine) => bench.acquire(machine))))
      .map((lease) => lease.settled),
  );
  assert.equal(one.status, "rejected");
  assert.equal(two.status, "rejected");
  assert.equal(bench.clock.monotonicMs(), new SimulatedClock().monotonicMs(), "no time has passed");
});

Deno.test("a second mount is refused, and told who holds and what to do", async () => {
  const bench = new Bench();
  await bench.holding("attic");
  await bench.clock.advance(seconds(7200));
  await assert.rejects(bench.acquire("cellar"), (error: Error & { hint?: string }) => {
    assert.equal(error.name, "UserError");
    assert.equal((error as Error & { exitCode: number }).exitCode, ExitCode.refused);
    assert.match(error.message, /anna@attic since 2026-01-01T00:00:00.000Z \(2h ago\)/);
    assert.match(error.hint!, /--take-over/);
    return true;
  });
  assert.equal((await bench.keys()).length, 1, "a refused mount leaves nothing");
});

Deno.test("after a release the next mount needs no force", async () => {
  const bench = new Bench();
  const first = await bench.holding("attic");
  await first.release();
  const second = await bench.holding("cellar");
  assert.equal(second.epoch, 2);
  assert.deepEqual(bench.caches.get("attic"), []);
});

Deno.test("a machine that crashed mounts again without force, and others still may not", async () => {
  const bench = new Bench();
  await bench.holding("attic");
  const again = await bench.holding("attic");
  assert.equal(again.epoch, 2);
  await assert.rejects(bench.acquire("cellar"), refused);
  await again.check();
});

Deno.test("a crash between claiming and settling is forgiven too, even when the answer was lost", async () => {
  const bench = new Bench();
  bench.store.afterPut = () => {
    throw failing.unavailable();
  };
  await assert.rejects(bench.acquire("attic"), { name: "StoreError" });
  bench.store.afterPut = () => {};
  assert.equal((await bench.keys()).length, 1);
  const lease = await bench.holding("attic");
  assert.equal(lease.epoch, 2);
});

Deno.test("an old copy of a cache is refused once the other copy has mounted", async () => {
  const bench = new Bench();
  await bench.holding("attic");
  bench.caches.set("copy", bench.caches.get("attic")!);
  await bench.holding("attic");
  await assert.rejects(bench.acquire("copy"), refused);
});

Deno.test("of two that claim at once never both win", async () => {
  for (let delayMs = 0; delayMs <= 12_000; delayMs += 500) {
    const bench = new Bench();
    const outcomes: string[] = [];
    const winners: Lease[] = [];
    const claim = async (machine: string) => {
      try {
        const lease = await bench.acquire(machine);
        await lease.settled;
        outcomes.push("won");
        winners.push(lease);
      } catch (error) {
        assert.equal((error as Error).name, "UserError");
        outcomes.push("lost");
      }
    };
    // The slow one has listed, and its claim arrives late.
    let held: (() => void) | undefined;
    bench.store.onPut = () => {
      bench.store.onPut = () => {};
      return new Promise<void>((done) => {
        held = done;
      });
    };
    const slow = claim("slow");
    await bench.clock.advance(0);
    const fast = claim("fast");
    await bench.clock.advance(delayMs);
    held!();
    await bench.clock.until(Promise.all([slow, fast]));
    assert.ok(outcomes.filter((each) => each === "won").length <= 1, `${delayMs}: ${outcomes}`);
    await bench.clock.advance(seconds(61));
    for (const winner of winners) await winner.check();
    // Whoever lost has withdrawn, so the next one is not refused because of him.
    if (!outcomes.includes("won")) assert.equal((await bench.holding("third")).epoch, 2);
  }
});

Deno.test("a take-over names whom it took from, and the old holder notices within a minute of writing", async () => {
  const bench = new Bench();
  const old = await bench.holding("attic");
  const lease = await bench.holding("cellar", { takeOver: true });
  assert.equal(lease.tookOver?.machine, "attic");
  await bench.clock.advance(seconds(61));
  await assert.rejects(old.check(), { ...refused, message: /anna@cellar/ });
  await assert.rejects(old.check(), refused);
  await lease.check();
});

Deno.test("an old holder went on deleting for up to a minute after somebody had taken over", async () => {
  for (const listsAtOnce of [false, true]) {
    const bench = new Bench();
    bench.store.listsAtOnce = listsAtOnce;
    const old = await bench.holding("attic");
    await bench.clock.advance(seconds(30));
    await old.check();
    await old.checkToDelete();
    const next = await bench.acquire("cellar", { takeOver: true });
    await bench.clock.until(next.settled);
    // By the moment from which the next one relies on what is there.
    await assert.rejects(async () => {
      await bench.clock.advance(1);
      await old.checkToDelete();
    }, { ...refused, message: /anna@cellar/ });
  }
});

Deno.test("whoever deletes looks at the claims every five seconds, not before each object", async () => {
  const bench = new Bench();
  const lease = await bench.holding("attic");
  let lists = 0;
  bench.store.onList = () => void lists++;
  for (let i = 0; i < 600; i++) {
    await lease.checkToDelete();
    await bench.clock.advance(100);
  }
  assert.ok(lists >= 11 && lists <= 12, `${lists} listings`);
});

Deno.test("an idle holder asks nothing; a busy one asks once a minute", async () => {
  const bench = new Bench();
  const lease = await bench.holding("attic");
  let lists = 0;
  bench.store.onList = () => void lists++;
  await bench.clock.advance(seconds(3600));
  assert.equal(lists, 0);
  for (let i = 0; i < 120; i++) {
    await lease.check();
    await bench.clock.advance(seconds(1));
  }
  assert.equal(lists, 2);
});

Deno.test("law 8: a store that refuses to list does not mean that nobody holds", async () => {
  const bench = new Bench();
  bench.store.onList = () => {
    throw failing.denied();
  };
  await assert.rejects(bench.acquire("attic"), { name: "StoreError", kind: "denied" });
  bench.store.onList = () => {};
  const lease = await bench.acquire("attic");
  bench.store.onList = () => {
    throw failing.unavailable();
  };
  let settled = false;
  lease.settled.then(() => settled = true);
  await bench.clock.advance(seconds(600));
  assert.equal(settled, false, "not known is not won");
  bench.store.onList = () => {};
  await bench.clock.advance(seconds(61));
  assert.equal(settled, true);
});

Deno.test("a claim that cannot be read counts all the same", async () => {
  const bench = new Bench();
  const key = claimKey({ epoch: 9, mountId: "f".repeat(32) });
  await bench.store.put(key, new TextEncoder().encode("garbage"));
  await assert.rejects(bench.acquire("attic"), { ...refused, message: /an unknown mount/ });
  const lease = await bench.holding("attic", { takeOver: true });
  assert.equal(lease.epoch, 10);
  assert.equal(parseClaimKey(claimKey(lease))!.epoch, 10);
});

Deno.test("a lease that is given back before it has settled leaves no timer and no holder", async () => {
  const bench = new Bench();
  const lease = await bench.acquire("attic");
  await lease.release();
  await assert.rejects(lease.settled, { name: "AbortError" });
  assert.equal(bench.clock.pending, 0);
  assert.equal((await bench.holding("cellar")).epoch, 2);
});
