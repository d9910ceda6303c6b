import assert from "node:assert/strict";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { StoreError } from "../../../src/object_store/object_store.ts";
import {
  RetryingObjectStore,
  type RetryingOptions,
} from "../../../src/object_store/retrying_object_store.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { defineObjectStoreContract } from "../../contracts/object_store_contract.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";
import { ScriptedStore, type Step } from "./scripted_store.ts";

defineObjectStoreContract("retrying store over memory", () => {
  const memory = new MemoryObjectStore({ clock: systemClock });
  const store = new RetryingObjectStore(memory, {
    clock: systemClock,
    random: systemRandom,
    backoff: { baseMs: 1, capMs: 2 },
  });
  return Promise.resolve({ store, hide: (key) => void memory.hide(key), dispose: () => {} });
}, { largeBytes: 4 * 1024 * 1024 });

const body = new Uint8Array([1, 2, 3]);
const busy: Step = { kind: "unavailable", status: 503 };
const timeout: Step = { kind: "unavailable" };
const lostAnswer: Step = { kind: "unavailable", applied: true };

function build(options: Partial<RetryingOptions> = {}) {
  const clock = new SimulatedClock();
  const inner = new ScriptedStore(clock);
  const store = new RetryingObjectStore(inner, { clock, random: new SeededRandom(3), ...options });
  return { clock, inner, store };
}

async function versionsOf(inner: ScriptedStore, key: string): Promise<string[]> {
  const found: string[] = [];
  for await (const each of inner.memory.listVersions(key)) found.push(each.versionId);
  return found;
}

Deno.test("a call that fails for now is tried until it succeeds", async () => {
  const events: number[] = [];
  const { clock, inner, store } = build({ onRetry: ({ attempt }) => events.push(attempt) });
  inner.script = [busy, timeout, busy];
  await clock.until(store.put("a", body));
  inner.script = [timeout, { kind: "corrupt" }, undefined];
  assert.deepEqual(await clock.until(store.get("a")), body);
  assert.deepEqual(events, [1, 2, 3, 1, 2]);
});

Deno.test("what cannot succeed later is tried once", async () => {
  for (const kind of ["missing", "denied", "no-bucket", "invalid"] as const) {
    const { inner, store } = build();
    inner.script = [{ kind }];
    await assert.rejects(store.get("a"), (error) => (error as StoreError).kind === kind);
    assert.equal(inner.calls.length, 1);
  }
});

Deno.test("damage is given up after three attempts", async () => {
  const { clock, inner, store } = build();
  inner.always = { kind: "corrupt" };
  await assert.rejects(
    clock.until(store.get("a")),
    (error) => (error as StoreError).kind === "corrupt",
  );
  assert.equal(inner.calls.length, 3);
});

Deno.test("the store's own pause is kept", async () => {
  const { clock, inner, store } = build();
  await inner.memory.put("a", body);
  inner.script = [{ kind: "unavailable", status: 503, retryAfterMs: 42_000 }];
  await clock.until(store.get("a"));
  assert.ok(
    inner.calls[1].atMs >= 42_000 && inner.calls[1].atMs < 44_000,
    `${inner.calls[1].atMs}`,
  );
});

Deno.test("a lost answer to a put leaves exactly one version, which is the result", async () => {
  const { clock, inner, store } = build();
  inner.script = [lostAnswer];
  const { versionId } = await clock.until(store.put("a", body));
  assert.deepEqual(await versionsOf(inner, "a"), [versionId]);
  assert.equal(inner.count("put"), 1);
});

Deno.test("several lost answers leave exactly one version", async () => {
  const { clock, inner, store } = build();
  // put (stored) - look-up fails - look-up works
  inner.script = [lostAnswer, timeout, timeout];
  const { versionId } = await clock.until(store.put("a", body));
  assert.deepEqual(await versionsOf(inner, "a"), [versionId]);
});

Deno.test("versions that earlier attempts left are deleted, other keys and lengths are not", async () => {
  const { clock, inner, store } = build();
  await inner.memory.put("a", new Uint8Array(99));
  await inner.memory.put("ab", body);
  await inner.memory.put("a", body);
  await inner.memory.put("a", body);
  inner.script = [timeout];
  const { versionId } = await clock.until(store.put("a", body));
  const left = await versionsOf(inner, "a");
  assert.equal(left.length, 3); // the result, the one of 99 bytes, and "ab"
  assert.ok(left.includes(versionId));
});

Deno.test("an attempt that arrives late leaves no surplus behind a put that succeeded", async () => {
  const { clock, inner, store } = build();
  // The look-up before the second attempt sees nothing; the second attempt then is the second version.
  inner.script = [timeout];
  const put = store.put("a", body);
  await clock.advance(0);
  const original = inner.memory.put.bind(inner.memory);
  inner.memory.put = async (...call) => {
    await original("a", body);
    return await original(...call);
  };
  await clock.until(put);
  assert.equal((await versionsOf(inner, "a")).length, 1);
});

Deno.test("an attempt that arrives even later does not take the place of the version that was answered", async () => {
  const { clock, inner, store } = build();
  // The second attempt succeeds; the first one reaches the store only now, and is the newest there.
  inner.script = [timeout];
  const put = store.put("a", body);
  await clock.advance(0);
  const original = inner.memory.put.bind(inner.memory);
  inner.memory.put = async (...call) => {
    const result = await original(...call);
    await original("a", body);
    return result;
  };
  const { versionId } = await clock.until(put);
  assert.deepEqual(await versionsOf(inner, "a"), [versionId]);
});

Deno.test("a surplus version that cannot be deleted is reported, and the put succeeds", async () => {
  const left: string[] = [];
  const { clock, inner, store } = build({ onSurplusLeft: ({ key }) => left.push(key) });
  inner.script = [timeout, undefined, undefined, { kind: "denied" }];
  await clock.until(store.put("a", body));
  assert.deepEqual(left, ["a"]);
});

Deno.test("a store that said it was too busy to begin is not asked what it holds", async () => {
  const { clock, inner, store } = build();
  inner.script = [busy, { kind: "unavailable", status: 429 }];
  await clock.until(store.put("a", body));
  assert.equal(inner.count("list"), 0);
});

Deno.test("the budget of time ends a read, the budget of uploads goes on", async () => {
  const { clock, inner, store } = build();
  inner.always = busy;
  const read = store.withBudget({ deadlineMs: 30_000 }).get("a");
  const rejected = assert.rejects(read, (error) => (error as StoreError).kind === "unavailable");
  const upload = store.put("b", body);
  await clock.advance(31_000);
  await rejected;
  inner.always = undefined;
  await clock.until(upload);
});

Deno.test("a thousand waiting calls meet an outage of a day with few requests", async () => {
  const { clock, inner, store } = build();
  inner.always = timeout;
  const calls = Array.from({ length: 1000 }, (_, index) => store.get(`key${index}`));
  const settled = Promise.allSettled(calls);
  await clock.advance(1000);
  const atOnce = inner.calls.length;
  assert.ok(atOnce <= 1001);
  await clock.advance(24 * 3600_000);
  // One probe per pause of at most five minutes, of 150 s on average.
  const during = inner.calls.length - atOnce;
  assert.ok(during > 200 && during < 1000, `${during} requests in a day`);
  assert.equal(store.state.open, false);
  assert.match(store.state.lastError!, /scripted/);
  inner.always = { kind: "missing" };
  await clock.until(settled, 3600_000);
  assert.equal(store.state.open, true);
  assert.equal(store.state.failingSinceMs, undefined);
});

Deno.test("at a closed gate a read is the probe before an upload", async () => {
  const { clock, inner, store } = build({ closeAfter: 1 });
  inner.script = [timeout];
  const first = store.put("first", body);
  await clock.advance(0);
  const upload = store.put("upload", body);
  const read = store.get("read").catch(() => {});
  await clock.until(Promise.all([first, upload, read]));
  const [, second] = inner.calls;
  assert.equal(second.operation, "get");
});

Deno.test("aborting frees a waiting call at once, and the probe's role goes on", async () => {
  const { clock, inner, store } = build({ closeAfter: 1 });
  inner.script = [timeout];
  const controller = new AbortController();
  const aborted = assert.rejects(store.get("a", { signal: controller.signal }), /stop/);
  await clock.advance(0);
  const other = assert.rejects(clock.until(store.get("b")), { kind: "missing" });
  controller.abort(new Error("stop"));
  await aborted;
  await other;
});

Deno.test("closing ends the waiting calls", async () => {
  const { clock, inner, store } = build();
  inner.always = timeout;
  const ended = assert.rejects(store.get("a"), { name: "AbortError" });
  await clock.advance(5000);
  store.close();
  await ended;
  assert.equal(clock.pending, 0);
});

Deno.test("a listing goes on where it failed, without gaps and repeats", async () => {
  const { clock, inner, store } = build();
  const expected: string[] = [];
  for (const key of ["a", "b", "c", "d"]) {
    for (let version = 0; version < 3; version++) await inner.memory.put(key, body);
  }
  for await (const { key, versionId } of inner.memory.listVersions("")) {
    expected.push(`${key} ${versionId}`);
  }
  for (let failAt = 0; failAt < 14; failAt++) {
    inner.script = [...Array(failAt).fill(undefined), timeout, timeout];
    const versions: string[] = [];
    const keys: string[] = [];
    await clock.until((async () => {
      for await (const each of store.listVersions("")) {
        versions.push(`${each.key} ${each.versionId}`);
      }
      inner.script = [...Array(failAt % 5).fill(undefined), timeout];
      for await (const { key } of store.list("")) keys.push(key);
    })());
    assert.deepEqual(versions, expected, `failed at ${failAt}`);
    assert.deepEqual(keys, ["a", "b", "c", "d"], `failed at ${failAt}`);
  }
});
