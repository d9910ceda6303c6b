/**
 * What the manual pages say of each call's errors. Each case is a list of steps; `expect` is what both
 * file systems must answer.
 */
import type { Step } from "./generator.ts";
import {
  chmod,
  fallocate,
  FILE,
  link,
  make,
  mkdir,
  mknod,
  open,
  rename,
  rmdir,
  setxattr,
  symlink,
  truncate,
  unlink,
  utimens,
  write,
} from "./steps.ts";

const NO_TIME = "omit";
const LONG = "n".repeat(256);
const MAXIMUM_FILE_SIZE = 2 ** 44 - 4096;

/** Every kind of thing under every other kind of name, in all three ways. */
function renameMatrix(): Step[] {
  const kinds = ["file", "directory", "full", "link", "pipe", "missing"];
  const create = (kind: string, path: string): Step[] => {
    switch (kind) {
      case "file":
        return [make(path)];
      case "directory":
        return [mkdir(path)];
      case "full":
        return [mkdir(path), make(`${path}/inside`)];
      case "link":
        return [symlink(path, "nowhere")];
      case "pipe":
        return [mknod(path, 0o010644)];
      default:
        return [];
    }
  };
  const steps = [mkdir("a"), mkdir("b")];
  for (const flags of [0, 1, 2]) {
    for (const source of kinds) {
      for (const target of kinds) {
        const [from, to] = [`a/${source}-${target}-${flags}`, `b/${source}-${target}-${flags}`];
        steps.push(...create(source, from), ...create(target, to), rename(from, to, { flags }));
      }
    }
  }
  return steps;
}

export const ERRNO_CASES: Record<string, Step[]> = {
  "ENAMETOOLONG: names end at 255 bytes, paths at 4095": [
    make(LONG, FILE, { expect: "ENAMETOOLONG" }),
    make(LONG.slice(1), FILE, { expect: "open" }),
    mkdir(LONG, 0o755, { expect: "ENAMETOOLONG" }),
    symlink("s", "t".repeat(4096), { expect: "ENAMETOOLONG" }),
    symlink("s", "t".repeat(4095), { expect: null }),
    rename(LONG.slice(1), LONG, { expect: "ENAMETOOLONG" }),
    link(LONG.slice(1), LONG, { expect: "ENAMETOOLONG" }),
    unlink(LONG, { expect: "ENAMETOOLONG" }),
    unlink("./".repeat(2048) + "a", { expect: "ENAMETOOLONG" }),
    unlink("\xff\xfe", { expect: "ENOENT" }),
    make("\xff\xfe\n\x01", FILE, { expect: "open" }),
  ],
  "ELOOP: links that lead nowhere, and links that may not be followed": [
    symlink("loop", "loop"),
    symlink("a", "b"),
    symlink("b", "a"),
    open("loop", "RDONLY", { expect: "ELOOP" }),
    open("a/x", "RDONLY", { expect: "ELOOP" }),
    make("file"),
    symlink("good", "file"),
    open("good", "RDONLY NOFOLLOW", { expect: "ELOOP" }),
    open("good", "RDONLY NOFOLLOW PATH", { expect: "open" }),
    open("good", "RDWR CREAT EXCL", { expect: "EEXIST" }),
    symlink("dangling", "made"),
    open("dangling", "RDWR CREAT", { expect: "open" }),
    ...Array.from({ length: 41 }, (_, i) => symlink(`l${i}`, i === 0 ? "file" : `l${i - 1}`)),
    open("l39", "RDONLY", { expect: "open" }),
    open("l40", "RDONLY", { expect: "ELOOP" }),
  ],
  "ENOENT, ENOTDIR, EISDIR: what is not there, or not what it should be": [
    make("file"),
    mkdir("dir"),
    open("missing", "RDONLY", { expect: "ENOENT" }),
    open("missing/a", "RDWR CREAT", { expect: "ENOENT" }),
    open("", "RDONLY", { expect: "open" }),
    open("file/a", "RDONLY", { expect: "ENOTDIR" }),
    open("file", "RDONLY DIRECTORY", { expect: "ENOTDIR" }),
    open("file/", "RDONLY", { expect: "ENOTDIR" }),
    open("new/", "RDWR CREAT", { expect: "EISDIR" }),
    open("dir", "WRONLY", { expect: "EISDIR" }),
    open("dir", "RDWR CREAT", { expect: "EISDIR" }),
    open("dir", "RDONLY"),
    { op: "read", slot: 0, size: 10, expect: "EISDIR" },
    write({ expect: "EBADF" }),
    truncate("dir", 0, { expect: "EISDIR" }),
    unlink("dir", { expect: "EISDIR" }),
    rmdir("file", { expect: "ENOTDIR" }),
    mkdir("file/a", 0o755, { expect: "ENOTDIR" }),
    { op: "readlink", path: "file", expect: "EINVAL" },
    { op: "readdir", path: "file", expect: "ENOTDIR" },
    open("file", "RDWR TMPFILE", { expect: "ENOTDIR" }),
    symlink("empty", "", { expect: "ENOENT" }),
  ],
  "EEXIST, ENOTEMPTY, EBUSY, EINVAL: names that are taken, full, or dots": [
    make("file"),
    mkdir("dir"),
    make("dir/inside"),
    mkdir("file", 0o755, { expect: "EEXIST" }),
    mkdir(".", 0o755, { expect: "EEXIST" }),
    mknod("file", 0o010644, { expect: "EEXIST" }),
    symlink("dir", "a", { expect: "EEXIST" }),
    link("file", "dir", { expect: "EEXIST" }),
    make("file", FILE, { expect: "EEXIST" }),
    rmdir("dir", { expect: "ENOTEMPTY" }),
    rmdir("dir/.", { expect: "EINVAL" }),
    rmdir("dir/..", { expect: "ENOTEMPTY" }),
    rename("dir", "dir/.", { expect: "EBUSY" }),
    rename("dir", "dir/inside/a", { expect: "ENOTDIR" }),
    rename("dir", "dir/child", { expect: "EINVAL" }),
    rename("dir/inside", "dir", { expect: "ENOTEMPTY" }),
    rename("dir", "dir/inside", { flags: 2, expect: "EINVAL" }),
    rename("file", "a", { flags: 3, expect: "EINVAL" }),
    unlink(".", { expect: "EISDIR" }),
  ],
  "rename: everything over everything, plain, NOREPLACE and EXCHANGE": renameMatrix(),
  "rename: two names of one inode, a directory's place, the same name": [
    make("a"),
    link("a", "b"),
    rename("a", "b", { expect: null }),
    rename("a", "a", { expect: null }),
    rename("a", "b", { flags: 2, expect: null }),
    rename("a", "b", { flags: 1, expect: "EEXIST" }),
    mkdir("d"),
    mkdir("d/e"),
    rename("d/e", "e", { expect: null }),
    rename("e", "d", { expect: null }),
    rename("a", "d/", { expect: "ENOTDIR" }),
    mkdir("x"),
    rename("x", "y/", { expect: null }),
  ],
  "EXDEV: nothing moves between file systems": [
    make("file"),
    rename("file", "!/dev/shm/zero-exdev-test", { expect: "EXDEV" }),
    link("file", "!/dev/shm/zero-exdev-test", { expect: "EXDEV" }),
  ],
  "EBADF, EINVAL, ESPIPE, ENXIO: descriptors that cannot do it": [
    make("file"),
    open("file", "RDONLY"),
    write({ expect: "EBADF" }),
    { op: "ftruncate", slot: 0, size: 0, expect: "EINVAL" },
    fallocate(0, { expect: "EBADF" }),
    { op: "fsync", slot: 0, expect: null },
    open("file", "WRONLY"),
    { op: "read", slot: 0, size: 1, expect: "EBADF" },
    { op: "ftruncate", slot: 0, size: -1, expect: "EINVAL" },
    { op: "seek", slot: 0, at: -1, whence: 0, expect: "EINVAL" },
    { op: "seek", slot: 0, at: 0, whence: 3, expect: "ENXIO" },
    { op: "seek", slot: 0, at: 0, whence: 4, expect: "ENXIO" },
    { op: "seek", slot: 0, at: 0, whence: 9, expect: "EINVAL" },
    fallocate(0, { size: 0, expect: "EINVAL" }),
    fallocate(0, { at: -1, expect: "EINVAL" }),
    fallocate(2, { expect: "EOPNOTSUPP" }),
    open("file", "RDWR PATH"),
    { op: "read", slot: 0, size: 1, expect: "EBADF" },
    { op: "fchmod", slot: 0, mode: 0o600, expect: "EBADF" },
    mknod("pipe", 0o010644),
    open("pipe", "WRONLY NONBLOCK", { expect: "ENXIO" }),
    open("pipe", "RDONLY NONBLOCK", { expect: "open" }),
    { op: "seek", slot: 0, at: 0, whence: 0, expect: "ESPIPE" },
    fallocate(0, { expect: "EBADF" }),
    truncate("pipe", 0, { expect: "EINVAL" }),
    mknod("socket", 0o140644),
    open("socket", "RDWR", { expect: "ENXIO" }),
    mknod("device", 0o020666),
    open("device", "RDWR", { expect: "EACCES" }),
  ],
  "EFBIG: files end at 16 TiB, and at the limit of the process": [
    open("file", "RDWR CREAT"),
    { op: "ftruncate", slot: 0, size: MAXIMUM_FILE_SIZE, expect: null },
    { op: "ftruncate", slot: 0, size: MAXIMUM_FILE_SIZE + 1, expect: "EFBIG" },
    write({ at: MAXIMUM_FILE_SIZE, expect: "EFBIG" }),
    fallocate(0, { at: MAXIMUM_FILE_SIZE, expect: "EFBIG" }),
    truncate("file", 100),
    { op: "limit", size: 1000 },
    write({ size: 2000, at: 0, expect: 1000 }),
    write({ at: 1000, expect: "EFBIG" }),
    { op: "ftruncate", slot: 0, size: 1001, expect: "EFBIG" },
    { op: "limit", size: -1 },
  ],
  "ETXTBSY: a program that runs is not written, one that is written does not run": [
    { op: "running", path: "program", expect: ["ETXTBSY", "ETXTBSY"] },
  ],
  "EAGAIN: locks that another has": [
    make("file"),
    open("file", "RDWR", { slot: 1 }),
    open("file", "RDWR", { slot: 2 }),
    { op: "flock", slot: 1, kind: "shared", expect: null },
    { op: "flock", slot: 2, kind: "shared", expect: null },
    { op: "flock", slot: 2, kind: "exclusive", expect: "EAGAIN" },
    { op: "lock", slot: 1, kind: "exclusive", at: 0, size: 10, expect: null },
    { op: "lock", slot: 2, kind: "shared", at: 5, size: 1, expect: "EAGAIN" },
    { op: "lock", slot: 2, kind: "exclusive", at: 10, size: 0, expect: null },
    { op: "close", slot: 1 },
    { op: "lock", slot: 2, kind: "shared", at: 5, size: 1, expect: null },
  ],
  "EAGAIN: locks of other processes, which go with any close of the file": [
    make("file"),
    open("file", "RDWR", { slot: 1 }),
    { op: "process_lock", slot: 1, kind: "exclusive", at: 0, size: 10, expect: null },
    { op: "process_lock", slot: 1, kind: "exclusive", at: 5, size: 10, expect: null },
    ...["shared", "exclusive"].map((kind) => ({
      op: "elsewhere",
      step: { op: "process_lock", slot: 1, kind, at: 12, size: 1 },
      expect: "EAGAIN",
    })),
    {
      op: "elsewhere",
      step: { op: "process_lock", slot: 1, kind: "exclusive", at: 15, size: 0 },
      expect: null,
    },
    open("file", "RDONLY", { slot: 2 }),
    { op: "close", slot: 2 },
    {
      op: "elsewhere",
      step: { op: "process_lock", slot: 1, kind: "exclusive", at: 0, size: 1 },
      expect: null,
    },
  ],
  "what another process writes, maps and removes is seen at once": [
    open("file", "RDWR CREAT"),
    write({ size: 9000 }),
    {
      op: "elsewhere",
      step: { op: "mmap", slot: 0, seed: 3, size: 5000, at: 100, private: false },
    },
    { op: "elsewhere", step: write({ size: 100, at: 20_000, seed: 5 }) },
    { op: "read", slot: 0, size: 30_000, at: 0 },
    { op: "elsewhere", step: truncate("file", 4000) },
    { op: "read", slot: 0, size: 30_000, at: 0 },
    { op: "elsewhere", step: unlink("file") },
    { op: "elsewhere", step: write({ size: 100 }) },
    { op: "read", slot: 0, size: 30_000, at: 0 },
  ],
  "extended attributes: ENODATA, EEXIST, ERANGE, EOPNOTSUPP, EPERM": [
    make("file"),
    chmod("file", 0o666),
    symlink("link", "file"),
    { op: "getxattr", path: "file", name: "user.a", expect: "ENODATA" },
    setxattr("file", "user.a", { flags: 2, expect: "ENODATA" }),
    setxattr("file", "user.a", { expect: null }),
    setxattr("file", "user.a", { flags: 1, expect: "EEXIST" }),
    { op: "getxattr_into", path: "file", name: "user.a", size: 0, expect: 3 },
    { op: "getxattr_into", path: "file", name: "user.a", size: 2, expect: "ERANGE" },
    { op: "getxattr_into", path: "file", name: "user.a", size: 3, expect: 3 },
    setxattr("file", "user." + "n".repeat(250), { expect: null }),
    setxattr("file", "user." + "n".repeat(251), { expect: "ERANGE" }),
    setxattr("file", "user.", { expect: "EINVAL" }),
    setxattr("file", "nothing.a", { expect: "EOPNOTSUPP" }),
    setxattr("file", "user.big", { size: 65_537, expect: "E2BIG" }),
    { op: "removexattr", path: "file", name: "user.b", expect: "ENODATA" },
    setxattr("link", "user.a", { expect: "EPERM" }),
    { op: "listxattr", path: "link", expect: [] },
    setxattr("file", "trusted.a", { as: 1, expect: "EPERM" }),
    { op: "getxattr", path: "file", name: "trusted.a", as: 1, expect: "ENODATA" },
    setxattr("file", "trusted.a", { expect: null }),
    { op: "listxattr", path: "file", as: 1 },
    setxattr("file", "security.a", { as: 1, expect: "EPERM" }),
    setxattr("file", "user.b", { as: 1, expect: null }),
    chmod("file", 0o600),
    setxattr("file", "user.b", { as: 1, expect: "EACCES" }),
    { op: "getxattr", path: "file", name: "user.a", as: 1, expect: "EACCES" },
    mkdir("sticky", 0o777),
    chmod("sticky", 0o1777),
    setxattr("sticky", "user.a", { as: 1, expect: "EPERM" }),
    setxattr("file", "system.posix_acl_default", {
      value: "020000000100070000000000",
      expect: "EINVAL",
    }),
  ],
  "O_TMPFILE: nameless until it is linked, and never with O_EXCL": [
    mkdir("d", 0o777),
    open("d", "RDWR TMPFILE", { mode: 0o640 }),
    write({ size: 5000 }),
    { op: "linkfd", slot: 0, to: "d/linked", expect: null },
    { op: "linkfd", slot: 0, to: "d/linked", expect: "EEXIST" },
    { op: "linkfd", slot: 0, to: "d/again", expect: null },
    unlink("d/linked"),
    unlink("d/again"),
    { op: "linkfd", slot: 0, to: "d/back", expect: "ENOENT" },
    open("d", "RDWR TMPFILE EXCL"),
    { op: "linkfd", slot: 0, to: "d/refused", expect: "ENOENT" },
    open("d", "RDONLY TMPFILE", { expect: "EINVAL" }),
    { op: "contents" },
  ],
  "files and directories that are removed while open": [
    mkdir("d", 0o777),
    open("d", "RDONLY DIRECTORY", { slot: 1 }),
    open("d/f", "RDWR CREAT"),
    write({ size: 100 }),
    unlink("d/f"),
    write({ size: 100 }),
    { op: "ftruncate", slot: 0, size: 50 },
    { op: "fchmod", slot: 0, mode: 0o600 },
    { op: "fchown", slot: 0, uid: 61001, gid: 61001 },
    utimens("", NO_TIME, NO_TIME, { slot: 0, atime: [1, 2], mtime: [3, 4] }),
    { op: "read", slot: 0, size: 100, at: 0 },
    rmdir("d", { expect: null }),
    make("@1/x", FILE, { expect: "ENOENT" }),
    mkdir("@1/x", 0o755, { expect: "ENOENT" }),
    { op: "readdir", path: "@1/" },
    open("@1/..", "RDONLY", { slot: 2 }),
    { op: "fsync", slot: 1 },
    mkdir("d"),
    make("d/f"),
  ],
};

/** 65,000 names of one file take a while. */
export const SLOW_ERRNO_CASES: Record<string, Step[]> = {
  "EMLINK: a file has at most 65,000 names": [
    make("file"),
    { op: "links", path: "file", count: 66_000, expect: [64_999, "EMLINK"] },
  ],
};
