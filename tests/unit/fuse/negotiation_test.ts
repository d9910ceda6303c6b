import assert from "node:assert/strict";
import { UserError } from "../../../src/domain/errors.ts";
import { rig } from "./recording_filesystem.ts";

const bit = (...bits: number[]) => bits.reduce((sum, n) => sum + 2 ** n, 0);
const wanted = bit(3, 4, 5, 6, 13, 18, 21, 22, 23, 24, 25, 28, 30);
const aclBits = bit(20, 29);

Deno.test("INIT asks for what was decided, of what Linux 6.18 offers, and for nothing else", () => {
  const { kernel, session } = rig({ init: false, session: { acl: true, passthrough: true } });
  assert.deepEqual(kernel.init().value, {
    major: 7,
    minor: 45,
    maxReadahead: 131072,
    flags: wanted + aclBits,
    maxBackground: 65535,
    congestionThreshold: 65000,
    maxWrite: 1 << 20,
    timeGranularity: 1,
    maxPages: 256,
    mapAlignment: 0,
    flags2: bit(4, 5),
    maxStackDepth: 1,
    requestTimeout: 0,
  });
  const { acl, passthrough, noOpendir, minor } = session.negotiated!;
  assert.deepEqual({ acl, passthrough, noOpendir, minor }, {
    acl: true,
    passthrough: true,
    noOpendir: true,
    minor: 45,
  });
});

Deno.test("ACLs and passthrough are asked for only where they are wanted", () => {
  const { kernel, session } = rig({ init: false });
  const { flags, flags2, maxStackDepth } = kernel.init().value;
  assert.deepEqual({ flags, flags2, maxStackDepth }, {
    flags: wanted,
    flags2: bit(4),
    maxStackDepth: 0,
  });
  assert.equal(session.negotiated!.acl, false);
  assert.equal(session.negotiated!.extendedSetxattr, false);
});

for (const minor of [31, 35, 36, 38, 40, 41, 45, 46]) {
  Deno.test(`the session speaks 7.${Math.min(minor, 45)} with a kernel of 7.${minor}`, () => {
    // Kernels before 7.36 have no flags2 and do not offer INIT_EXT.
    const flags = minor < 36 ? 0x0fff_fffb : 0x73ff_fffb;
    const rigged = rig({ init: false, minor, flags, session: { passthrough: true } });
    const seen = rigged.kernel.init().value;
    assert.equal(seen.minor, Math.min(minor, 45));
    assert.equal(seen.flags2, minor < 36 ? 0 : bit(4, 5));
    assert.equal(rigged.session.negotiated!.passthrough, minor >= 36);
    rigged.answers.read = 0;
    assert.equal(rigged.kernel.read(5, { handle: 1, offset: 0, size: 10 }).value.length, 0);
    assert.equal(rigged.kernel.getattr(5, 3).pending, false);
  });
}

Deno.test("a kernel that offers nothing gets small writes and no flags", () => {
  const { kernel, session } = rig({ init: false, flags: 0 });
  const { flags, flags2, maxWrite, maxPages } = kernel.init().value;
  assert.deepEqual({ flags, flags2, maxWrite, maxPages }, {
    flags: 0,
    flags2: 0,
    maxWrite: 128 * 1024,
    maxPages: 0,
  });
  // Without NO_OPENDIR_SUPPORT a directory is opened with handle 0.
  assert.equal(session.negotiated!.noOpendir, false);
  assert.equal(kernel.opendir(1).value.handle, 0);
});

Deno.test("a kernel older than 7.31 is refused with a message that says what is needed", () => {
  const { kernel } = rig({ init: false, minor: 30 });
  assert.throws(() => kernel.init(), (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /7\.30.*7\.31/);
    assert.match(error.hint!, /Linux 5\.4/);
    return true;
  });
});

Deno.test("a newer major version is told 7 and asks again", () => {
  const { kernel, session } = rig({ init: false, major: 8, minor: 2 });
  assert.equal(kernel.init().value.major, 7);
  assert.equal(session.negotiated, undefined);
  assert.equal(kernel.lookup(1, "a").errno, 5);
});

Deno.test("a second INIT is an error and changes nothing", () => {
  const { kernel, session, defects } = rig();
  const before = session.negotiated;
  assert.equal(kernel.init().errno, 5);
  assert.equal(session.negotiated, before);
  assert.equal(defects.length, 1);
});
