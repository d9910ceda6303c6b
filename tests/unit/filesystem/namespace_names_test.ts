/** Making, linking and removing names; forgetting inodes; directories that are read while they change. */
import assert from "node:assert/strict";
import { Errno } from "../../../src/domain/errno.ts";
import { FsError } from "../../../src/domain/errors.ts";
import { FileType } from "../../../src/filesystem/inode.ts";
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

const temporary = (f: NamespaceFixture) =>
  f.namespace.createFile({
    ...f.header(1),
    name: new Uint8Array(),
    flags: 0,
    mode: 0o600,
    umask: 0,
    killPrivileges: false,
  });

test("an anonymous file is an orphan until it is linked", (f) => {
  const inode = temporary(f);
  f.namespace.entry(inode);
  f.assertIntact();
  assert.equal(f.stat(inode.id).nlink, 0);
  assert.equal(f.link(inode.id, 1, "named").attributes.nlink, 1);
  f.assertIntact();
  f.namespace.forget(inode.id, 2);
  assert.deepEqual(f.content.discarded, []);
  assert.equal(f.find(1, "named"), inode.id);
});

test("an anonymous file that is never linked goes when it is closed and forgotten", (f) => {
  const inode = temporary(f);
  f.namespace.entry(inode);
  f.content.open.set(inode.id, 1);
  f.namespace.forget(inode.id, 1);
  assert.deepEqual(f.content.discarded, []);
  f.content.open.delete(inode.id);
  f.namespace.released(inode);
  assert.deepEqual(f.content.discarded, [inode.id]);
});

test("a file keeps its inode until its last name is gone", (f) => {
  const file = f.create(1, "a");
  f.link(file, 1, "b");
  f.unlink(1, "a");
  assert.deepEqual(f.content.calls, []);
  assert.equal(f.stat(file).nlink, 1);
  f.unlink(1, "b");
  assert.deepEqual(f.content.calls, [`unlinked ${file} b`]);
  assert.deepEqual(f.content.discarded, []);
  f.namespace.forget(file, 1);
  assert.deepEqual(f.content.discarded, []);
  f.namespace.forget(file, 1);
  assert.deepEqual(f.content.discarded, [file]);
});

test("an unlinked file that the kernel does not know goes at once", (f) => {
  const file = f.create(1, "a");
  f.namespace.forget(file, 1);
  f.unlink(1, "a");
  assert.deepEqual(f.content.discarded, [file]);
});

test("inode numbers are never used twice", (f) => {
  const first = f.create(1, "a");
  f.namespace.forget(first, 1);
  f.unlink(1, "a");
  assert(f.create(1, "a") > first);
});

test("a removed directory that is still known answers ENOENT to everything about names", (f) => {
  const gone = f.mkdir(1, "gone");
  f.rmdir(1, "gone");
  refuses(Errno.ENOENT, () => f.find(gone, "x"));
  refuses(Errno.ENOENT, () => f.create(gone, "x"));
  refuses(Errno.ENOENT, () => f.mkdir(gone, "x"));
  refuses(Errno.ENOENT, () => f.list(gone));
  assert.equal(f.stat(gone).nlink, 0);
  assert.equal(f.stat(1).nlink, 2);
});

test("a directory is not linked, a file not removed as a directory, nor the other way round", (f) => {
  const directory = f.mkdir(1, "d");
  f.create(1, "f");
  refuses(Errno.EPERM, () => f.link(directory, 1, "x"));
  refuses(Errno.EISDIR, () => f.unlink(1, "d"));
  refuses(Errno.ENOTDIR, () => f.rmdir(1, "f"));
  f.create(directory, "x");
  refuses(Errno.ENOTEMPTY, () => f.rmdir(1, "d"));
  refuses(Errno.ENOTDIR, () => f.create(f.find(1, "f")!, "x"));
});

test("a file has at most 65,000 names", (f) => {
  const file = f.create(1, "a");
  const record = f.inodes.require(file);
  record.nlink = 65_000;
  refuses(Errno.EMLINK, () => f.link(file, 1, "b"));
  record.nlink = 1;
});

test("a setgid directory hands on its group, and itself to child directories only", (f) => {
  const shared = f.mkdir(1, "shared");
  f.setattr(shared, { mode: 0o2775, newGroup: 100 });
  const header = f.header(shared, { uid: 5, gid: 6 });
  const child = f.namespace.mkdir({ ...header, name: bytes("d"), mode: 0o777, umask: 0o022 });
  assert.equal(child.attributes.mode, FileType.DIRECTORY | 0o2755);
  assert.equal(child.attributes.gid, 100);
  assert.equal(child.attributes.uid, 5);
  const mode = FileType.FIFO | 0o666;
  const fifo = f.namespace.mknod({ ...header, name: bytes("p"), mode, umask: 0o027, rdev: 7 });
  assert.equal(fifo.attributes.mode, FileType.FIFO | 0o640);
  assert.equal(fifo.attributes.gid, 100);
  assert.equal(fifo.attributes.rdev, 0);
});

test("devices keep their number, and unknown types are refused", (f) => {
  const request = { ...f.header(1), name: bytes("null"), umask: 0, rdev: 0x103 };
  const device = f.namespace.mknod({ ...request, mode: FileType.CHARACTER | 0o666 });
  assert.equal(device.attributes.rdev, 0x103);
  refuses(
    Errno.EPERM,
    () => f.namespace.mknod({ ...request, name: bytes("d"), mode: FileType.DIRECTORY }),
  );
  refuses(
    Errno.EINVAL,
    () => f.namespace.mknod({ ...request, name: bytes("l"), mode: FileType.SYMLINK }),
  );
});

test("a symlink gives back its target byte for byte, and only a symlink has one", (f) => {
  const target = new Uint8Array([0xff, 0x2f, 0x01]);
  const entry = f.namespace.symlink({ ...f.header(1), name: bytes("l"), target });
  assert.equal(entry.attributes.size, 3);
  assert.equal(entry.attributes.mode, FileType.SYMLINK | 0o777);
  assert.deepEqual(f.namespace.readlink(f.header(entry.attributes.inode)), target);
  refuses(Errno.EINVAL, () => f.namespace.readlink(f.header(1)));
});

test("names are bytes: two that differ only in what is not UTF-8 are two", (f) => {
  for (const byte of [0xfe, 0xff]) {
    f.namespace.mkdir({ ...f.header(1), name: new Uint8Array([byte]), mode: 0, umask: 0 });
  }
  assert.equal(f.list(1).size, 4);
});

test("names are listed byte for byte, be they ASCII, UTF-8, no UTF-8, or the sign that stands for none", (f) => {
  const names = [
    [...bytes("plain")],
    [0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80],
    [0xef, 0xbb, 0xbf, 0x61],
    [0xef, 0xbf, 0xbd],
    [0x61, 0xff, 0xfe],
    [0xed, 0xa0, 0x80],
    [0xc0, 0xaf],
    [0xf0, 0x9f],
    Array(255).fill(0xfe),
  ].map((name) => new Uint8Array(name));
  for (const name of names) f.namespace.mkdir({ ...f.header(1), name, mode: 0o755, umask: 0 });
  for (const plus of [false, true]) {
    const listed = f.read(1, { cookie: 2, plus, slice: 100 });
    assert.deepEqual(listed.map(({ name }) => [...name]), names.map((name) => [...name]));
  }
  const children = f.namespace.children({ inode: 1, after: 0, limit: 100 });
  assert.deepEqual(children.map(({ name }) => [...name]), names.map((name) => [...name]));
});

test("a listing with attributes says what was not written to its row yet", (f) => {
  const file = f.create(1, "a");
  f.namespace.forget(file, 1);
  const inode = f.inodes.require(file);
  inode.size = 7;
  f.inodes.touch(inode);
  const sizes: number[] = [];
  f.namespace.readdir({ ...f.header(1), handle: 0, cookie: 2 }, {
    plus: true,
    room: 100,
    add: () => true,
    addEntry: (_name, { attributes }) => sizes.push(attributes.size) > 0,
  });
  assert.deepEqual(sizes, [7]);
});

test("a read-only mount refuses every change and answers everything else", (f) => {
  const file = f.create(1, "a");
  f.readOnly = true;
  refuses(Errno.EROFS, () => f.create(1, "b"));
  refuses(Errno.EROFS, () => f.mkdir(1, "b"));
  refuses(Errno.EROFS, () => f.unlink(1, "a"));
  refuses(Errno.EROFS, () => f.rmdir(1, "a"));
  refuses(Errno.EROFS, () => f.link(file, 1, "b"));
  refuses(Errno.EROFS, () => f.rename([1, "a"], [1, "b"]));
  refuses(Errno.EROFS, () => f.setattr(file, { mode: 0 }));
  assert.equal(f.find(1, "a"), file);
  assert.equal(f.list(1).size, 3);
});

test("readdirplus counts a lookup for each entry that was taken, and none for . and ..", (f) => {
  const directory = f.mkdir(1, "d");
  const inodes = ["a", "b", "c"].map((name) => f.create(directory, name));
  inodes.forEach((inode) => f.namespace.forget(inode, 1));
  f.read(directory, { cookie: 0, plus: true, slice: 4 });
  assert.deepEqual(inodes.map((inode) => f.lookups.get(inode)), [1, 1, 0]);
  assert.equal(f.lookups.get(directory), 1);
  assert.equal(f.lookups.get(1), 0);
});

test("who lists thousands of names and looks none up is given no attributes, until it does", (f) => {
  const directories = [1, 2, 3, 4].map((at) => f.mkdir(1, `d${at}`));
  f.mkdir(directories[3], "below");
  const inodes: number[] = [];
  f.database.transaction(() => {
    for (const directory of directories) {
      for (let i = 0; i < 1000; i++) inodes.push(f.create(directory, `name ${i}`));
    }
  });
  const forgetAll = () =>
    inodes.forEach((inode) => f.namespace.forget(inode, f.lookups.get(inode)));
  forgetAll();
  const known = () => inodes.filter((inode) => f.lookups.get(inode) > 0);
  const walk = () => directories.map((directory) => f.list(directory, { plus: true, slice: 400 }));

  const first = walk();
  assert.deepEqual(first.map(({ size }) => size), [1002, 1002, 1002, 1003]);
  assert.ok(known().length >= 1900 && known().length < 2000, `${known().length}`);
  forgetAll();
  // Whoever walks a tree looks up the directories in it.
  f.find(directories[3], "below");
  assert.deepEqual(walk(), first);
  assert.deepEqual(known(), [], "attributes were given to who has no use for them");

  for (let i = 0; i < 1000; i++) f.find(directories[3], `name ${i}`);
  assert.deepEqual(walk(), first);
  assert.ok(known().length > 3900, `${known().length}`);
  // Each of them as often as the kernel was told of it, and no more.
  assert.ok(known().every((inode) => f.lookups.get(inode) === 1));
});

test("of what the kernel knows it is told nothing again by a listing", (f) => {
  const directory = f.mkdir(1, "d");
  const [kept, dropped] = ["kept", "dropped"].map((name) => f.create(directory, name));
  f.namespace.forget(dropped, 1);
  f.list(directory, { plus: true });
  f.list(directory, { plus: true });
  assert.deepEqual([kept, dropped].map((inode) => f.lookups.get(inode)), [1, 1]);
});

test("where another mount makes the changes, what the kernel knows is told again: it holds for a second", (f) => {
  const directory = f.mkdir(1, "d");
  const inode = f.create(directory, "a");
  const following = f.following();
  f.read(directory, { cookie: 0, plus: true, slice: 4, namespace: following });
  assert.equal(f.lookups.get(inode), 2);
});

test("a page with attributes ends after a millisecond's worth of names, and one of names does not", (f) => {
  const directory = f.mkdir(1, "d");
  f.database.transaction(() => {
    for (let i = 0; i < 1000; i++) f.create(directory, `name ${i}`);
  });
  assert.equal(f.read(directory, { cookie: 0, plus: true, slice: 900 }).length, 206);
  assert.equal(f.read(directory, { cookie: 0, slice: 900 }).length, 900);
});

test("the C library reads directories with 64 KiB at a time, by their block size", (f) => {
  const directory = f.mkdir(1, "d");
  assert.equal(f.stat(directory).blockSize, 65536);
  assert.equal(f.stat(f.create(directory, "a")).blockSize, 4096);
});

test("paths lead to inodes and back, through a tree deeper than any stack", (f) => {
  let deepest = 1;
  for (let depth = 0; depth < 5000; depth++) deepest = f.mkdir(deepest, "d");
  const names = f.namespace.pathOf(deepest)!;
  assert.equal(names.length, 5000);
  assert.equal(f.namespace.resolve(names), deepest);
  assert.equal(f.namespace.resolve([bytes("x")]), undefined);
  assert.deepEqual(f.namespace.pathOf(1), []);
  assert.equal(f.namespace.pathOf(temporary(f).id), undefined);
});

test("children lists names by age without . and ..", (f) => {
  f.create(1, "b");
  f.mkdir(1, "a");
  const listed = f.namespace.children({ inode: 1, after: 0, limit: 10 });
  assert.deepEqual(listed.map(({ name, type }) => [text(name), type]), [["b", 8], ["a", 4]]);
});

test("of 20,000 names that stay, each is read exactly once while others come, go and are replaced", (f) => {
  f.database.transaction(() => {
    for (let i = 0; i < 20_000; i++) f.create(1, `stays ${i}`);
  });
  f.mkdir(1, "subdirectory");
  const seen = new Map<string, number>();
  let cookie = 0;
  for (let round = 0;; round++) {
    const part = f.read(1, { cookie, plus: round % 2 === 0, slice: 700 });
    if (part.length === 0) break;
    for (const { name } of part) seen.set(text(name), (seen.get(text(name)) ?? 0) + 1);
    cookie = part[part.length - 1].cookie;
    if (round > 40) continue;
    // Before the reader, behind it, and under a name that it has yet to meet or has met already.
    f.create(1, `comes ${round}`);
    if (round > 2) f.unlink(1, `comes ${round - 2}`);
    f.create(1, `replacement ${round}`);
    f.rename([1, `replacement ${round}`], [1, `stays ${round * 480}`]);
    f.rename([1, `stays ${round * 480 + 1}`], [1, `stays ${round * 480 + 2}`], 2);
  }
  for (let i = 0; i < 20_000; i++) assert.equal(seen.get(`stays ${i}`), 1, `stays ${i}`);
  assert.equal(seen.get("."), 1);
  assert.equal(seen.get(".."), 1);
});

test("a file handle finds any inode that has a name, and the parent of a directory", (f) => {
  const directory = f.mkdir(1, "d");
  const inode = f.create(directory, "f");
  assert.equal(f.find(inode, "."), inode);
  assert.equal(f.find(directory, "."), directory);
  assert.equal(f.find(directory, ".."), 1);
  assert.equal(f.find(1, ".."), 1);
  refuses(Errno.ENOTDIR, () => f.find(inode, ".."));
  f.unlink(directory, "f");
  refuses(Errno.ENOENT, () => f.find(inode, "."));
  refuses(Errno.ENOENT, () => f.find(12_345, "."));
});
