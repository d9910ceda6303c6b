/** rename(2): the cases that file systems get wrong. */
import assert from "node:assert/strict";
import { Errno } from "../../../src/domain/errno.ts";
import { FsError } from "../../../src/domain/errors.ts";
import { PARKED, RenameFlag } from "../../../src/fuse/operations.ts";
import { bytes, NamespaceFixture } from "../../harness/namespace_fixture.ts";

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

test("renaming one name of a file to another name of it does nothing and succeeds", (f) => {
  const file = f.create(1, "a");
  f.link(file, 1, "b");
  const before = f.stat(1);
  f.tick();
  f.rename([1, "a"], [1, "b"]);
  f.rename([1, "a"], [1, "b"], RenameFlag.EXCHANGE);
  assert.equal(f.find(1, "a"), file);
  assert.equal(f.find(1, "b"), file);
  assert.equal(f.stat(file).nlink, 2);
  assert.deepEqual(f.stat(1), before);
  assert.deepEqual(f.content.calls, []);
});

test("renaming a name to itself succeeds, also for a directory", (f) => {
  const directory = f.mkdir(1, "d");
  f.rename([1, "d"], [1, "d"]);
  assert.equal(f.find(1, "d"), directory);
});

test("a file that is replaced while open lives on without a name until it is closed and forgotten", (f) => {
  const source = f.create(1, "new");
  const victim = f.create(1, "old");
  f.content.open.set(victim, 1);
  f.inodes.require(victim).holds++;
  f.rename([1, "new"], [1, "old"]);
  assert.equal(f.find(1, "old"), source);
  assert.equal(f.find(1, "new"), undefined);
  assert.equal(f.stat(victim).nlink, 0);
  f.assertIntact();
  f.namespace.forget(victim, 1);
  assert.deepEqual(f.content.discarded, []);
  f.content.open.delete(victim);
  const record = f.inodes.require(victim);
  record.holds--;
  f.namespace.released(record);
  assert.deepEqual(f.content.discarded, [victim]);
  assert.deepEqual(f.content.calls, [
    `beforeReplace ${source}`,
    `replaced ${source} ${victim} old`,
  ]);
});

test("content of the source is made durable before it replaces, and nothing changes while that is awaited", (f) => {
  const source = f.create(1, "new");
  const victim = f.create(1, "old");
  f.content.parksNext = true;
  assert.equal(f.rename([1, "new"], [1, "old"]), PARKED);
  assert.equal(f.find(1, "old"), victim);
  assert.equal(f.find(1, "new"), source);
  assert.equal(f.rename([1, "new"], [1, "old"]), undefined);
  assert.equal(f.find(1, "old"), source);
});

test("a symlink that replaces a file counts as the end of the file's last name", (f) => {
  const victim = f.create(1, "old");
  const request = { ...f.header(1), name: bytes("new"), target: bytes("t") };
  f.namespace.symlink(request);
  f.rename([1, "new"], [1, "old"]);
  assert.deepEqual(f.content.calls, [`unlinked ${victim} old`]);
});

test("a directory replaces an empty directory, and not a full one or a file", (f) => {
  const source = f.mkdir(1, "source");
  f.mkdir(source, "child");
  const elsewhere = f.mkdir(1, "elsewhere");
  const victim = f.mkdir(elsewhere, "victim");
  f.create(victim, "file");
  f.create(1, "file");
  refuses(Errno.ENOTEMPTY, () => f.rename([1, "source"], [elsewhere, "victim"]));
  refuses(Errno.ENOTDIR, () => f.rename([1, "source"], [1, "file"]));
  refuses(Errno.EISDIR, () => f.rename([1, "file"], [1, "source"]));
  f.unlink(victim, "file");
  f.rename([1, "source"], [elsewhere, "victim"]);
  assert.equal(f.find(elsewhere, "victim"), source);
  assert.equal(f.stat(victim).nlink, 0);
  assert.equal(f.stat(elsewhere).nlink, 3);
  assert.equal(f.stat(1).nlink, 3);
  assert.equal(f.list(source).get(".."), elsewhere);
});

test("a directory cannot become its own descendant, however deep", (f) => {
  const top = f.mkdir(1, "top");
  let deepest = top;
  for (let depth = 0; depth < 500; depth++) deepest = f.mkdir(deepest, "d");
  refuses(Errno.EINVAL, () => f.rename([1, "top"], [deepest, "x"]));
  refuses(Errno.EINVAL, () => f.rename([1, "top"], [top, "x"]));
  refuses(Errno.EINVAL, () => f.rename([1, "top"], [top, "d"], RenameFlag.EXCHANGE));
});

test("nothing replaces, or trades places with, a directory that it lies in", (f) => {
  const outer = f.mkdir(1, "outer");
  const inner = f.mkdir(outer, "inner");
  f.create(inner, "file");
  refuses(Errno.ENOTEMPTY, () => f.rename([inner, "file"], [1, "outer"]));
  refuses(Errno.EINVAL, () => f.rename([inner, "file"], [1, "outer"], RenameFlag.EXCHANGE));
});

test("exchanging a directory with a file across directories moves a link between the parents", (f) => {
  const left = f.mkdir(1, "left");
  const right = f.mkdir(1, "right");
  const directory = f.mkdir(left, "x");
  const file = f.create(right, "y");
  f.tick();
  f.rename([left, "x"], [right, "y"], RenameFlag.EXCHANGE);
  assert.equal(f.find(left, "x"), file);
  assert.equal(f.find(right, "y"), directory);
  assert.equal(f.stat(left).nlink, 2);
  assert.equal(f.stat(right).nlink, 3);
  assert.equal(f.list(directory).get(".."), right);
  for (const inode of [left, right]) assert.deepEqual(f.stat(inode).mtime, f.clock.now());
  for (const inode of [directory, file]) assert.deepEqual(f.stat(inode).ctime, f.clock.now());
  assert.deepEqual(f.content.calls, []);
});

test("NOREPLACE refuses an existing name, EXCHANGE a missing one, and both at once are invalid", (f) => {
  f.create(1, "a");
  f.create(1, "b");
  refuses(Errno.EEXIST, () => f.rename([1, "a"], [1, "b"], RenameFlag.NOREPLACE));
  refuses(Errno.ENOENT, () => f.rename([1, "a"], [1, "c"], RenameFlag.EXCHANGE));
  refuses(Errno.EINVAL, () => f.rename([1, "a"], [1, "c"], 3));
  f.rename([1, "a"], [1, "c"], RenameFlag.NOREPLACE);
});

test("a directory takes more subdirectories than a file may have names", (f) => {
  const full = f.mkdir(1, "full");
  f.mkdir(1, "source");
  const record = f.inodes.require(full);
  record.nlink = 65_000;
  f.mkdir(full, "d");
  f.rename([1, "source"], [full, "e"]);
  assert.equal(f.stat(full).nlink, 65_002);
  record.nlink = 4;
  f.inodes.write(record);
});

test("nothing can be renamed into or out of a directory that was removed", (f) => {
  const gone = f.mkdir(1, "gone");
  f.create(1, "a");
  f.rmdir(1, "gone");
  refuses(Errno.ENOENT, () => f.rename([1, "a"], [gone, "a"]));
  refuses(Errno.ENOENT, () => f.rename([gone, "a"], [1, "b"]));
});

test("a failure in the middle of a replacing rename leaves every record as its row says", (f) => {
  const source = f.create(1, "new");
  const victim = f.create(1, "old");
  const held = f.inodes.require(victim);
  held.holds++;
  const before = [1, source, victim].map((inode) => f.stat(inode));
  f.tick();
  f.content.fault = new Error("the disk is gone");
  assert.throws(() => f.rename([1, "new"], [1, "old"]), f.content.fault);
  assert.equal(held.nlink, 1);
  assert.equal(f.inodes.require(victim), held);
  assert.deepEqual([1, source, victim].map((inode) => f.stat(inode)), before);
  assert.equal(f.find(1, "old"), victim);
  f.content.fault = undefined;
  held.holds--;
  f.rename([1, "new"], [1, "old"]);
  assert.equal(f.find(1, "old"), source);
});
