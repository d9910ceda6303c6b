/** What the tests of the S3 store's failures share: a simulator, an impatient store, a canary secret. */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { openObjectStore } from "../../src/object_store/open_store.ts";
import {
  type ObjectStore,
  StoreError,
  type StoreErrorKind,
} from "../../src/object_store/object_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { type B2Simulator, startB2Simulator } from "../harness/b2_simulator.ts";

export const parts = { clock: systemClock, random: systemRandom };
/** Stands for a secret wherever one could leak. */
export const canary = "K004CANARY/secret+of=the application";
export const keyId = "0040canary0000000000000001";
export const capabilities = ["listFiles", "readFiles", "writeFiles", "deleteFiles", "listBuckets"];
export const impatient = {
  connectMs: 400,
  idleMs: 400,
  callMs: 1500,
  minBytesPerSecond: 1_000_000,
};
export const body = new Uint8Array(100_000).map((_, index) => index * 7);

export interface Setting {
  simulator: B2Simulator;
  store: ObjectStore;
  /** Of the object `here`, which holds `body`. */
  versionId: string;
}

export async function withStore(use: (setting: Setting) => Promise<void>): Promise<void> {
  const keys = [{ keyId, applicationKey: canary, master: false, capabilities }];
  const simulator = startB2Simulator({ keys, pageSize: 2 });
  const store = await openObjectStore(simulator.url("zero"), {
    ...parts,
    credentials: { keyId, applicationKey: canary },
    timeouts: impatient,
  });
  try {
    const { versionId } = await store.put("here", body);
    await use({ simulator, store, versionId });
  } finally {
    store.close();
    await simulator.stop();
  }
}

function holdsNoSecret(error: unknown): void {
  const everything = inspect(error, { depth: 50, showHidden: true, getters: true });
  const forms = [
    canary,
    encodeURIComponent(canary),
    btoa(canary),
    btoa(`${keyId}:${canary}`),
    keyId,
  ];
  for (const form of forms) {
    assert.ok(!everything.includes(form), `the error holds a credential: ${everything}`);
  }
  assert.ok(!/AWS4-HMAC|Signature=/.test(everything), `the error holds a signature: ${everything}`);
}

export async function kindOf(call: () => Promise<unknown>): Promise<StoreErrorKind | "ok"> {
  try {
    await call();
    return "ok";
  } catch (error) {
    assert.ok(error instanceof StoreError, `not a StoreError: ${inspect(error)}`);
    holdsNoSecret(error);
    assert.ok(error.cause === undefined || !(error.cause as Error).message.includes(canary));
    return error.kind;
  }
}
