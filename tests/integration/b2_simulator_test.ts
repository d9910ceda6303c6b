import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { openObjectStore } from "../../src/object_store/open_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import {
  controlB2Simulator,
  type SimulatorAddress,
  startB2Simulator,
} from "../harness/b2_simulator.ts";

const parts = { clock: systemClock, random: systemRandom };
const program = new URL("../harness/b2_simulator.ts", import.meta.url).pathname;
const configuration = new URL("../../deno.json", import.meta.url).pathname;

/** Starts a simulator as a process of its own, and reads what it says of itself. */
async function startProcess(args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--config", configuration, program, ...args],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the simulator ended before it said where it is");
    line += value;
  }
  return {
    address: JSON.parse(line) as SimulatorAddress,
    kill: async () => {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

Deno.test("a simulator in another process is scripted over HTTP, and keeps its content when killed", async () => {
  const directory = await Deno.makeTempDir({ prefix: "zero-b2-" });
  try {
    const body = new Uint8Array([1, 2, 3]);
    const args = ["--data", `${directory}/data`, "--port-file", `${directory}/port`];
    const first = await startProcess(args);
    let versionId: string;
    try {
      const { address } = first;
      assert.deepEqual(JSON.parse(await Deno.readTextFile(`${directory}/port`)), address);
      const store = await openObjectStore(address.url, { ...parts, credentials: address });
      const control = controlB2Simulator(address.endpoint);
      ({ versionId } = await store.put("kept", body));
      const gone = await store.put("gone", body);
      await store.delete("gone", gone.versionId);
      await control.addRules([{
        label: "busy",
        match: { operations: ["get"], times: 1 },
        action: { kind: "status", status: 503, code: "SlowDown" },
      }]);
      await assert.rejects(store.get("kept"), { kind: "unavailable" });
      assert.deepEqual(await store.get("kept"), body);
      assert.deepEqual(await control.hits(), { busy: 1 });
      assert.deepEqual(await control.counts(), { put: 2, delete: 1, get: 2 });
      assert.deepEqual((await control.log()).map(({ status }) => status), [
        200,
        200,
        204,
        503,
        200,
      ]);
      store.close();
    } finally {
      await first.kill();
    }
    const second = await startProcess(args);
    try {
      const { address } = second;
      const store = await openObjectStore(address.url, { ...parts, credentials: address });
      const control = controlB2Simulator(address.endpoint);
      assert.deepEqual((await control.objects()).map(({ key }) => key), ["kept"]);
      assert.deepEqual(await store.get("kept", { versionId }), body);
      assert.equal(await control.corrupt("kept"), true);
      assert.notDeepEqual(await store.get("kept", { versionId }), body);
      const next = await store.put("kept", body);
      assert.notEqual(next.versionId, versionId);
      assert.equal(await control.remove("kept"), 2);
      await assert.rejects(store.get("kept", { versionId }), { kind: "missing" });
      store.close();
    } finally {
      await second.kill();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

/** Signs a request with one thing wrong with it, by the published algorithm and not by the SDK. */
function signed(
  simulator: {
    endpoint: string;
    region: string;
    credentials: { keyId: string; applicationKey: string };
  },
  twist: { body?: string; sentBody?: string; extra?: Record<string, string>; payload?: string } =
    {},
): [string, RequestInit] {
  const { endpoint, region, credentials } = simulator;
  const { body = "content", extra = {} } = twist;
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  const hmac = (key: Uint8Array | string, text: string) =>
    createHmac("sha256", key).update(text).digest();
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const day = date.slice(0, 8);
  const payload = twist.payload ?? sha256(body);
  const headers: Record<string, string> = {
    host: new URL(endpoint).host,
    "x-amz-content-sha256": payload,
    "x-amz-date": date,
  };
  const names = Object.keys(headers);
  const canonical = [
    "PUT",
    "/zero-test/a%20b",
    "",
    ...names.map((name) => `${name}:${headers[name]}`),
    "",
    names.join(";"),
    payload,
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const key = [region, "s3", "aws4_request"].reduce<Uint8Array>(
    hmac,
    hmac(`AWS4${credentials.applicationKey}`, day),
  );
  const signature = createHmac("sha256", key)
    .update(["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n")).digest("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.keyId}/${scope}, ` +
    `SignedHeaders=${names.join(";")}, Signature=${signature}`;
  const { host: _host, ...sent } = headers;
  return [`${endpoint}/zero-test/a%20b`, {
    method: "PUT",
    headers: { ...sent, ...extra, authorization },
    body: twist.sentBody ?? body,
  }];
}

Deno.test("the simulator takes a request signed by the book, and refuses each way of not doing so", async () => {
  const simulator = startB2Simulator();
  const { endpoint, region, credentials } = simulator;
  const wrongSecret = { endpoint, region, credentials: { ...credentials, applicationKey: "x" } };
  const cases: [[string, RequestInit], number, string][] = [
    [signed(simulator), 200, ""],
    [signed(wrongSecret), 403, "SignatureDoesNotMatch"],
    [
      signed({ ...simulator, endpoint, region: "us-east-1", credentials }),
      403,
      "SignatureDoesNotMatch",
    ],
    [signed(simulator, { sentBody: "tampered" }), 400, "XAmzContentSHA256Mismatch"],
    [signed(simulator, { payload: "UNSIGNED-PAYLOAD" }), 400, "InvalidRequest"],
    [signed(simulator, { extra: { "x-amz-meta-more": "unsigned" } }), 403, "AccessDenied"],
    [signed(simulator, { extra: { "if-none-match": "*" } }), 501, "NotImplemented"],
    [[`${endpoint}/zero-test/a%20b`, { method: "PUT", body: "x" }], 403, "AccessDenied"],
  ];
  try {
    for (const [[url, request], status, code] of cases) {
      const response = await fetch(url, request);
      const text = await response.text();
      assert.equal(response.status, status, text);
      assert.ok(text.includes(code), text);
    }
    assert.deepEqual(simulator.objects().map(({ key }) => key), ["a b"]);
    simulator.setClockSkew(16 * 60_000);
    const late = await fetch(...signed(simulator));
    assert.match(await late.text(), /RequestTimeTooSkewed/);
  } finally {
    await simulator.stop();
  }
});

Deno.test("chance comes from the seed", async () => {
  const runs: number[][] = [];
  for (const seed of [5, 5, 6]) {
    const simulator = startB2Simulator({ seed });
    simulator.addRules([{
      label: "sometimes",
      match: { probability: 0.5 },
      action: { kind: "status", status: 500 },
    }]);
    const statuses: number[] = [];
    for (let index = 0; index < 20; index++) {
      const response = await fetch(`${simulator.endpoint}/zero-test/x`);
      await response.body?.cancel();
      statuses.push(response.status);
    }
    runs.push(statuses);
    await simulator.stop();
  }
  assert.deepEqual(runs[0], runs[1]);
  assert.notDeepEqual(runs[0], runs[2]);
});
