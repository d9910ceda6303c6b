import assert from "node:assert/strict";
import { inspect } from "node:util";
import { UserError } from "../../src/domain/errors.ts";
import { resolveB2Bucket } from "../../src/object_store/b2_account.ts";
import { StoreError } from "../../src/object_store/object_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { type B2Simulator, startB2Simulator } from "../harness/b2_simulator.ts";

const applicationKey = "K004CANARYsecret";
const all = ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"];
const keys = [
  { keyId: "004all", applicationKey, master: false, capabilities: all },
  {
    keyId: "004one",
    applicationKey,
    master: false,
    capabilities: all.slice(1),
    restrictedTo: "photos-bucket",
  },
  { keyId: "004blind", applicationKey, master: false, capabilities: all.slice(1) },
  { keyId: "004reader", applicationKey, master: false, capabilities: all.slice(0, 3) },
  { keyId: "a1b2c3d4e5f6", applicationKey, master: true, capabilities: all },
];

async function withSimulator(use: (simulator: B2Simulator) => Promise<void>): Promise<void> {
  const simulator = startB2Simulator({ buckets: ["zero-test", "photos-bucket"], keys });
  try {
    await use(simulator);
  } finally {
    await simulator.stop();
  }
}

function resolve(simulator: B2Simulator, keyId: string, bucketId: string, secret = applicationKey) {
  return resolveB2Bucket(bucketId, {
    clock: systemClock,
    baseUrl: simulator.endpoint,
    region: simulator.region,
    timeoutMs: 500,
    credentials: { keyId, applicationKey: secret },
  });
}

function failsAs(kind: new (...parts: never[]) => Error, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof kind, inspect(error));
    assert.match(error.message, message);
    assert.ok(!inspect(error, { depth: 20 }).includes(applicationKey));
    assert.ok(!inspect(error, { depth: 20 }).includes(btoa(`004all:${applicationKey}`)));
    return true;
  };
}

Deno.test("a bucket is found by its id, with a key for all buckets and with one for this", () =>
  withSimulator(async (simulator) => {
    const { endpoint, region } = simulator;
    const bucketId = simulator.bucketId("photos-bucket");
    const expected = { bucketId, bucketName: "photos-bucket", endpoint, region };
    assert.deepEqual(await resolve(simulator, "004all", bucketId), expected);
    simulator.resetCounts();
    assert.deepEqual(await resolve(simulator, "004one", bucketId), expected);
    assert.deepEqual(simulator.counts(), { authorize: 1 });
  }));

Deno.test("what is wrong with a key or an id is said in plain words", () =>
  withSimulator(async (simulator) => {
    const bucketId = simulator.bucketId("zero-test");
    const cases: [string, string, RegExp][] = [
      ["a1b2c3d4e5f6", bucketId, /the account's master key/],
      ["004one", bucketId, /may only use bucket photos-bucket/],
      ["004reader", bucketId, /lacks writeFiles, deleteFiles/],
      ["004blind", bucketId, /B2 refuses the key: .*listBuckets/],
      ["004unknown", bucketId, /B2 refuses the key/],
      ["004all", "0".repeat(24), /There is no bucket 000000000000000000000000/],
      ["004all", "photos-bucket", /'photos-bucket' is not the id of a bucket/],
    ];
    for (const [keyId, id, message] of cases) {
      await assert.rejects(resolve(simulator, keyId, id), failsAs(UserError, message));
    }
  }));

Deno.test("a B2 that does not answer, or something else that does, is a store error", () =>
  withSimulator(async (simulator) => {
    const bucketId = simulator.bucketId();
    const operations = ["authorize" as const];
    const cases: [Parameters<B2Simulator["addRules"]>[0][0]["action"], RegExp][] = [
      [{ kind: "silent" }, /b2_authorize_account: not done within 500 ms/],
      [{ kind: "resetBefore" }, /b2_authorize_account/],
      [{ kind: "status", status: 503, body: "html" }, /the answer is not B2's \(HTTP 503\)/],
      [{ kind: "webPage" }, /the answer is not B2's \(HTTP 200\)/],
    ];
    for (const [action, message] of cases) {
      simulator.clearRules();
      simulator.addRules([{ label: "fault", match: { operations }, action }]);
      await assert.rejects(resolve(simulator, "004all", bucketId), failsAs(StoreError, message));
    }
  }));

Deno.test("credentials are not sent to an address that is not protected, nor after a redirect", () =>
  withSimulator(async (simulator) => {
    const bucketId = simulator.bucketId();
    const credentials = { keyId: "004all", applicationKey };
    await assert.rejects(
      resolveB2Bucket(bucketId, { clock: systemClock, baseUrl: "http://example.com", credentials }),
      failsAs(UserError, /is no https address/),
    );
    const elsewhere = startB2Simulator({ keys });
    try {
      simulator.addRules([{
        label: "away",
        match: {},
        action: { kind: "status", status: 307, headers: { location: elsewhere.endpoint } },
      }]);
      await assert.rejects(
        resolve(simulator, "004all", bucketId),
        failsAs(StoreError, /b2_authorize_account/),
      );
      assert.deepEqual(elsewhere.counts(), {});
    } finally {
      await elsewhere.stop();
    }
  }));
