/** Replays: known small examples, and agreement with a plain, slow way to compute the same. */
import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import { heatAfterUse } from "../../../src/domain/heat.ts";
import { MiB } from "../../../src/domain/units.ts";
import type { FileFacts } from "../../../src/policy/facts.ts";
import { plan } from "../../../src/policy/plan.ts";
import type { Policy } from "../../../src/policy/model.ts";
import { ReaderClass } from "../../../src/policy/readers.ts";
import {
  type Contender,
  diskSizeCurve,
  replay,
  type ReplayOptions,
  type ReplayResult,
  sampleTrace,
} from "../../../src/policy/replay.ts";
import { type TraceEvent, TraceKind } from "../../../src/policy/trace.ts";
import { anyPolicy, CHUNK, DAY, file, HOUR, NOW, policyOf } from "./helpers.ts";

const read = (inode: number, about: Partial<TraceEvent> = {}): TraceEvent => ({
  timeMs: NOW,
  inode,
  kind: TraceKind.READ,
  reader: ReaderClass.USER,
  size: MiB,
  ...about,
});

/** One read each, a second apart; letters stand for files of one size. */
const reads = (letters: string): TraceEvent[] =>
  [...letters].map((letter, index) => read(letter.charCodeAt(0), { timeMs: NOW + index * 1000 }));

/** A cache of exactly so many files of one size: one leaves when one too many is there. */
const slots = (count: number) => ({
  target: count * MiB,
  high: count * MiB,
  low: count * MiB,
  hard: count * MiB + 1,
  minFree: 0,
});

const misses = (contender: Contender, letters: string, count: number) =>
  replay(contender, { events: reads(letters), marks: slots(count), chunkSize: CHUNK }).recalls;

Deno.test("the textbook string costs LRU ten faults and Belady's optimum seven in three frames", () => {
  const string = "123412512345";
  assert.equal(misses("LRU", string, 3), 10);
  assert.equal(misses("Belady", string, 3), 7);
  assert.equal(misses("LRU", string, 4), 8);
  assert.equal(misses("Belady", string, 4), 6);
  assert.equal(misses("LRU", "70120304230321201701", 3), 12);
  assert.equal(misses("Belady", "70120304230321201701", 3), 9);
});

Deno.test("SIEVE spares what was used since its hand came by, and goes on where it was", () => {
  // A is used again; D makes the hand pass A and drop B; E drops C; then A, now unvisited, is next.
  assert.equal(misses("SIEVE", "ABCAD", 3), 4);
  assert.equal(misses("SIEVE", "ABCADA", 3), 4);
  assert.equal(misses("SIEVE", "ABCADB", 3), 5);
  assert.equal(misses("SIEVE", "ABCADEA", 3), 5);
  assert.equal(misses("SIEVE", "ABCADEC", 3), 6);
  // A pass over many files, each read once, leaves what is used again and again alone.
  const scan = "abcdefghijklmnop";
  assert.equal(misses("SIEVE", `ABAB${scan}AB`, 3), 2 + scan.length);
  assert.equal(misses("LRU", `ABAB${scan}AB`, 3), 4 + scan.length);
});

const anyTrace: fc.Arbitrary<TraceEvent[]> = fc.array(
  fc.record({
    afterMs: fc.constantFrom(0, 1, HOUR, DAY, 5 * DAY, 20 * DAY),
    inode: fc.integer({ min: 1, max: 8 }),
    kind: fc.constantFrom<TraceKind>(0, 0, 0, 0, 1, 2),
    reader: fc.constantFrom<ReaderClass>(0, 0, 0, 1, 2, 3),
    pages: fc.integer({ min: 0, max: 2000 }),
  }),
  { maxLength: 60, size: "max" },
).map((steps) => {
  let timeMs = NOW;
  const sizes = new Map<number, number>();
  return steps.map(({ afterMs, inode, kind, reader, pages }) => {
    timeMs += afterMs;
    if (kind === TraceKind.WRITE || !sizes.has(inode)) sizes.set(inode, pages * 4096);
    return { timeMs, inode, kind, reader, size: sizes.get(inode)! };
  });
});

const NAMES = [
  "/Work/a.txt",
  "/Video/b.mov",
  "/Trips/2026/c.jpg",
  "/x/node_modules/d",
  "/Docs/e.txt",
];
const describe = (inode: number) => ({ paths: [NAMES[inode % NAMES.length]] });

/** The same by brute force: all facts in a list, the whole plan made anew at each eviction. */
function slowly(
  contender: Policy | "LRU" | "Belady",
  { events: trace, marks }: ReplayOptions,
): Pick<ReplayResult, "hits" | "recalledBytes" | "evictions" | "evictedBytes" | "unmet"> {
  const events = [...trace];
  const all = new Map<number, FileFacts>();
  const result = { hits: 0, recalledBytes: 0, evictions: 0, evictedBytes: 0, unmet: 0 };
  const nextRead = (inode: number, from: number) => {
    const next = events.slice(from + 1).find((event) =>
      event.inode === inode && (event.kind !== TraceKind.READ || event.reader === ReaderClass.USER)
    );
    return next?.kind === TraceKind.READ ? next.timeMs : Infinity;
  };
  const nextUse = new Map<number, number>();
  const lastUse = new Map<number, number>();
  for (const [index, event] of events.entries()) {
    const now = event.timeMs;
    const uses = event.kind === TraceKind.WRITE ||
      (event.kind === TraceKind.READ && event.reader === ReaderClass.USER);
    if (event.kind === TraceKind.REMOVE) {
      all.delete(event.inode);
      lastUse.delete(event.inode);
      continue;
    }
    let facts = all.get(event.inode);
    if (facts === undefined) {
      facts = { ...file({ inode: event.inode, size: event.size, createdMs: now, heat: 0 }) };
      facts = { ...facts, resident: 0, ...describe(event.inode) };
    }
    const here = facts.resident > 0 || lastUse.has(event.inode);
    if (event.kind === TraceKind.READ) {
      if (here) result.hits++;
      else if (event.reader >= ReaderClass.STREAM) {
        all.set(event.inode, facts);
        continue;
      } else result.recalledBytes += facts.size;
    }
    const size = event.kind === TraceKind.WRITE ? event.size : facts.size;
    facts = { ...facts, size, allocated: size, resident: size };
    if (event.kind === TraceKind.WRITE) facts.changedMs = now;
    if (!here) facts.residentSinceMs = now;
    if (uses && typeof contender !== "string") {
      const { halfLifeMs } = contender.evict.order;
      facts.heat = heatAfterUse(facts, { now, halfLifeMs });
      facts.heatAtMs = now;
    }
    if (uses) facts.lastUsedMs = now;
    if (uses || !here) {
      lastUse.set(event.inode, index);
      nextUse.set(event.inode, nextRead(event.inode, index));
    }
    all.set(event.inode, facts);
    if (here && event.kind === TraceKind.READ) continue;

    const resident = [...all.values()].filter((each) => each.resident > 0);
    const used = resident.reduce((sum, each) => sum + each.resident, 0);
    if (used <= marks.high) continue;
    let leaves: number[];
    if (typeof contender === "string") {
      const order = contender === "LRU"
        ? (inode: number) => lastUse.get(inode)!
        : (inode: number) => -nextUse.get(inode)!;
      // Empty files take part in these orders, although they free nothing.
      const sorted = [...lastUse.keys()].filter((inode) => inode !== event.inode)
        .sort((a, b) => compare(order(a), order(b)) || a - b);
      leaves = [];
      let left = used - marks.low;
      for (const inode of sorted) {
        if (left <= 0) break;
        leaves.push(inode);
        left -= all.get(inode)!.resident;
      }
      if (left > 0) result.unmet++;
    } else {
      const made = plan({
        facts: resident.map((each) => each === facts ? { ...each, open: true } : each),
        usage: {
          marks,
          reserved: 0,
          leaving: 0,
          diskFree: Infinity,
          running: false,
          needed: 0,
          chunkSize: CHUNK,
        },
        policy: contender,
        now,
      });
      leaves = made.decisions.filter((each) => each.verdict === "evict").map((each) => each.inode);
      const freed = leaves.reduce((sum, inode) => sum + all.get(inode)!.resident, 0);
      if (freed < made.totals.toFree) result.unmet++;
    }
    for (const inode of leaves) {
      const gone = all.get(inode)!;
      result.evictions++;
      result.evictedBytes += gone.resident;
      all.set(inode, { ...gone, resident: 0 });
      lastUse.delete(inode);
    }
  }
  return result;
}

const compare = (a: number, b: number) => a === b ? 0 : a < b ? -1 : 1;

const MARKS = { target: 8 * MiB, high: 7.5 * MiB, low: 6 * MiB, hard: 8 * MiB, minFree: 0 };

/** Traces without empty files and heads, for which the two count differently on purpose. */
const plainTrace = anyTrace.map((events) =>
  events.map((event) => ({ ...event, size: Math.max(4096, event.size) }))
);

Deno.test("a policy's replay agrees with a plan made anew over all files at each eviction", () => {
  let evictions = 0;
  fc.assert(
    fc.property(plainTrace, anyPolicy, (events, any) => {
      const policy = {
        ...any,
        rules: any.rules.map((rule) => ({ ...rule, keepHead: 0 })),
      };
      const options = { events, marks: MARKS, chunkSize: CHUNK, describe };
      const fast = replay(policy, options);
      const slow = slowly(policy, options);
      evictions += fast.evictions;
      const { hits, recalledBytes, evictions: gone, evictedBytes, unmet } = fast;
      assert.deepEqual({ hits, recalledBytes, evictions: gone, evictedBytes, unmet }, slow);
    }),
    runs(400),
  );
  assert.ok(evictions > 400, `only ${evictions} evictions were compared`);
});

Deno.test("LRU and Belady agree with sorting all files at each eviction", () => {
  for (const contender of ["LRU", "Belady"] as const) {
    fc.assert(
      fc.property(plainTrace, (events) => {
        const options = { events: timesApart(events), marks: MARKS, chunkSize: CHUNK, describe };
        const { hits, recalledBytes, evictions, evictedBytes, unmet } = replay(contender, options);
        const fast = { hits, recalledBytes, evictions, evictedBytes, unmet };
        assert.deepEqual(fast, slowly(contender, options));
      }),
      runs(300),
    );
  }
});

/** No two at the same time, so that there are no ties. */
const timesApart = (events: TraceEvent[]) =>
  events.map((event, index) => ({ ...event, timeMs: event.timeMs + index }));

Deno.test("nothing beats Belady's optimum where all files have one size", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 120, size: "max" }),
    fc.integer({ min: 1, max: 6 }),
    (inodes, count) => {
      const events = inodes.map((inode, index) => read(inode, { timeMs: NOW + index * HOUR }));
      const hits = (contender: Contender) =>
        replay(contender, { events, marks: slots(count), chunkSize: CHUNK }).hits;
      const best = hits("Belady");
      for (const other of ["LRU", "SIEVE", policyOf("")] as const) assert.ok(hits(other) <= best);
    },
  ));
});

Deno.test("readers are treated as they were: deny, stream and uncounted reads", () => {
  const events = [
    read(1, { reader: ReaderClass.DENY }),
    read(1, { reader: ReaderClass.STREAM, timeMs: NOW + 1 }),
    read(1, { reader: ReaderClass.UNCOUNTED, timeMs: NOW + 2 }),
    read(1, { reader: ReaderClass.DENY, timeMs: NOW + 3 }),
  ];
  const result = replay(policyOf(""), { events, marks: slots(3), chunkSize: CHUNK });
  assert.equal(result.denied, 1);
  assert.equal(result.streamedBytes, MiB);
  assert.equal(result.recalls, 1);
  assert.equal(result.hits, 1);
});

Deno.test("regret counts what comes back soon after it was evicted; stalls and money follow what comes back", () => {
  const events = [1, 2, 3, 1, 2].map((inode, index) => read(inode, { timeMs: NOW + index * DAY }));
  const late = [...events, read(3, { timeMs: NOW + 300 * DAY })];
  const result = replay("LRU", {
    events: late,
    marks: slots(2),
    chunkSize: CHUNK,
    link: { firstByteMs: 100, bytesPerSecond: MiB },
    prices: {
      date: "2026-01-01",
      currency: "USD",
      storedGbMonth: 0,
      egressGb: 1000,
      upload10k: 0,
      download10k: 10_000,
    },
  });
  assert.equal(result.recalls, 6);
  assert.deepEqual(result.regret, { files: 2, bytes: 2 * MiB });
  assert.equal(result.stallP95Ms, 1100);
  assert.equal(result.stallTotalMs, 6600);
  assert.equal(result.money, 6 + 6 * MiB / 1e9 * 1000);
});

Deno.test("the disk-size curve keeps the marks in proportion, and a sample keeps whole files", () => {
  const events = Array.from(
    { length: 4000 },
    (_, index) => read(1 + (index * index) % 101, { timeMs: NOW + index * HOUR }),
  );
  const curve = diskSizeCurve("LRU", {
    events,
    marks: slots(10),
    chunkSize: CHUNK,
    targets: [5 * MiB, 20 * MiB, 100 * MiB],
  });
  const ratios = curve.map(({ result }) => result.hitRatio);
  assert.ok(ratios[0] < ratios[1] && ratios[1] < ratios[2]);
  const sampled = sampleTrace(events, 0.5);
  const kept = new Set(sampled.map((event) => event.inode));
  assert.ok(kept.size > 10 && kept.size < 60);
  assert.equal(sampled.length, events.filter((event) => kept.has(event.inode)).length);
});
