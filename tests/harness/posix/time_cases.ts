/**
 * Which times move when, which can be set, and by whom: utimensat(2), and relatime in mount(8). `expect`
 * is what both file systems must answer; that mtime and ctime move alike is looked at after every step.
 */
import type { Step } from "./generator.ts";
import {
  chmod,
  chown,
  make,
  mkdir,
  mknod,
  open,
  symlink,
  truncate,
  utimens,
  write,
} from "./steps.ts";

const DAY_S = 86_400;
const now = Math.floor(Date.now() / 1000);

/** Reads: whether atime moved, and whether the other times stayed. */
const accessed = (path: string, moves: boolean, more: Partial<Step> = {}): Step => ({
  op: "accessed",
  path,
  expect: [moves, true],
  ...more,
});

export const TIME_CASES: Record<string, Step[]> = {
  "relatime: atime moves at the first read after a change, and once a day": [
    open("file", "RDWR CREAT"),
    write({ size: 100 }),
    accessed("file", true),
    accessed("file", false),
    write({ size: 100 }),
    accessed("file", true),
    accessed("file", false),
    chmod("file", 0o600),
    accessed("file", true),
    truncate("file", 50),
    accessed("file", true, { noatime: true, expect: [false, true] }),
    accessed("file", true),
    utimens("file", [now - DAY_S - 60, 5], [now - 2 * DAY_S, 5]),
    accessed("file", true),
    utimens("file", [now + 1000, 0], "omit"),
    accessed("file", false),
    { op: "close", slot: 0 },
    accessed("file", false),
  ],
  "relatime: directories and links too": [
    mkdir("dir"),
    accessed("dir", true, { changed: true }),
    accessed("dir", false),
    symlink("link", "nowhere"),
    accessed("link", true),
    accessed("link", false),
  ],
  "times from 1901 to 2446, with nanoseconds, of everything": [
    make("file"),
    mkdir("dir"),
    symlink("link", "file"),
    mknod("pipe", 0o010644),
    ...["file", "dir", "link", "pipe"].flatMap((path) => [
      utimens(path, [-2_147_483_648, 0], [-1, 999_999_999], { expect: [-2_147_483_648, 0] }),
      utimens(path, [2_147_483_648, 1], [4_294_967_296, 123_456_789], {
        expect: [2_147_483_648, 1],
      }),
      utimens(path, [15_032_385_535, 0], [15_032_385_535, 0], { expect: [15_032_385_535, 0] }),
      utimens(path, "omit", [7, 7], { expect: null }),
      utimens(path, [8, 8], "omit", { expect: [8, 8] }),
      utimens(path, "omit", "omit", { expect: null }),
      utimens(path, "now", "omit", { expect: null }),
      utimens(path, "omit", "now", { expect: null }),
    ]),
  ],
  "EINVAL: nanoseconds that are none": [
    make("file"),
    utimens("file", [1, 1_000_000_000], [1, 1], { expect: "EINVAL" }),
    utimens("file", [1, 1], [1, -1], { expect: "EINVAL" }),
    utimens("missing", "omit", "omit", { expect: null }),
    utimens("missing", "now", "omit", { expect: "ENOENT" }),
  ],
  "who may set times: the owner all, who may write only both to now": [
    make("file"),
    chown("file", 61001, 61001),
    chmod("file", 0o666),
    utimens("file", "now", "now", { as: 2, expect: null }),
    utimens("file", "omit", "omit", { as: 2, expect: null }),
    utimens("file", "omit", "now", { as: 2, expect: "EPERM" }),
    utimens("file", "now", "omit", { as: 2, expect: "EPERM" }),
    utimens("file", [1, 1], "now", { as: 2, expect: "EPERM" }),
    utimens("file", [1, 1], "omit", { as: 1, expect: [1, 1] }),
    chmod("file", 0o444),
    utimens("file", "now", "now", { as: 1, expect: null }),
    utimens("file", "now", "now", { as: 2, expect: "EACCES" }),
    utimens("file", "omit", "omit", { as: 2, expect: null }),
    utimens("file", [1, 1], [2, 2], { as: 2, expect: "EPERM" }),
    chmod("file", 0o000),
    utimens("file", [3, 3], [4, 4], { as: 1, expect: [3, 3] }),
  ],
};
