/** The wrapped master key and the recovery key: fixed vectors, wrong ones, damaged ones. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "../../harness/properties.ts";
import { FormatError } from "../../../src/format/format_error.ts";
import { parseRecoveryKey, printRecoveryKey } from "../../../src/format/recovery_key.ts";
import {
  checkWrappedKey,
  LEAST_COST,
  unwrapKey,
  wrapKey,
} from "../../../src/format/wrapped_key.ts";
import * as vectors from "./encryption_vectors.ts";

const { material, passphrase, wrappedKey } = vectors;
const { fileSystem } = material;

Deno.test("a key that another program has wrapped unwraps, and is wrapped just so", () => {
  assert.deepEqual(unwrapKey(wrappedKey, { passphrase, fileSystem }), material);
  const again = wrapKey(material, {
    passphrase,
    salt: Uint8Array.from({ length: 32 }, (_, i) => 200 + i),
    nonce: Uint8Array.from({ length: 12 }, (_, i) => 50 + i),
    cost: LEAST_COST,
  });
  assert.ok(Buffer.from(again).equals(wrappedKey));
});

Deno.test("a wrong passphrase is told from a damaged key", () => {
  for (const wrong of ["", "pass phrase", "pass phräse\n"]) {
    assert.throws(
      () => unwrapKey(wrappedKey, { passphrase: new TextEncoder().encode(wrong), fileSystem }),
      { name: "WrongPassphraseError", message: "the passphrase is wrong" },
    );
  }
  for (let at = 0; at < wrappedKey.length; at++) {
    const damaged = wrappedKey.slice();
    damaged[at] ^= 1 << (at & 7);
    assert.throws(() => unwrapKey(damaged, { passphrase, fileSystem }), FormatError, `byte ${at}`);
    assert.throws(() => checkWrappedKey(damaged), FormatError);
    assert.throws(() => checkWrappedKey(wrappedKey.slice(0, at)), FormatError);
  }
  assert.throws(
    () => unwrapKey(wrappedKey, { passphrase, fileSystem: new Uint8Array(16) }),
    { name: "FormatError", message: /belongs to file system 0011/ },
  );
});

Deno.test("what a header asks of scrypt is bounded before anything is spent", () => {
  const ask = (at: number, value: number, bytes: number) => {
    const changed = wrappedKey.slice();
    const view = new DataView(changed.buffer);
    if (bytes === 1) view.setUint8(at, value);
    else view.setUint32(at, value, true);
    changed.set(createHash("sha256").update(changed.subarray(0, 140)).digest(), 140);
    return () => unwrapKey(changed, { passphrase, fileSystem });
  };
  assert.throws(ask(33, 13, 1), { name: "FormatError", message: /too little: 2\^13/ });
  assert.throws(ask(33, 255, 1), { name: "FormatError", message: /too much: 2\^255/ });
  assert.throws(ask(33, 24, 1), { name: "FormatError", message: /too much/ });
  assert.throws(ask(36, 1, 4), { name: "FormatError", message: /too little/ });
  assert.throws(ask(36, 0xffff_ffff, 4), { name: "FormatError", message: /too much/ });
  assert.throws(ask(40, 17, 4), { name: "FormatError", message: /too much/ });
  assert.throws(ask(40, 0, 4), { name: "FormatError", message: /too little/ });
  assert.throws(ask(32, 2, 1), { name: "FormatError", message: /derivation 2/ });
});

Deno.test("a recovery key reads back however people type it", () => {
  const printed = printRecoveryKey(material);
  assert.equal(printed, vectors.recoveryKey);
  const typed = [
    printed,
    printed.toLowerCase(),
    printed.replaceAll("-", " "),
    printed.replaceAll("0", "O").replaceAll("1", "l"),
    `# a remark with ZERO1 in it\n\n  ${printed.slice(0, 40)}\n${printed.slice(40)}\r\n`,
  ];
  for (const text of typed) assert.deepEqual(parseRecoveryKey(text, fileSystem), material);
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (master) => {
    const back = parseRecoveryKey(printRecoveryKey({ fileSystem, master }), fileSystem);
    assert.ok(Buffer.from(back.master).equals(master));
  }));
});

Deno.test("a slip in a recovery key is found, and nothing of the key is quoted", () => {
  const printed = printRecoveryKey(material);
  const wrong = [
    ["", /begin with ZERO1/],
    [printed.slice(0, -1), /64 letters.*63/],
    [printed.replace("SYQC", "SYQD"), /checksum/],
    [printed.replace("40R4", "4R04"), /checksum/],
    [printed.replace("40R4", "40U4"), /sign that it cannot have, in group 2/],
  ] as const;
  for (const [text, message] of wrong) {
    assert.throws(() => parseRecoveryKey(text, fileSystem), (error) => {
      assert.ok(error instanceof FormatError);
      assert.match(error.message, message);
      assert.ok(!error.message.includes("SYQ") && !error.message.includes("R4"));
      return true;
    });
  }
  assert.throws(
    () => parseRecoveryKey(printed, new Uint8Array(16)),
    /that of file system 00112233…, this one is 0000/,
  );
});
