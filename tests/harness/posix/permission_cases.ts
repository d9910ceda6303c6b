/**
 * Who may do what, and what becomes of setuid, setgid and sticky, from the manual pages. Users 1 and 2
 * share group 63001; `expect` is what both file systems must answer.
 */
import type { Step } from "./generator.ts";
import {
  chmod,
  chown,
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
const PRIVILEGED = [0o4755, 0o2755, 0o6755, 0o2644, 0o6644, 0o1755];

export const PERMISSION_CASES: Record<string, Step[]> = {
  "EACCES: what the mode forbids to owner, group and others": [
    mkdir("open", 0o777),
    chmod("open", 0o777),
    make("open/file", 0o640),
    chown("open/file", 61001, 63001),
    open("open/file", "RDWR", { as: 1, expect: "open" }),
    open("open/file", "RDONLY", { as: 2, expect: "open" }),
    open("open/file", "RDWR", { as: 2, expect: "EACCES" }),
    truncate("open/file", 0, { as: 2, expect: "EACCES" }),
    chmod("open/file", 0o077),
    open("open/file", "RDONLY", { as: 1, expect: "EACCES" }),
    { op: "access", path: "open/file", mode: 4, as: 1, expect: false },
    { op: "access", path: "open/file", mode: 7, as: 2, expect: true },
    { op: "access", path: "open/file", mode: 1, expect: true },
    chmod("open/file", 0o600),
    { op: "access", path: "open/file", mode: 1, expect: false },
    mkdir("closed", 0o700),
    make("closed/file", 0o666),
    open("closed/file", "RDONLY", { as: 1, expect: "EACCES" }),
    unlink("closed/file", { as: 1, expect: "EACCES" }),
    { op: "readdir", path: "closed", as: 1, expect: "EACCES" },
    chmod("closed", 0o711),
    open("closed/file", "RDONLY", { as: 1, expect: "open" }),
    { op: "readdir", path: "closed", as: 1, expect: "EACCES" },
    chmod("closed", 0o744),
    open("closed/file", "RDONLY", { as: 1, expect: "EACCES" }),
    mkdir("readable", 0o755),
    make("readable/a", FILE, { as: 1, expect: "EACCES" }),
    open("readable", "RDWR TMPFILE", { as: 1, expect: "EACCES" }),
    mkdir("readable/d", 0o755, { as: 1, expect: "EACCES" }),
    rename("open/file", "readable/file", { as: 1, expect: "EACCES" }),
    // A directory that moves needs to be writable itself: its `..` changes.
    mkdir("open/mine", 0o755),
    mkdir("target", 0o777),
    chmod("target", 0o777),
    rename("open/mine", "target/mine", { as: 1, expect: "EACCES" }),
    rename("open/mine", "open/other", { as: 1, expect: null }),
  ],
  "EPERM: what only the owner may do": [
    make("file", 0o666),
    chmod("file", 0o666),
    chmod("file", 0o777, { as: 1, expect: "EPERM" }),
    chown("file", 61001, -1, { as: 1, expect: "EPERM" }),
    utimens("file", [1, 1], [1, 1], { as: 1, expect: "EPERM" }),
    utimens("file", "now", NO_TIME, { as: 1, expect: "EPERM" }),
    utimens("file", "now", "now", { as: 1, expect: null }),
    utimens("file", NO_TIME, NO_TIME, { as: 1, expect: null }),
    chmod("file", 0o644),
    utimens("file", "now", "now", { as: 1, expect: "EACCES" }),
    open("file", "RDONLY NOATIME", { as: 1, expect: "EPERM" }),
    chown("file", 61001, 61001),
    chown("file", 61002, -1, { as: 1, expect: "EPERM" }),
    chown("file", -1, 61002, { as: 1, expect: "EPERM" }),
    chown("file", -1, 63001, { as: 1, expect: null }),
    chown("file", 61001, 61001, { as: 1, expect: null }),
    utimens("file", [1, 1], [2, 2], { as: 1, expect: [1, 1] }),
    mkdir("all", 0o777),
    chmod("all", 0o777),
    mknod("all/device", 0o020666, { as: 1, expect: "EPERM" }),
    mknod("all/pipe", 0o010666, { as: 1, expect: null }),
    mknod("all/socket", 0o140666, { as: 1, expect: null }),
    mknod("all/whiteout", 0o020666, { device: [0, 0], as: 1, expect: null }),
    mknod("all/file", 0o100666, { as: 1, expect: null }),
    mknod("all/dir", 0o040777, { expect: "EPERM" }),
    link("all", "other", { expect: "EPERM" }),
    make("secret", 0o600),
    link("secret", "all/secret", { as: 1 }),
    fallocate(0),
  ],
  "sticky directories: only who owns the file or the directory takes names away": [
    mkdir("tmp", 0o777),
    chmod("tmp", 0o1777),
    make("tmp/one", 0o666, { as: 1 }),
    mkdir("tmp/dir", 0o777, { as: 1 }),
    make("tmp/two", 0o666, { as: 2 }),
    unlink("tmp/one", { as: 2, expect: "EPERM" }),
    rmdir("tmp/dir", { as: 2, expect: "EPERM" }),
    rename("tmp/one", "tmp/x", { as: 2, expect: "EPERM" }),
    rename("tmp/two", "tmp/one", { as: 2, expect: "EPERM" }),
    rename("tmp/two", "tmp/one", { as: 2, flags: 2, expect: "EPERM" }),
    unlink("tmp/one", { as: 1, expect: null }),
    chown("tmp", 61002, -1),
    rmdir("tmp/dir", { as: 2, expect: null }),
  ],
  "setgid directories: the group is inherited, and setgid by directories": [
    mkdir("shared", 0o777),
    chown("shared", 0, 63001),
    chmod("shared", 0o2777),
    make("shared/file", 0o644, { as: 1 }),
    mkdir("shared/dir", 0o755, { as: 1 }),
    make("shared/dir/file", 0o644, { as: 1 }),
    symlink("shared/link", "a", { as: 1 }),
    open("shared", "RDWR TMPFILE", { as: 1 }),
    make("shared/member", 0o2777, { as: 1 }),
    chown("shared", 0, 0),
    chmod("shared", 0o2777),
    make("shared/stranger", 0o2777, { as: 1 }),
    make("shared/stranger2", 0o2767, { as: 1 }),
    mkdir("shared/stranger3", 0o2777, { as: 1 }),
    mknod("shared/pipe", 0o012777, { as: 1 }),
    make("shared/root", 0o2777),
  ],
  "chmod: setgid goes where its setter is not in the group": [
    make("file"),
    chown("file", 61001, 61002),
    chmod("file", 0o2755, { as: 1, expect: null }),
    chmod("file", 0o6777, { as: 1, expect: null }),
    chmod("file", 0o6777, { expect: null }),
    chown("file", 61001, 63001),
    chmod("file", 0o2755, { as: 1, expect: null }),
    mkdir("dir"),
    chown("dir", 61001, 61002),
    chmod("dir", 0o2755, { as: 1, expect: null }),
    chmod("dir", 0o1777, { as: 1, expect: null }),
    chmod("file", 0o1777, { as: 1, expect: null }),
  ],
  ...Object.fromEntries(PRIVILEGED.map((mode) => [
    `setuid and setgid of 0${
      mode.toString(8)
    } after writes, truncations, new owners, fallocate and links`,
    privileges(mode),
  ])),
};

/** A file with these bits, changed in every way that may take them, by strangers, members and root. */
function privileges(mode: number): Step[] {
  const steps: Step[] = [mkdir("d", 0o777), chmod("d", 0o777)];
  const changes: ((path: string, as: number) => Step[])[] = [
    () => [write({ slot: 0 })],
    (path, as) => [truncate(path, 10, { as })],
    () => [{ op: "ftruncate", slot: 0, size: 5 }],
    (path, as) => [open(path, "WRONLY TRUNC", { slot: 1, as })],
    (path, as) => [chown(path, -1, 63001, { as })],
    (path, as) => [chown(path, 61001, -1, { as })],
    () => [fallocate(0), fallocate(3)],
    (path, as) => [link(path, `${path}-linked`, { as })],
    (path, as) => [setxattr(path, "user.a", { as })],
    () => [{ op: "mmap", slot: 0, seed: 1, size: 1, at: 0, private: false }],
  ];
  changes.forEach((change, number) => {
    for (const [as, group] of [[0, 63001], [1, 63001], [2, 63001], [1, 0]]) {
      const path = `d/${number}-${as}-${group}`;
      steps.push(
        make(path, 0o666),
        chown(path, 61001, group),
        chmod(path, 0o777),
        open(path, "RDWR", { as }),
        { op: "write", slot: 9, seed: 1, size: 100 },
        chmod(path, mode | 0o022),
        ...change(path, as).map((step) => ({ ...step, as })),
        { op: "close", slot: 0 },
      );
    }
  });
  return steps;
}
