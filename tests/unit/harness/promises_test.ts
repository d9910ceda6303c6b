/** What the checker of power cuts calls a broken promise. */
import assert from "node:assert/strict";
import { apply, breach, type FileModel, type Intent } from "../../harness/promises/log.ts";

const intent = (kind: Intent["kind"], offset: number, length: number): Intent => ({
  op: "intent",
  name: "a",
  kind,
  seed: offset + length,
  offset,
  length,
});

function written(...intents: Intent[]): Uint8Array {
  return intents.reduce<Uint8Array | undefined>(apply, undefined)!;
}

Deno.test("zeros behind a new file that took the place of a longer one are no broken promise", () => {
  const whole = intent("replace", 0, 3_471);
  const tail = intent("patch", 3_390, 9_000);
  const file: FileModel = {
    promised: written(intent("write", 0, 50_000)),
    pending: [whole, tail],
  };
  const kept = (bytes: Uint8Array) => breach(file, bytes, { zeros: true });
  const cut = new Uint8Array(4_096);
  cut.set(written(whole));
  assert.equal(kept(cut), undefined);
  // What the new file had was synced before it took the place.
  for (const at of [0, 3_000, 3_470]) {
    const damaged = cut.slice();
    damaged[at] = 0;
    assert.match(String(kept(damaged)), new RegExp(`^byte ${at} of 4096 is 0, of no version`));
  }
});

Deno.test("zeros where a synced version had data are a broken promise", () => {
  const promised = written(intent("write", 0, 5_000));
  const file: FileModel = { promised, pending: [intent("patch", 4_000, 9_000)] };
  const cut = new Uint8Array(6_000);
  cut.set(promised);
  assert.equal(breach(file, cut, { zeros: true }), undefined);
  assert.match(String(breach(file, cut, { zeros: false })), /^byte 5000 of 6000 is 0/);
  cut[4_999] = 0;
  assert.match(String(breach(file, cut, { zeros: true })), /^byte 4999 of 6000 is 0/);
});
