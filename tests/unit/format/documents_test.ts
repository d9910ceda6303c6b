import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { decodeDescriptor, encodeDescriptor } from "../../../src/format/descriptor.ts";
import { FormatError } from "../../../src/format/format_error.ts";
import { epochText, metadataKey, packIdOfKey, packKey } from "../../../src/format/keys.ts";
import {
  claimKey,
  decodeClaim,
  encodeClaim,
  parseClaimKey,
} from "../../../src/format/lease_claim.ts";

const descriptor = {
  fileSystem: "00112233445566778899aabbccddeeff",
  chunkSize: 4 << 20,
  features: [],
  created: "2026-01-31T12:00:00.000Z",
};
const mountId = "ffeeddccbbaa99887766554433221100";
const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

Deno.test("zero.json comes back as it was written", () => {
  assert.deepEqual(decodeDescriptor(encodeDescriptor(descriptor)), descriptor);
});

Deno.test("zero.json of another format, with an unknown feature or a wrong value is refused by name", () => {
  const whole = JSON.parse(new TextDecoder().decode(encodeDescriptor(descriptor)));
  const cases: [object, RegExp][] = [
    [{ format: 2 }, /format 2/],
    [{ features: ["encryption"] }, /'seal'.*missing/],
    [{ features: ["telepathy"] }, /telepathy/],
    [{ chunkSize: 5_000_000 }, /5000000/],
    [{ chunkSize: 2 ** 40 }, /1099511627776/],
    [{ fileSystem: "X" }, /'fileSystem'.*"X"/],
    [{ created: undefined }, /'created'.*missing/],
  ];
  for (const [change, message] of cases) {
    assert.throws(() => decodeDescriptor(text({ ...whole, ...change })), {
      name: "FormatError",
      message,
    });
  }
});

Deno.test("fields that this version does not know are ignored", () => {
  const whole = JSON.parse(new TextDecoder().decode(encodeDescriptor(descriptor)));
  assert.deepEqual(decodeDescriptor(text({ ...whole, later: [1] })), descriptor);
});

Deno.test("whatever stands in a document, reading it gives a named error", () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), fc.json().map((json) => text(JSON.parse(json)))), (b) => {
      assert.throws(() => decodeDescriptor(b), FormatError);
      assert.throws(() => decodeClaim(b), FormatError);
    }),
    { numRuns: 300, seed: 1 },
  );
  assert.throws(() => decodeDescriptor(new Uint8Array(1 << 20)), { message: /1048576 bytes/ });
});

Deno.test("a lease claim comes back as it was written, from its name and from its bytes", () => {
  const claim = {
    epoch: 0x1f,
    mountId,
    fileSystem: descriptor.fileSystem,
    machine: "attic",
    user: "anna",
    since: descriptor.created,
  };
  assert.deepEqual(decodeClaim(encodeClaim(claim)), claim);
  const key = claimKey(claim);
  assert.equal(key, `lease/000000000000001f-${mountId}`);
  assert.deepEqual(parseClaimKey(key), { epoch: 31, mountId, released: false });
  assert.deepEqual(parseClaimKey(claimKey(claim, { released: true })), {
    epoch: 31,
    mountId,
    released: true,
  });
});

Deno.test("an epoch beyond all bounds counts as held, never as absent", () => {
  const found = parseClaimKey(`lease/ffffffffffffffff-${mountId}-released`);
  assert.deepEqual(found, { epoch: Number.MAX_SAFE_INTEGER, mountId, released: false });
  assert.equal(parseClaimKey("lease/README"), undefined);
});

Deno.test("keys spread packs over 256 folders and sort metadata by epoch", () => {
  const pack = new Uint8Array(16).fill(0xab);
  const id = "ab".repeat(16);
  assert.equal(packKey(pack), `packs/ab/${id}`);
  assert.equal(packIdOfKey(packKey(pack)), id);
  assert.equal(packIdOfKey(`packs/aa/${id}`), undefined);
  assert.equal(epochText(255), "00000000000000ff");
  assert.equal(
    metadataKey({ kind: "changes", epoch: 2, first: 1, last: 16 }, mountId),
    `metadata/0000000000000002/0000000000000001-0000000000000010-${mountId}`,
  );
});
