/** Access control lists and the mode follow each other as in Linux' fs/posix_acl.c. */
import assert from "node:assert/strict";
import {
  decodeAcl,
  encodeAcl,
  inheritedAcl,
  isPlain,
  modeOf,
  withMode,
} from "../../../src/filesystem/acl.ts";
import { Errno } from "../../../src/domain/errno.ts";
import { FsError } from "../../../src/domain/errors.ts";

const NOBODY = 0xffff_ffff;
const owner = (permissions: number) => ({ tag: 1, permissions, id: NOBODY });
const user = (permissions: number, id: number) => ({ tag: 2, permissions, id });
const group = (permissions: number) => ({ tag: 4, permissions, id: NOBODY });
const mask = (permissions: number) => ({ tag: 16, permissions, id: NOBODY });
const others = (permissions: number) => ({ tag: 32, permissions, id: NOBODY });

Deno.test("a list of owner, group and others says what a mode says", () => {
  const acl = [owner(7), group(5), others(1)];
  assert.equal(modeOf(acl), 0o751);
  assert.ok(isPlain(acl));
});

Deno.test("with a mask, the group's bits of the mode are the mask", () => {
  const acl = [owner(6), user(7, 1000), group(4), mask(5), others(0)];
  assert.equal(modeOf(acl), 0o650);
  assert.ok(!isPlain(acl));
  assert.deepEqual(withMode(acl, 0o421), [owner(4), user(7, 1000), group(4), mask(2), others(1)]);
});

Deno.test("what is inherited never allows more than its creator asked for", () => {
  const acl = [owner(7), user(7, 1000), group(7), mask(7), others(5)];
  const made = inheritedAcl(acl, 0o640);
  assert.deepEqual(made, [owner(6), user(7, 1000), group(7), mask(4), others(0)]);
  assert.equal(modeOf(made), 0o640);
});

Deno.test("a list survives its encoding; anything else is invalid", () => {
  const acl = [owner(6), user(7, 1000), group(4), mask(5), others(0)];
  assert.deepEqual(decodeAcl(encodeAcl(acl)), acl);
  const bytes = encodeAcl(acl);
  const wrong = [
    new Uint8Array(0),
    bytes.subarray(1),
    bytes.with(0, 3),
    encodeAcl([owner(7), others(7)]),
    encodeAcl([owner(7), owner(7), group(0), others(7)]),
  ];
  for (const each of wrong) {
    assert.throws(() => decodeAcl(each), (error: FsError) => error.errno === Errno.EINVAL);
  }
});
