/** The engine acts by the policy: order, vetoes, limits, and what it says when a mark cannot be reached. */
import assert from "node:assert/strict";
import { loadPolicy } from "../../../src/policy/load.ts";
import { ActivePolicy } from "../../../src/tiering/active_policy.ts";
import { DEFAULT_ENGINE_SETTINGS } from "../../../src/tiering/settings.ts";
import { CHUNK, type Fixture, withEngine } from "./engine_fixture.ts";

const FOREVER = new AbortController().signal;
const DAY = 86_400_000;

function policyOf(text: string): ActivePolicy {
  const { policy, problems } = loadPolicy(`version: 1\n${text}`, { file: "p.yaml", now: 0 });
  assert.ok(policy !== undefined, JSON.stringify(problems));
  return new ActivePolicy(policy);
}

/** Saved files of one chunk each, last used so many days ago. */
async function fill(fixture: Fixture, files: Record<string, number>): Promise<void> {
  const { clock, random, filesystem, engine } = fixture;
  for (const [path, days] of Object.entries(files)) {
    const inode = filesystem.files.size + 2;
    const file = filesystem.write(inode, random.bytes(CHUNK));
    file.path = path;
    file.lastUsedMs = clock.wallMs() - days * DAY;
  }
  await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
}

function press({ filesystem }: Fixture, marks: { high: number; low: number; hard?: number }): void {
  const { high, low, hard = high + 100 } = marks;
  Object.assign(filesystem.marks, { high: high * CHUNK, low: low * CHUNK, hard: hard * CHUNK });
  const { used, waiting } = filesystem;
  filesystem.emit({ event: "pressure", used, needed: 0, waiting });
}

/** Names of what is not here any more. */
const evicted = ({ filesystem }: Fixture) =>
  [...filesystem.files.values()].filter((file) => file.chunks.get(0)?.resident === false)
    .map((file) => file.path).sort();

const many = (count: number, prefix: string, days: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${prefix}${i}`, days + i / 100]));

Deno.test("rules decide the order, and what a rule or a pin keeps stays", async () => {
  const policy = policyOf(`rules:
  - { name: work, match: { path: "/work/**" }, keep: pinned }
  - { name: films, match: { path: "/films/**" }, evict: first }
  - { name: rest, match: {}, evict: allow }`);
  await withEngine(async (fixture) => {
    await fill(fixture, { "/work/a": 99, "/old": 50, "/new": 2, "/films/a": 1, "/films/b": 3 });
    fixture.filesystem.file(3).pinned = true;
    press(fixture, { high: 4, low: 2 });
    await fixture.clock.advance(2_000);
    assert.deepEqual(evicted(fixture), ["/films/a", "/films/b", "/new"]);
  }, { policy });
});

Deno.test("what is unused for too short a time stays, until the time comes or writers wait", async () => {
  const policy = policyOf("rules: [{ name: all, match: {}, evict: { after: 30d } }]");
  await withEngine(async (fixture) => {
    const { clock, filesystem, engine } = fixture;
    await fill(fixture, { "/a": 40, "/b": 29, "/c": 10 });
    press(fixture, { high: 2, low: 0 });
    await clock.advance(2_000);
    assert.deepEqual(evicted(fixture), ["/a"]);
    press(fixture, { high: 1, low: 0 });
    await clock.advance(2_000);
    const { obstacles } = (await engine.status()).eviction;
    assert.equal(obstacles?.held, 2 * CHUNK);
    Object.assign(filesystem.marks, { high: 3 * CHUNK, low: 2 * CHUNK });
    filesystem.waiting = 1;
    filesystem.emit({ event: "pressure", used: filesystem.used, needed: CHUNK, waiting: 1 });
    await clock.advance(2_000);
    assert.deepEqual(evicted(fixture), ["/a", "/b"]);
  }, { policy });
});

Deno.test("files that are held are looked at again when their time has come, without crawling", async () => {
  const policy = policyOf("rules: [{ name: all, match: {}, evict: { after: 30d } }]");
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, many(50, "/f", 29));
    await clock.advance(5_000);
    const facts = filesystem.calls.length;
    await clock.advance(10 * 60_000);
    // Some each minute, however many are held.
    assert.ok(filesystem.calls.length - facts < 70, `${filesystem.calls.length - facts} calls`);
    await clock.advance(DAY);
    press(fixture, { high: 49, low: 40 });
    await clock.advance(2_000);
    assert.equal(evicted(fixture).length, 10);
  }, { policy });
});

Deno.test("what is never uploaded is neither sent nor evicted nor waited for, until its name changes", async () => {
  const policy = policyOf(`rules:
  - { name: modules, match: { path: "**/node_modules/**" }, upload: never }
  - { name: rest, match: {}, evict: allow }`);
  await withEngine(async (fixture) => {
    const { clock, store, filesystem, engine } = fixture;
    await fill(fixture, { "/app/node_modules/a": 50, "/b": 40 });
    const status = await engine.status();
    assert.deepEqual([status.unsafeFiles, status.localFiles], [0, 1]);
    assert.equal(status.localBytes, CHUNK);
    assert.equal(filesystem.file(2).saved, undefined);
    press(fixture, { high: 1, low: 0 });
    await clock.advance(2_000);
    assert.deepEqual(evicted(fixture), ["/b"]);
    const { refused } = await clock.until(engine.evictFiles([2]));
    assert.deepEqual(refused, [{ inode: 2, why: "local" }]);
    const puts = store.puts.length;
    // As the filesystem isolate does on a rename.
    Object.assign(filesystem.file(2), { path: "/app/a", kept: false });
    await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    assert.equal(store.puts.length, puts + 1);
    assert.equal(filesystem.file(2).dirty, false);
  }, { policy });
});

Deno.test("a budget never keeps anything from being uploaded", async () => {
  const policy = policyOf("budget: { per_month: 0.00 USD }");
  await withEngine(async (fixture) => {
    await fill(fixture, { "/a": 1, "/b": 2 });
    assert.equal((await fixture.engine.status()).unsafeFiles, 0);
    assert.ok(fixture.store.puts.length > 0);
  }, { policy });
});

Deno.test("the head of a file stays where the policy says so, and counts as kept", async () => {
  const policy = policyOf(`rules:
  - { name: films, match: { path: "/films/**" }, evict: first, keep_head: 70KiB }
  - { name: rest, match: {}, evict: allow }`);
  await withEngine(async (fixture) => {
    const { clock, random, filesystem, engine } = fixture;
    filesystem.write(2, random.bytes(5 * CHUNK)).path = "/films/a";
    await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));
    press(fixture, { high: 1, low: 0 });
    await clock.advance(2_000);
    const resident = [...filesystem.file(2).chunks.values()].map((chunk) => chunk.resident);
    assert.deepEqual(resident, [true, true, false, false, false]);
    assert.equal((await engine.status()).eviction.obstacles?.head, 2 * CHUNK);
  }, { policy });
});

Deno.test("a run takes no more than max_per_run, and the next goes on to the low mark", async () => {
  const policy = policyOf(`evict: { max_per_run: ${3 * CHUNK}B }
rules: [{ name: all, match: {}, evict: allow }]`);
  await withEngine(async (fixture) => {
    await fill(fixture, many(20, "/f", 1));
    press(fixture, { high: 15, low: 8 });
    await fixture.clock.advance(900);
    assert.equal(evicted(fixture).length, 3);
    await fixture.clock.advance(20_000);
    assert.equal(evicted(fixture).length, 12);
  }, { policy });
});

Deno.test("the breaker stops a mass eviction, says so, and a new policy ends its rest", async () => {
  const rules = "rules: [{ name: all, match: {}, evict: allow }]";
  const policy = policyOf(`evict: { breaker: { files: 20% } }\n${rules}`);
  await withEngine(async (fixture) => {
    const { clock, engine, log } = fixture;
    await fill(fixture, many(600, "/f", 1));
    press(fixture, { high: 500, low: 100 });
    await clock.advance(60_000);
    assert.equal(evicted(fixture).length, 120);
    const { limit, restsUntilMs } = (await engine.status()).eviction;
    assert.equal(limit, "breaker");
    assert.ok(restsUntilMs! > clock.wallMs());
    assert.equal(log.filter((line) => /breaker/.test(line.message)).length, 1);
    engine.configure(DEFAULT_ENGINE_SETTINGS, policyOf(rules));
    press(fixture, { high: 400, low: 100 });
    await clock.advance(10_000);
    assert.equal(evicted(fixture).length, 500);
  }, { policy });
});

Deno.test("another policy sorts everything anew", async () => {
  const pinned = 'rules: [{ name: a, match: { path: "/a" }, keep: pinned }, ' +
    "{ name: rest, match: {}, evict: allow }]";
  await withEngine(async (fixture) => {
    const { clock, engine } = fixture;
    await fill(fixture, { "/a": 50, "/b": 40, "/c": 30 });
    press(fixture, { high: 2, low: 1 });
    await clock.advance(3_000);
    assert.deepEqual(evicted(fixture), ["/b", "/c"]);
    engine.configure(DEFAULT_ENGINE_SETTINGS, policyOf(pinned.replaceAll('"/a"', '"/b"')));
    press(fixture, { high: 0, low: 0 });
    await clock.advance(3_000);
    assert.deepEqual(evicted(fixture), ["/a", "/b", "/c"]);
  }, { policy: policyOf(pinned) });
});

Deno.test("a file that somebody opened since it was chosen stays, and another goes instead", async () => {
  await withEngine(async (fixture) => {
    const { clock, filesystem } = fixture;
    await fill(fixture, { "/a": 50, "/b": 40, "/c": 30 });
    filesystem.before("evict", () => void (filesystem.file(2).handles = 1));
    press(fixture, { high: 2, low: 1 });
    await clock.advance(3_000);
    assert.deepEqual(evicted(fixture), ["/b", "/c"]);
  });
});
