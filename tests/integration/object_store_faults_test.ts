import assert from "node:assert/strict";
import { StoreError, type StoreErrorKind } from "../../src/object_store/object_store.ts";
import type { FaultAction, Operation } from "../harness/b2_simulator.ts";
import { body, kindOf, type Setting, withStore } from "./object_store_setting.ts";

const range = { offset: 1000, length: 5000 };

function callFor(operation: Operation, { store, versionId }: Setting): () => Promise<unknown> {
  switch (operation) {
    case "put":
      return () => store.put("new", body);
    case "get":
      return () => store.get("here", { versionId });
    case "head":
      return () => store.head("here", { versionId });
    case "delete":
      return () => store.delete("here", versionId);
    case "listVersions":
      return async () => {
        for await (const _ of store.listVersions(""));
      };
    default:
      throw new Error(`no call for ${operation}`);
  }
}

/** Every fault that does not depend on the operation, and what each operation must make of it. */
const everywhere: [string, FaultAction, StoreErrorKind][] = [
  ["503 SlowDown", { kind: "status", status: 503, code: "SlowDown" }, "unavailable"],
  ["503 without a body", { kind: "status", status: 503, body: "empty" }, "unavailable"],
  ["503 as a web page", { kind: "status", status: 503, body: "html" }, "unavailable"],
  ["500 InternalError", { kind: "status", status: 500, code: "InternalError" }, "unavailable"],
  ["502 of a proxy", { kind: "status", status: 502, body: "html" }, "unavailable"],
  ["504 of a proxy", { kind: "status", status: 504, body: "html" }, "unavailable"],
  ["408 RequestTimeout", { kind: "status", status: 408, code: "RequestTimeout" }, "unavailable"],
  ["400 RequestTimeout", { kind: "status", status: 400, code: "RequestTimeout" }, "unavailable"],
  ["429", { kind: "status", status: 429, code: "TooManyRequests" }, "unavailable"],
  [
    "409 OperationAborted",
    { kind: "status", status: 409, code: "OperationAborted" },
    "unavailable",
  ],
  ["403 AccessDenied", { kind: "status", status: 403, code: "AccessDenied" }, "denied"],
  ["403 without a body", { kind: "status", status: 403, body: "empty" }, "denied"],
  ["401", { kind: "status", status: 401, code: "Unauthorized" }, "denied"],
  ["404 as a web page", { kind: "status", status: 404, body: "html" }, "unavailable"],
  ["404 without a body", { kind: "status", status: 404, body: "empty" }, "unavailable"],
  ["410 Gone", { kind: "status", status: 410, code: "Gone" }, "unavailable"],
  ["418", { kind: "status", status: 418, code: "Teapot" }, "unavailable"],
  ["302 to a login page", { kind: "status", status: 302, body: "html" }, "unavailable"],
  ["400 of a proxy", { kind: "status", status: 400, body: "html" }, "unavailable"],
  ["501", { kind: "status", status: 501, code: "NotImplemented" }, "invalid"],
  ["412", { kind: "status", status: 412, code: "PreconditionFailed" }, "invalid"],
  ["301", { kind: "status", status: 301, code: "PermanentRedirect" }, "invalid"],
  ["no such bucket", { kind: "noBucket" }, "no-bucket"],
  ["a web page", { kind: "webPage" }, "corrupt"],
  ["closed before the answer", { kind: "resetBefore" }, "unavailable"],
  ["a lost answer", { kind: "loseAnswer" }, "unavailable"],
  ["no answer at all", { kind: "silent" }, "unavailable"],
];

/** HEAD answers have no body, so codes that stand there cannot be seen. */
const headless = new Set([
  "400 RequestTimeout",
  "409 OperationAborted",
  "412",
]);

for (const operation of ["put", "get", "head", "delete", "listVersions"] as const) {
  Deno.test(`${operation}: every fault of the store has its kind, and no error holds a secret`, () =>
    withStore(async (setting) => {
      const { simulator } = setting;
      for (const [label, action, kind] of everywhere) {
        if (operation === "head" && headless.has(label)) continue;
        simulator.clearRules();
        // HEAD asks again with GET what its bare 404 means.
        const operations: Operation[] = operation === "head" ? ["head", "get"] : [operation];
        simulator.addRules([{ label, match: { operations }, action }]);
        assert.equal(await kindOf(callFor(operation, setting)), kind, label);
        assert.ok(simulator.hits()[label] >= 1, `${label} did not happen`);
      }
    }));
}

Deno.test("get: what comes back in place of the bytes is never handed out", () =>
  withStore(async ({ simulator, store, versionId }) => {
    const cases: [string, FaultAction, { whole: string; part: string }][] = [
      ["cut", { kind: "cutBody", afterBytes: 700 }, { whole: "unavailable", part: "unavailable" }],
      ["stall", { kind: "stallBody", afterBytes: 700 }, {
        whole: "unavailable",
        part: "unavailable",
      }],
      ["missing", { kind: "missing" }, { whole: "missing", part: "missing" }],
      // A consistent answer that is shorter passes for the object: the caller's own hash finds it.
      ["shorten", { kind: "shorten", byBytes: 1 }, { whole: "ok", part: "corrupt" }],
      ["wholeObject", { kind: "wholeObject" }, { whole: "ok", part: "corrupt" }],
      ["shiftRange", { kind: "shiftRange", byBytes: 1 }, { whole: "ok", part: "corrupt" }],
      ["416", { kind: "status", status: 416, code: "InvalidRange" }, {
        whole: "corrupt",
        part: "corrupt",
      }],
      ["204", { kind: "status", status: 204, body: "empty" }, {
        whole: "corrupt",
        part: "corrupt",
      }],
    ];
    for (const [label, action, expected] of cases) {
      simulator.clearRules();
      simulator.addRules([{ label, match: { operations: ["get"] }, action }]);
      assert.equal(await kindOf(() => store.get("here", { versionId })), expected.whole, label);
      assert.equal(
        await kindOf(() => store.get("here", { versionId, range })),
        expected.part,
        label,
      );
      assert.equal(simulator.hits()[label], 2, label);
    }
  }));

Deno.test("get: another version than the one asked for is corrupt", () =>
  withStore(async ({ simulator, store, versionId }) => {
    const action: FaultAction = {
      kind: "status",
      status: 200,
      body: "empty",
      headers: { "x-amz-version-id": "another" },
    };
    simulator.addRules([{ label: "other", match: { operations: ["get"] }, action }]);
    assert.equal(await kindOf(() => store.get("here", { versionId })), "corrupt");
  }));

Deno.test("get: bytes that trickle in end with the deadline, not before", () =>
  withStore(async ({ simulator, store, versionId }) => {
    simulator.addRules([{
      label: "slow",
      match: { key: "here" },
      action: { kind: "trickle", bytes: 500, everyMs: 20 },
    }]);
    assert.equal(await kindOf(() => store.get("here", { versionId, range })), "ok");
    const startedMs = performance.now();
    assert.equal(await kindOf(() => store.get("here", { versionId })), "unavailable");
    assert.ok(performance.now() - startedMs < 4000);
  }));

Deno.test("put: a store that stops reading does not hold the upload for ever", () =>
  withStore(async ({ simulator, store }) => {
    simulator.addRules([{
      label: "stall",
      match: { operations: ["put"] },
      action: { kind: "stallUpload", afterBytes: 10_000 },
    }]);
    const large = new Uint8Array(32 * 1024 * 1024);
    const startedMs = performance.now();
    assert.equal(await kindOf(() => store.put("large", large)), "unavailable");
    assert.ok(performance.now() - startedMs < 40_000);
  }));

Deno.test("an abort ends a call that gets no answer at once, with the signal's reason", () =>
  withStore(async ({ simulator, store }) => {
    simulator.addRules([{ label: "silent", match: {}, action: { kind: "silent" } }]);
    const calls = [
      (signal: AbortSignal) => store.put("a", body, { signal }),
      (signal: AbortSignal) => store.get("here", { signal }),
      (signal: AbortSignal) => store.head("here", { signal }),
      (signal: AbortSignal) => store.delete("here", "v", { signal }),
    ];
    for (const call of calls) {
      const reason = new Error("nobody waits");
      const controller = new AbortController();
      const ended = assert.rejects(call(controller.signal), (error) => error === reason);
      controller.abort(reason);
      await ended;
    }
  }));

Deno.test("put: an answer without version id is completed with a HEAD", () =>
  withStore(async ({ simulator, store }) => {
    simulator.addRules([{ label: "bare", match: {}, action: { kind: "noVersionId" } }]);
    simulator.resetCounts();
    simulator.clearRules();
    simulator.addRules([
      { label: "bare", match: { operations: ["put"] }, action: { kind: "noVersionId" } },
    ]);
    const { versionId } = await store.put("bare", body);
    assert.deepEqual(simulator.counts(), { put: 1, head: 1 });
    assert.equal((await store.head("bare", { versionId })).length, body.length);
  }));

Deno.test("put: bytes that were damaged on the way are refused by the store", () =>
  withStore(async ({ simulator, store }) => {
    simulator.addRules([{
      label: "damage",
      match: { operations: ["put"] },
      action: { kind: "status", status: 400, code: "XAmzContentSHA256Mismatch" },
    }]);
    assert.equal(await kindOf(() => store.put("a", body)), "corrupt");
  }));

Deno.test("a listing that repeats itself or goes backwards is corrupt, not endless", () =>
  withStore(async ({ simulator, store }) => {
    for (let index = 0; index < 7; index++) await store.put(`many/${index}`, new Uint8Array(1));
    for (const kind of ["pageLoop", "listRepeats"] as const) {
      simulator.clearRules();
      simulator.addRules([{ label: kind, match: {}, action: { kind } }]);
      const list = async () => {
        for await (const _ of store.list(""));
      };
      assert.equal(await kindOf(list), "corrupt", kind);
    }
  }));

Deno.test("a bare 404 to HEAD is told apart by a GET: object, bucket, neither", () =>
  withStore(async ({ simulator, store, versionId }) => {
    assert.equal(await kindOf(() => store.head("nowhere")), "missing");
    simulator.addRules([{
      label: "head",
      match: { operations: ["head"] },
      action: { kind: "status", status: 404, body: "empty" },
    }]);
    assert.equal(await kindOf(() => store.head("here", { versionId })), "unavailable");
    simulator.setBucket(simulator.bucket, false);
    assert.equal(await kindOf(() => store.head("here", { versionId })), "no-bucket");
  }));

Deno.test("delete: a store that refuses to delete what is gone has deleted it", () =>
  withStore(async ({ simulator, store, versionId }) => {
    const action: FaultAction = { kind: "status", status: 400, code: "InvalidArgument" };
    simulator.addRules([{ label: "refuse", match: { operations: ["delete"] }, action }]);
    assert.equal(await kindOf(() => store.delete("gone", "4_zsimulated_f0")), "ok");
    assert.equal(await kindOf(() => store.delete("here", versionId)), "invalid");
  }));

Deno.test("Retry-After and the store's clock are handed on", () =>
  withStore(async ({ simulator, store }) => {
    simulator.setClockSkew(-10 * 60_000);
    const { storeTimeMs } = await store.put("then", body);
    assert.ok(Math.abs(storeTimeMs! - (Date.now() - 10 * 60_000)) < 5000);
    const action: FaultAction = {
      kind: "status",
      status: 503,
      code: "SlowDown",
      retryAfterSeconds: 7,
    };
    simulator.addRules([{ label: "slow", match: {}, action }]);
    await assert.rejects(store.get("here"), (error) => {
      assert.ok(error instanceof StoreError);
      assert.deepEqual([error.retryAfterMs, error.status, error.code], [7000, 503, "SlowDown"]);
      return true;
    });
  }));

Deno.test("a wrong clock is named, and the next call is in time", () =>
  withStore(async ({ simulator, store }) => {
    for (const skewMs of [3600_000, -3600_000]) {
      simulator.setClockSkew(skewMs);
      await assert.rejects(store.get("here"), (error) => {
        assert.ok(error instanceof StoreError);
        assert.equal(error.kind, "unavailable");
        assert.match(error.message, /this machine's clock is wrong: the store's says/);
        return true;
      });
      assert.equal(await kindOf(() => store.get("here")), "ok");
    }
  }));
