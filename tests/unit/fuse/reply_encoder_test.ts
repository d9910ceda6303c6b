import assert from "node:assert/strict";
import type { DirectoryFiller, ReadRequest } from "../../../src/fuse/operations.ts";
import * as libc from "../../../src/runtime/libc.ts";
import { rig, someAttributes, someEntry } from "./recording_filesystem.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const seenEntry = {
  inode: someAttributes.inode,
  generation: 1,
  entryTimeoutMs: 86_400_000,
  attributeTimeoutMs: 1500.25,
  attributes: someAttributes,
};

Deno.test("every reply that names an inode carries it exactly, to the last bit and nanosecond", () => {
  const { kernel, answers } = rig();
  for (const method of ["lookup", "symlink", "mknod", "mkdir", "link"] as const) {
    answers[method] = someEntry;
  }
  assert.deepEqual(kernel.lookup(1, "a").value, seenEntry);
  assert.deepEqual(kernel.symlink(1, { name: "a", target: "b" }).value, seenEntry);
  assert.deepEqual(kernel.mknod(1, { name: "a", mode: 0o100600 }).value, seenEntry);
  assert.deepEqual(kernel.mkdir(1, { name: "a" }).value, seenEntry);
  assert.deepEqual(kernel.link(1, { name: "a", target: 5 }).value, seenEntry);
  assert.deepEqual([...kernel.lookups], [[someAttributes.inode, 5]]);
});

Deno.test("a negative entry is inode 0 with a timeout, and nothing of the reply before shows", () => {
  const { kernel, answers } = rig();
  answers.lookup = someEntry;
  kernel.lookup(1, "a");
  answers.lookup = { negative: true, entryTimeoutMs: 5000 };
  const { inode, entryTimeoutMs, attributes } = kernel.lookup(1, "b").value;
  assert.deepEqual({ inode, entryTimeoutMs, mode: attributes.mode }, {
    inode: 0,
    entryTimeoutMs: 5000,
    mode: 0,
  });
});

Deno.test("an entry without an inode is a defect, not a negative answer", () => {
  const { kernel, answers, defects } = rig();
  answers.lookup = { ...someEntry, attributes: { ...someAttributes, inode: 0 } };
  assert.equal(kernel.lookup(1, "a").errno, 5);
  assert.equal(defects.length, 1);
});

Deno.test("attributes answer GETATTR and SETATTR", () => {
  const { kernel, answers } = rig();
  answers.getattr = answers.setattr = { attributes: someAttributes, attributeTimeoutMs: 0 };
  const expected = { attributeTimeoutMs: 0, attributes: someAttributes };
  assert.deepEqual(kernel.getattr(5).value, expected);
  assert.deepEqual(kernel.setattr(5, { mode: 0o644 }).value, expected);
});

Deno.test("open replies carry handle, flags and backing id", () => {
  const { kernel, answers } = rig({ session: { passthrough: true } });
  const backing = libc.open("/dev/null", libc.O.RDWR);
  kernel.io.register(77, backing);
  libc.close(backing);
  const open = { handle: 2 ** 52 + 1, flags: 0x81, backingId: 77 };
  answers.open = open;
  answers.create = answers.tmpfile = { entry: someEntry, open: { handle: 4, flags: 2 } };
  assert.deepEqual(kernel.open(5).value, open);
  const created = { entry: seenEntry, open: { handle: 4, flags: 2, backingId: 0 } };
  assert.deepEqual(kernel.create(1, { name: "c" }).value, created);
  assert.deepEqual(kernel.tmpfile(1).value, created);
  kernel.io.disconnect();
});

Deno.test("content, counts and offsets come back as the file system said", () => {
  const { kernel, answers } = rig();
  answers.read = (request: ReadRequest, into: Uint8Array) => {
    assert.equal(into.length, request.size);
    into.set(bytes("hello"));
    return 5;
  };
  answers.write = 3;
  answers.readlink = bytes("../target");
  answers.lseek = 2 ** 52 + 9;
  answers.copyFileRange = 2 ** 31;
  const range = { handle: 1, offset: 0, targetInode: 6, targetHandle: 2, targetOffset: 0 };
  assert.deepEqual(kernel.read(5, { handle: 1, offset: 0, size: 4096 }).value, bytes("hello"));
  assert.equal(kernel.write(5, { handle: 1, offset: 0, data: bytes("abc") }).value, 3);
  assert.deepEqual(kernel.readlink(5).value, bytes("../target"));
  assert.equal(kernel.lseek(5, { handle: 1, offset: 0, whence: 3 }).value, 2 ** 52 + 9);
  assert.equal(kernel.copyFileRange(5, { ...range, length: 2 ** 31 }).value, 2 ** 31);
  assert.equal(kernel.copyFileRange(5, { ...range, length: 2 ** 31, wide: true }).value, 2 ** 31);
});

Deno.test("a read of a whole megabyte fits", () => {
  const { kernel, answers } = rig();
  answers.read = (_request: ReadRequest, into: Uint8Array) => {
    into.fill(7);
    return into.length;
  };
  const { value } = kernel.read(5, { handle: 1, offset: 0, size: 1 << 20 });
  assert.equal(value.length, 1 << 20);
  assert.ok(value.every((byte) => byte === 7));
  assert.equal(kernel.read(5, { handle: 1, offset: 0, size: (1 << 20) + 1 }).errno, 22);
});

Deno.test("more bytes than were asked for are a defect", () => {
  const { kernel, answers, defects } = rig();
  answers.read = 4097;
  answers.write = 4;
  assert.equal(kernel.read(5, { handle: 1, offset: 0, size: 4096 }).errno, 5);
  assert.equal(kernel.write(5, { handle: 1, offset: 0, data: bytes("abc") }).errno, 5);
  assert.equal(defects.length, 2);
});

Deno.test("statfs shows what the file system says", () => {
  const { kernel, answers } = rig();
  answers.statfs = {
    blocks: 2 ** 52,
    freeBlocks: 5,
    availableBlocks: 4,
    files: 3,
    freeFiles: 2 ** 52 - 3,
    blockSize: 4096,
    maximumNameLength: 255,
  };
  assert.deepEqual(kernel.statfs().value, {
    blocks: 2 ** 52,
    free: 5,
    available: 4,
    files: 3,
    freeFiles: 2 ** 52 - 3,
    blockSize: 4096,
    nameLength: 255,
    fragmentSize: 4096,
  });
});

Deno.test("xattr sizes and ERANGE are answered by the session", () => {
  const { kernel, answers } = rig();
  answers.getxattr = bytes("value");
  answers.listxattr = bytes("user.a\0user.b\0");
  assert.equal(kernel.getxattrSize(5, "user.a").value, 5);
  assert.deepEqual(kernel.getxattr(5, { name: "user.a", room: 5 }).value, bytes("value"));
  assert.equal(kernel.getxattr(5, { name: "user.a", room: 4 }).errno, 34);
  assert.equal(kernel.listxattrSize(5).value, 14);
  assert.deepEqual(kernel.listxattr(5, 14).value, bytes("user.a\0user.b\0"));
  assert.equal(kernel.listxattr(5, 13).errno, 34);
  answers.getxattr = new Uint8Array(0);
  assert.equal(kernel.getxattrSize(5, "user.a").value, 0);
  assert.equal(kernel.getxattr(5, { name: "user.a", room: 5 }).value.length, 0);
});

Deno.test("READDIR takes names until the kernel's buffer is full", () => {
  const { kernel, answers } = rig();
  const added: boolean[] = [];
  answers.readdir = (_request: unknown, filler: DirectoryFiller) => {
    assert.equal(filler.plus, false);
    added.push(filler.add(bytes("."), 1, 4, 1));
    added.push(filler.add(bytes("12345678"), 2 ** 52 + 1, 8, 2 ** 52 + 2));
    added.push(filler.add(bytes("123456789"), 3, 8, 9));
  };
  assert.deepEqual(kernel.readdir(1, { size: 64 }).value, [
    { name: ".", inode: 1, type: 4, cookie: 1 },
    { name: "12345678", inode: 2 ** 52 + 1, type: 8, cookie: 2 ** 52 + 2 },
  ]);
  assert.deepEqual(added, [true, true, false]);
  assert.equal(kernel.readdir(1, { size: 104 }).value.length, 3);
});

Deno.test("READDIRPLUS carries entries; dots go without a lookup", () => {
  const { kernel, answers } = rig();
  answers.readdir = (_request: unknown, filler: DirectoryFiller) => {
    assert.equal(filler.plus, true);
    assert.ok(filler.add(bytes(".."), 9, 4, 2));
    assert.ok(filler.addEntry(bytes("file"), someEntry, 17));
    assert.equal(filler.addEntry(bytes("too much"), someEntry, 18), false);
  };
  const [dots, file, ...rest] = kernel.readdirplus(1, { size: 400 }).value;
  assert.deepEqual([dots.name, dots.inode, dots.cookie, dots.entry?.inode], ["..", 9, 2, 0]);
  assert.deepEqual(file, {
    name: "file",
    inode: someAttributes.inode,
    type: 8,
    cookie: 17,
    entry: seenEntry,
  });
  assert.deepEqual(rest, []);
  assert.deepEqual([...kernel.lookups], [[someAttributes.inode, 1]]);
});

Deno.test("a name without attributes shows nothing of the reply before it", () => {
  const { kernel, answers } = rig();
  answers.readdir = (_request: unknown, filler: DirectoryFiller) =>
    void filler.addEntry(bytes("file"), someEntry, 17);
  kernel.readdirplus(1);
  answers.readdir = (_request: unknown, filler: DirectoryFiller) =>
    void filler.add(bytes("file"), someAttributes.inode, 8, 17);
  const [{ entry, ...rest }] = kernel.readdirplus(1).value;
  assert.deepEqual(rest, { name: "file", inode: someAttributes.inode, type: 8, cookie: 17 });
  assert.ok(JSON.stringify(entry).match(/[1-9]/) === null, JSON.stringify(entry));
  assert.deepEqual([...kernel.lookups], [[someAttributes.inode, 1]]);
});

Deno.test("a listing is told about how many names fit, and always of a few", () => {
  const { kernel, answers } = rig();
  const rooms: number[] = [];
  answers.readdir = (_request: unknown, filler: DirectoryFiller) => {
    rooms.push(filler.room);
    for (let i = 1; filler.add(bytes("name"), 3, 8, i); i++);
    rooms.push(filler.room);
  };
  const names = kernel.readdir(1, { size: 32768 }).value.length;
  const plus = kernel.readdirplus(1, { size: 32768 }).value.length;
  assert.deepEqual([names, plus, ...rooms], [1024, 204, 911, 16, 200, 16]);
});

Deno.test("a name given as text is sent as its UTF-8, and is as long", () => {
  const { kernel, answers } = rig();
  const texts = ["plain", "\u00e9\u{1f600}"];
  answers.readdir = (_request: unknown, filler: DirectoryFiller) => {
    for (const [at, text] of texts.entries()) {
      if (filler.plus) assert.ok(filler.addEntry(text, someEntry, at + 1));
      else assert.ok(filler.add(text, 9, 8, at + 1));
    }
  };
  assert.deepEqual(kernel.readdir(1).value.map(({ name }) => name), texts);
  assert.deepEqual(kernel.readdirplus(1).value.map(({ name }) => name), texts);
});

Deno.test("an empty directory listing is the end of the directory", () => {
  const { kernel } = rig();
  assert.deepEqual(kernel.readdir(1).value, []);
  assert.deepEqual(kernel.readdirplus(1).value, []);
});

Deno.test("entries with attributes are refused outside READDIRPLUS, where nobody would forget them", () => {
  const { kernel, answers, defects } = rig();
  answers.readdir = (_request: unknown, filler: DirectoryFiller) =>
    void filler.addEntry(bytes("a"), someEntry, 1);
  assert.equal(kernel.readdir(1).errno, 5);
  assert.equal(defects.length, 1);
});
