import assert from "node:assert/strict";
import { inspect } from "node:util";
import { openObjectStore } from "../../src/object_store/open_store.ts";
import { StoreError } from "../../src/object_store/object_store.ts";
import { RetryingObjectStore } from "../../src/object_store/retrying_object_store.ts";
import { type FaultAction, startB2Simulator } from "../harness/b2_simulator.ts";
import {
  body,
  canary,
  capabilities,
  impatient,
  keyId,
  kindOf,
  parts,
  withStore,
} from "./object_store_setting.ts";

const range = { offset: 1000, length: 5000 };

Deno.test("the retrying store gets through a storm, and leaves one version of each object", () =>
  withStore(async ({ simulator, store }) => {
    const rules: [string, number, FaultAction][] = [
      ["busy", 0.1, { kind: "status", status: 503, code: "SlowDown" }],
      ["lost", 0.15, { kind: "loseAnswer" }],
      ["reset", 0.1, { kind: "resetBefore" }],
      ["failed after all", 0.1, {
        kind: "status",
        status: 500,
        code: "InternalError",
        applied: true,
      }],
      ["cut", 0.1, { kind: "cutBody", afterBytes: 10 }],
    ];
    simulator.addRules(rules.map(([label, probability, action]) => ({
      label,
      match: { probability },
      action,
    })));
    const retrying = new RetryingObjectStore(store, {
      ...parts,
      backoff: { baseMs: 1, capMs: 20 },
      corruptAttempts: 1000,
    });
    const keys = Array.from({ length: 40 }, (_, index) => `storm/${index}`);
    const versions = await Promise.all(keys.map((key) => retrying.put(key, body)));
    for (const [index, key] of keys.entries()) {
      const { versionId } = versions[index];
      assert.deepEqual(await retrying.get(key, { versionId, range }), body.slice(1000, 6000));
    }
    for (const [label, hits] of Object.entries(simulator.hits())) {
      assert.ok(hits > 0, `${label} did not happen`);
    }
    const stored = simulator.objects().filter(({ key }) => key.startsWith("zero/storm/"));
    assert.deepEqual(
      stored.map(({ versionId }) => versionId).sort(),
      versions.map(({ versionId }) => versionId).sort(),
    );
  }));

Deno.test("a put that the store stored twice, or whose answer was lost, leaves one version", () =>
  withStore(async ({ simulator, store }) => {
    const retrying = new RetryingObjectStore(store, { ...parts, backoff: { baseMs: 1, capMs: 5 } });
    simulator.addRules([
      { label: "lost", match: { operations: ["put"], nth: 1 }, action: { kind: "loseAnswer" } },
      { label: "twice", match: { operations: ["put"], nth: 1 }, action: { kind: "storeTwice" } },
    ]);
    const { versionId } = await retrying.put("once", body);
    const stored = simulator.objects().filter(({ key }) => key === "zero/once");
    assert.deepEqual(stored.map((each) => each.versionId), [versionId]);
    assert.equal(simulator.counts().put, 2); // the one of the set-up, and one
  }));

Deno.test("a wrong key, a master key, a wrong region: what is wrong stands in the message", async () => {
  const master = { keyId: "a1b2c3d4e5f6", applicationKey: canary, master: true, capabilities };
  const readOnly = {
    keyId: "004readonly",
    applicationKey: canary,
    master: false,
    capabilities: ["readFiles"],
  };
  const good = { keyId, applicationKey: canary, master: false, capabilities };
  const simulator = startB2Simulator({ keys: [good, master, readOnly] });
  const cases: [string, { keyId: string; applicationKey: string }, RegExp][] = [
    [simulator.url(), { keyId, applicationKey: "not it" }, /does not belong to the key id/],
    [simulator.url(), { keyId: "0040unknown", applicationKey: canary }, /key was deleted/],
    [simulator.url(), master, /a B2 master key does not work here/],
    [simulator.url(), readOnly, /may lack a capability/],
    [simulator.url().replace("us-west-004", "us-east-1"), good, /the region is not the bucket's/],
  ];
  try {
    for (const [url, credentials, hint] of cases) {
      const store = await openObjectStore(url, { ...parts, credentials });
      await assert.rejects(store.put("a", body), (error) => {
        assert.ok(error instanceof StoreError);
        assert.equal(error.kind, "denied");
        assert.match(error.message, hint);
        assert.ok(!inspect(error, { depth: 50 }).includes(credentials.applicationKey));
        return true;
      });
      store.close();
    }
    const store = await openObjectStore(simulator.url(), { ...parts, credentials: good });
    simulator.addRules([{
      label: "elsewhere",
      match: {},
      action: {
        kind: "status",
        status: 301,
        code: "PermanentRedirect",
        headers: { "x-amz-bucket-region": "eu-central-003" },
      },
    }]);
    await assert.rejects(store.get("a"), /the bucket is in region eu-central-003/);
    store.close();
  } finally {
    await simulator.stop();
  }
});

Deno.test("a store that is not there is unavailable", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const store = await openObjectStore(`s3://bucket?endpoint=http://127.0.0.1:${port}&region=r`, {
    ...parts,
    credentials: { keyId, applicationKey: canary },
    timeouts: impatient,
  });
  assert.equal(await kindOf(() => store.get("a")), "unavailable");
  assert.equal(await kindOf(() => store.head("a")), "unavailable");
  store.close();
});
