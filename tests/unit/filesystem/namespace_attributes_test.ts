/** setattr and extended attributes: times, privileges, limits. */
import assert from "node:assert/strict";
import { Errno } from "../../../src/domain/errno.ts";
import { FsError } from "../../../src/domain/errors.ts";
import { FileType } from "../../../src/filesystem/inode.ts";
import { PARKED } from "../../../src/fuse/operations.ts";
import { bytes, NamespaceFixture, text } from "../../harness/namespace_fixture.ts";

function test(name: string, body: (fixture: NamespaceFixture) => void): void {
  Deno.test(name, () => {
    const fixture = new NamespaceFixture();
    try {
      body(fixture);
      fixture.assertIntact();
    } finally {
      fixture.close();
    }
  });
}

const refuses = (errno: number, body: () => unknown) =>
  assert.throws(body, (error) => error instanceof FsError && error.errno === errno);

const set = (f: NamespaceFixture, inode: number, name: string, value = bytes("v"), flags = 0) =>
  f.namespace.setxattr({
    ...f.header(inode),
    name: bytes(name),
    value,
    flags,
    killSetgid: false,
  });
const get = (f: NamespaceFixture, inode: number, name: string) => f.getxattr(inode, name);

test("times before 1970 and after 2038 survive with their nanoseconds, also in the rows", (f) => {
  const file = f.create(1, "a");
  const atime = { seconds: -5_000_000_000, nanoseconds: 999_999_999 };
  const mtime = { seconds: 10_000_000_000, nanoseconds: 1 };
  f.setattr(file, { atime, mtime });
  f.inodes.forget(file);
  assert.deepEqual(f.stat(file).atime, atime);
  assert.deepEqual(f.stat(file).mtime, mtime);
});

test("utimens sets what it is told, leaves the rest, and always moves ctime", (f) => {
  const file = f.create(1, "a");
  const before = f.stat(file);
  f.tick(1234);
  f.setattr(file, { atime: "now" });
  assert.deepEqual(f.stat(file).mtime, before.mtime);
  assert.deepEqual(f.stat(file).atime, f.clock.now());
  assert.deepEqual(f.stat(file).ctime, f.clock.now());
});

test("chmod moves ctime and leaves the type and the other times alone", (f) => {
  const file = f.create(1, "a");
  const before = f.stat(file);
  f.tick();
  f.setattr(file, { mode: 0o170000 | 0o4711 });
  const after = f.stat(file);
  assert.equal(after.mode, FileType.REGULAR | 0o4711);
  assert.deepEqual([after.atime, after.mtime], [before.atime, before.mtime]);
  assert.deepEqual(after.ctime, f.clock.now());
});

test("a new owner, or a change by others, takes privileges from files and not from directories", (f) => {
  const file = f.create(1, "a");
  const directory = f.mkdir(1, "d");
  set(f, file, "security.capability");
  f.setattr(file, { mode: 0o6755 });
  f.setattr(directory, { mode: 0o6755 });
  f.setattr(file, { newOwner: 7 });
  f.setattr(directory, { newOwner: 7, killPrivileges: true });
  assert.equal(f.stat(file).mode & 0o7777, 0o755);
  assert.equal(f.stat(directory).mode & 0o7777, 0o6755);
  refuses(Errno.ENODATA, () => get(f, file, "security.capability"));
  f.setattr(file, { mode: 0o6644 });
  f.setattr(file, { killPrivileges: true });
  // Without execution by the group it stays, for members of the group.
  assert.equal(f.stat(file).mode & 0o7777, 0o2644);
});

test("killPrivileges for writers changes nothing, not even ctime, where there is nothing to lose", (f) => {
  const file = f.create(1, "a");
  const before = f.stat(file);
  f.tick();
  f.namespace.killPrivileges(f.inodes.require(file), f.header(file));
  assert.deepEqual(f.stat(file), before);
  f.setattr(file, { mode: 0o4755 });
  f.namespace.killPrivileges(f.inodes.require(file), f.header(file));
  assert.equal(f.stat(file).mode & 0o7777, 0o755);
});

test("only regular files can be truncated; a truncation that parks has changed nothing yet", (f) => {
  const file = f.create(1, "a");
  refuses(Errno.EISDIR, () => f.setattr(1, { size: 0 }));
  const fifo = f.namespace.mknod({
    ...f.header(1),
    name: bytes("p"),
    mode: FileType.FIFO,
    umask: 0,
    rdev: 0,
  }).attributes.inode;
  refuses(Errno.EINVAL, () => f.setattr(fifo, { size: 0 }));
  const before = f.stat(file);
  f.content.parksNext = true;
  assert.equal(f.setattr(file, { size: 5, mode: 0o600 }), PARKED);
  assert.deepEqual(f.stat(file), before);
  f.setattr(file, { size: 5, mode: 0o600 });
  assert.equal(f.stat(file).size, 5);
  assert.equal(f.stat(file).mode & 0o7777, 0o600);
});

test("an inode that does not exist is stale", (f) => {
  refuses(Errno.ESTALE, () => f.stat(999));
});

test("extended attributes obey CREATE and REPLACE and move ctime", (f) => {
  const file = f.create(1, "a");
  f.tick();
  refuses(Errno.ENODATA, () => set(f, file, "user.a", bytes("1"), 2));
  set(f, file, "user.a", bytes("1"), 1);
  refuses(Errno.EEXIST, () => set(f, file, "user.a", bytes("2"), 1));
  set(f, file, "user.a", bytes("2"), 2);
  assert.equal(text(get(f, file, "user.a")), "2");
  assert.deepEqual(f.stat(file).ctime, f.clock.now());
  set(f, file, "user.empty", new Uint8Array());
  assert.equal(get(f, file, "user.empty").length, 0);
  f.namespace.removexattr({ ...f.header(file), name: bytes("user.a") });
  refuses(
    Errno.ENODATA,
    () => f.namespace.removexattr({ ...f.header(file), name: bytes("user.a") }),
  );
  refuses(Errno.EINVAL, () => set(f, file, "user.a", bytes("1"), 4));
});

test("values end at 64 KiB, the list of names at 64 KiB, a name at 255 bytes", (f) => {
  const file = f.create(1, "a");
  set(f, file, "user.a", new Uint8Array(65_536));
  refuses(Errno.E2BIG, () => set(f, file, "user.a", new Uint8Array(65_537)));
  refuses(Errno.ERANGE, () => set(f, file, "user." + "x".repeat(251)));
  const name = (i: number) => `user.${String(i).padStart(3, "0")}`.padEnd(255, "x");
  for (let i = 0; i < 255; i++) set(f, file, name(i));
  refuses(Errno.ENOSPC, () => set(f, file, name(255)));
  set(f, file, name(3), bytes("replaced"));
  assert.equal(f.namespace.listxattr(f.header(file)).length, 7 + 255 * 256);
});

test("unknown namespaces are not supported, and an empty suffix is invalid", (f) => {
  for (const name of ["system.posix_acl", "system.nfs4_acl", "other.x", "user"]) {
    refuses(Errno.EOPNOTSUPP, () => set(f, 1, name));
    refuses(Errno.EOPNOTSUPP, () => get(f, 1, name));
  }
  refuses(Errno.EINVAL, () => set(f, 1, "trusted."));
});

test("user attributes belong to files and directories only", (f) => {
  const link = f.namespace.symlink({ ...f.header(1), name: bytes("l"), target: bytes("t") });
  refuses(Errno.EPERM, () => set(f, link.attributes.inode, "user.a"));
  refuses(Errno.ENODATA, () => get(f, link.attributes.inode, "user.a"));
  set(f, link.attributes.inode, "trusted.a");
  set(f, 1, "user.a");
});

test("attributes of zero itself can be read, not set, removed or listed", (f) => {
  const file = f.create(1, "a");
  assert.equal(text(get(f, file, "user.zero.state")), "resident");
  refuses(Errno.ENODATA, () => get(f, file, "user.zero.other"));
  refuses(Errno.EPERM, () => set(f, file, "user.zero.state"));
  refuses(
    Errno.EPERM,
    () => f.namespace.removexattr({ ...f.header(file), name: bytes("user.zero.state") }),
  );
  assert.equal(f.namespace.listxattr(f.header(file)).length, 0);
});

test("trusted attributes are listed for root only", (f) => {
  set(f, 1, "trusted.t");
  set(f, 1, "user.u");
  assert.equal(text(f.namespace.listxattr(f.header(1))), "trusted.t\0user.u\0");
  assert.equal(text(f.namespace.listxattr(f.header(1, { uid: 1 }))), "user.u\0");
});
