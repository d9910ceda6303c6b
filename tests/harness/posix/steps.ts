/** Short ways to write the steps of `calls.py` down. `more` adds who takes it, or what it must answer. */
import type { Step } from "./generator.ts";

export const FILE = 0o644;

export const open = (path: string, flags: string, more: Partial<Step> = {}): Step => ({
  op: "open",
  slot: 0,
  path,
  flags: flags.split(" "),
  mode: FILE,
  ...more,
});
export const make = (path: string, mode = FILE, more: Partial<Step> = {}) =>
  open(path, "RDWR CREAT EXCL", { slot: 9, mode, ...more });
export const mkdir = (path: string, mode = 0o755, more: Partial<Step> = {}): Step => ({
  op: "mkdir",
  path,
  mode,
  ...more,
});
export const chmod = (path: string, mode: number, more: Partial<Step> = {}): Step => ({
  op: "chmod",
  path,
  mode,
  ...more,
});
export const chown = (path: string, uid: number, gid: number, more: Partial<Step> = {}): Step => ({
  op: "chown",
  path,
  uid,
  gid,
  ...more,
});
export const unlink = (path: string, more: Partial<Step> = {}): Step => ({
  op: "unlink",
  path,
  ...more,
});
export const rmdir = (path: string, more: Partial<Step> = {}): Step => ({
  op: "rmdir",
  path,
  ...more,
});
export const rename = (path: string, to: string, more: Partial<Step> = {}): Step => ({
  op: "rename",
  path,
  to,
  ...more,
});
export const link = (path: string, to: string, more: Partial<Step> = {}): Step => ({
  op: "link",
  path,
  to,
  ...more,
});
export const symlink = (path: string, target: string, more: Partial<Step> = {}): Step => ({
  op: "symlink",
  path,
  target,
  ...more,
});
export const mknod = (path: string, mode: number, more: Partial<Step> = {}): Step => ({
  op: "mknod",
  path,
  mode,
  device: [1, 3],
  ...more,
});
export const write = (more: Partial<Step> = {}): Step => ({
  op: "write",
  slot: 0,
  seed: 1,
  size: 1,
  ...more,
});
export const truncate = (path: string, size: number, more: Partial<Step> = {}): Step => ({
  op: "truncate",
  path,
  size,
  ...more,
});
export const setxattr = (path: string, name: string, more: Partial<Step> = {}): Step => ({
  op: "setxattr",
  path,
  name,
  seed: 1,
  size: 3,
  ...more,
});
export const utimens = (
  path: string,
  atime: unknown,
  mtime: unknown,
  more: Partial<Step> = {},
): Step => ({
  op: "utimens",
  path,
  atime,
  mtime,
  ...more,
});
export const fallocate = (mode: number, more: Partial<Step> = {}): Step => ({
  op: "fallocate",
  slot: 0,
  mode,
  at: 0,
  size: 10,
  ...more,
});
