/** The table of request layouts: what the kernel sends, and what the file system must see. */
import type { KernelSimulator } from "../../harness/kernel_simulator.ts";
import type { Method } from "./recording_filesystem.ts";

const name = (text: string) => new TextEncoder().encode(text);
const big = 2 ** 52 + 3;

interface Row {
  what: string;
  ask: (kernel: KernelSimulator) => unknown;
  method: Method;
  request: Record<string, unknown>;
}

/** One row per request layout: what the kernel sends, which method is called with what. */
export const rows: readonly Row[] = [
  {
    what: "LOOKUP",
    ask: (kernel) => kernel.lookup(big, "naïve"),
    method: "lookup",
    request: { inode: big, name: name("naïve") },
  },
  {
    what: "LOOKUP of a name that is not UTF-8",
    ask: (kernel) => kernel.lookup(1, new Uint8Array([0xff, 0x01, 0xfe])),
    method: "lookup",
    request: { name: new Uint8Array([0xff, 0x01, 0xfe]) },
  },
  {
    what: "GETATTR without a handle",
    ask: (kernel) => kernel.getattr(5),
    method: "getattr",
    request: { inode: 5, handle: undefined },
  },
  {
    what: "GETATTR through a handle",
    ask: (kernel) => kernel.getattr(5, big),
    method: "getattr",
    request: { handle: big },
  },
  {
    what: "SETATTR of everything",
    ask: (kernel) =>
      kernel.setattr(5, {
        mode: 0o104755,
        uid: 4_294_967_294,
        gid: 12,
        size: big,
        atime: { seconds: -3, nanoseconds: 999_999_999 },
        mtime: { seconds: 2 ** 34, nanoseconds: 1 },
        ctime: { seconds: 7, nanoseconds: 8 },
        handle: 9,
      }),
    method: "setattr",
    request: {
      handle: 9,
      mode: 0o104755,
      newOwner: 4_294_967_294,
      newGroup: 12,
      size: big,
      atime: { seconds: -3, nanoseconds: 999_999_999 },
      mtime: { seconds: 2 ** 34, nanoseconds: 1 },
      ctime: { seconds: 7, nanoseconds: 8 },
      killPrivileges: false,
    },
  },
  {
    what: "SETATTR of times to now",
    ask: (kernel) => kernel.setattr(5, { atime: "now", mtime: "now" }),
    method: "setattr",
    request: { atime: "now", mtime: "now", ctime: undefined, size: undefined, mode: undefined },
  },
  {
    what: "SETATTR of times beyond 2^53 seconds, clamped as Linux clamps",
    ask: (kernel) =>
      kernel.raw(4, 5, setattrTimes(0x7fff_ffff_ffff_ffffn, -0x8000_0000_0000_0000n)),
    method: "setattr",
    request: {
      atime: { seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 0 },
      mtime: { seconds: -Number.MAX_SAFE_INTEGER, nanoseconds: 0 },
    },
  },
  {
    what: "an empty SETATTR, which kills privileges",
    ask: (kernel) => kernel.setattr(5),
    method: "setattr",
    request: { killPrivileges: true, mode: undefined, size: undefined },
  },
  {
    what: "SETATTR that truncates and kills privileges",
    ask: (kernel) => kernel.setattr(5, { size: 0, killPrivileges: true }),
    method: "setattr",
    request: { size: 0, killPrivileges: true },
  },
  {
    what: "READLINK",
    ask: (kernel) => kernel.readlink(5),
    method: "readlink",
    request: { inode: 5 },
  },
  {
    what: "SYMLINK",
    ask: (kernel) => kernel.symlink(1, { name: "l", target: "../a b" }),
    method: "symlink",
    request: { inode: 1, name: name("l"), target: name("../a b") },
  },
  {
    what: "MKNOD",
    ask: (kernel) => kernel.mknod(1, { name: "n", mode: 0o020666, rdev: 0xfff1_2345, umask: 0o27 }),
    method: "mknod",
    request: { mode: 0o020666, rdev: 0xfff1_2345, umask: 0o27, name: name("n") },
  },
  {
    what: "MKDIR",
    ask: (kernel) => kernel.mkdir(1, { name: "d", mode: 0o777, umask: 0o22 }),
    method: "mkdir",
    request: { mode: 0o777, umask: 0o22, name: name("d") },
  },
  {
    what: "UNLINK",
    ask: (kernel) => kernel.unlink(1, "a"),
    method: "unlink",
    request: { inode: 1, name: name("a") },
  },
  {
    what: "RMDIR",
    ask: (kernel) => kernel.rmdir(1, "d"),
    method: "rmdir",
    request: { inode: 1, name: name("d") },
  },
  {
    what: "RENAME",
    ask: (kernel) => kernel.rename(1, { name: "a", newParent: big, newName: "b" }),
    method: "rename",
    request: { name: name("a"), newParent: big, newName: name("b"), flags: 0 },
  },
  {
    what: "RENAME2",
    ask: (kernel) => kernel.rename(1, { name: "a", newParent: 3, newName: "b", flags: 2 }),
    method: "rename",
    request: { name: name("a"), newParent: 3, newName: name("b"), flags: 2 },
  },
  {
    what: "LINK",
    ask: (kernel) => kernel.link(1, { name: "h", target: big }),
    method: "link",
    request: { inode: 1, target: big, name: name("h") },
  },
  {
    what: "OPEN",
    ask: (kernel) => kernel.open(5, { flags: 0o101002, openFlags: 1 }),
    method: "open",
    request: { inode: 5, flags: 0o101002, killPrivileges: true },
  },
  {
    what: "CREATE",
    ask: (kernel) =>
      kernel.create(1, { name: "c", flags: 0o301, mode: 0o100666, umask: 0o77, openFlags: 0 }),
    method: "create",
    request: {
      flags: 0o301,
      mode: 0o100666,
      umask: 0o77,
      killPrivileges: false,
      name: name("c"),
    },
  },
  {
    what: "TMPFILE, whose name means nothing",
    ask: (kernel) => kernel.tmpfile(1, { mode: 0o100600 }),
    method: "tmpfile",
    request: { inode: 1, name: new Uint8Array(0), mode: 0o100600 },
  },
  {
    what: "READ",
    ask: (kernel) => kernel.read(5, { handle: 3, offset: big, size: 4096 }),
    method: "read",
    request: { handle: 3, offset: big, size: 4096 },
  },
  {
    what: "WRITE",
    ask: (kernel) => kernel.write(5, { handle: 3, offset: big, data: name("hello") }),
    method: "write",
    request: {
      handle: 3,
      offset: big,
      data: name("hello"),
      fromCache: false,
      killPrivileges: false,
    },
  },
  {
    what: "WRITE from the page cache that kills privileges",
    ask: (kernel) =>
      kernel.write(5, { handle: 3, offset: 0, data: new Uint8Array(0), writeFlags: 5 }),
    method: "write",
    request: { data: new Uint8Array(0), fromCache: true, killPrivileges: true },
  },
  {
    what: "STATFS",
    ask: (kernel) => kernel.statfs(),
    method: "statfs",
    request: { inode: 1 },
  },
  {
    what: "RELEASE",
    ask: (kernel) => kernel.release(5, { handle: big, flags: 2 }),
    method: "release",
    request: { handle: big, flags: 2 },
  },
  {
    what: "FSYNC",
    ask: (kernel) => kernel.fsync(5, { handle: 3 }),
    method: "fsync",
    request: { handle: 3, dataOnly: false },
  },
  {
    what: "FSYNC of data",
    ask: (kernel) => kernel.fsync(5, { handle: 3, dataOnly: true }),
    method: "fsync",
    request: { dataOnly: true },
  },
  {
    what: "FSYNCDIR",
    ask: (kernel) => kernel.fsyncdir(1),
    method: "fsyncdir",
    request: { inode: 1, handle: 0, dataOnly: false },
  },
  {
    what: "FLUSH",
    ask: (kernel) => kernel.flush(5, 3),
    method: "flush",
    request: { inode: 5, handle: 3 },
  },
  {
    what: "SETXATTR",
    ask: (kernel) =>
      kernel.setxattr(5, { name: "user.a", value: new Uint8Array([0, 1, 0]), flags: 1 }),
    method: "setxattr",
    request: {
      name: name("user.a"),
      value: new Uint8Array([0, 1, 0]),
      flags: 1,
      killSetgid: false,
    },
  },
  {
    what: "GETXATTR",
    ask: (kernel) => kernel.getxattr(5, { name: "user.a" }),
    method: "getxattr",
    request: { name: name("user.a") },
  },
  {
    what: "LISTXATTR",
    ask: (kernel) => kernel.listxattr(5),
    method: "listxattr",
    request: { inode: 5 },
  },
  {
    what: "REMOVEXATTR",
    ask: (kernel) => kernel.removexattr(5, "user.a"),
    method: "removexattr",
    request: { name: name("user.a") },
  },
  {
    what: "READDIR",
    ask: (kernel) => kernel.readdir(1, { cookie: big }),
    method: "readdir",
    request: { handle: 0, cookie: big },
  },
  {
    what: "READDIRPLUS",
    ask: (kernel) => kernel.readdirplus(1, { cookie: 7 }),
    method: "readdir",
    request: { handle: 0, cookie: 7 },
  },
  {
    what: "FALLOCATE",
    ask: (kernel) => kernel.fallocate(5, { handle: 3, offset: 4096, length: big, mode: 3 }),
    method: "fallocate",
    request: { handle: 3, offset: 4096, length: big, mode: 3 },
  },
  {
    what: "LSEEK",
    ask: (kernel) => kernel.lseek(5, { handle: 3, offset: big, whence: 4 }),
    method: "lseek",
    request: { handle: 3, offset: big, whence: 4 },
  },
  {
    what: "COPY_FILE_RANGE",
    ask: (kernel) =>
      kernel.copyFileRange(5, {
        handle: 3,
        offset: 1,
        targetInode: 6,
        targetHandle: 4,
        targetOffset: 2,
        length: 10,
      }),
    method: "copyFileRange",
    request: { handle: 3, offset: 1, targetInode: 6, targetHandle: 4, targetOffset: 2, length: 10 },
  },
  {
    what: "COPY_FILE_RANGE_64 of all there is, clamped to what a file can hold",
    ask: (kernel) =>
      kernel.copyFileRange(5, {
        handle: 3,
        offset: 100,
        targetInode: 6,
        targetHandle: 4,
        targetOffset: 2,
        length: 2n ** 63n - 1n,
        wide: true,
      }),
    method: "copyFileRange",
    request: { length: Number.MAX_SAFE_INTEGER - 100 },
  },
  {
    what: "SYNCFS",
    ask: (kernel) => kernel.raw(50, 1, new Uint8Array(8)),
    method: "syncfs",
    request: { inode: 1 },
  },
];

function setattrTimes(atime: bigint, mtime: bigint): Uint8Array {
  const body = new Uint8Array(88);
  const view = new DataView(body.buffer);
  view.setUint32(0, 0x30, true);
  view.setBigInt64(32, atime, true);
  view.setBigInt64(40, mtime, true);
  return body;
}
