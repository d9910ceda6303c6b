/**
 * Puts a FUSE file system at a directory and takes it away again: as root by mount(2), as another user
 * through the setuid helper `fusermount3`. Owns no state; the descriptor it returns belongs to the
 * caller. It never touches what is inside a mount, only the mount point before and after.
 */
import { resolve } from "node:path";
import { Errno, errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";
import { MAX_WRITE_BYTES } from "./abi.ts";
import { mountWithHelper, unmountWithHelper } from "./fusermount.ts";
import { mountAt } from "./mount_table.ts";

export interface MountOptions {
  /** What `df` and /proc/mounts show as the source. */
  readonly fsname: string;
  readonly readOnly?: boolean;
  /** Other users may enter (always asked for as root; the helper needs user_allow_other for it). */
  readonly allowOther?: boolean;
  /** Go through fusermount3 even as root. */
  readonly helper?: boolean;
}

export interface Mounted {
  /** Absolute, links resolved: what /proc/self/mountinfo shows. */
  readonly mountPoint: string;
  /** /dev/fuse of this mount, non-blocking and close-on-exec. */
  readonly fd: number;
  /** Number of the kernel's connection: /sys/fs/fuse/connections/N. */
  readonly connection: number;
  /** Made by fusermount3, so it takes fusermount3 to unmount. */
  readonly helper: boolean;
}

const TYPE = "fuse.zero";

/**
 * Mounts at `directory`. The kernel's INIT waits in the descriptor from then on; nothing works on the
 * mount before it is answered. Throws UserError that names the directory, the reason, the way out.
 */
export function mount(directory: string, options: MountOptions): Mounted {
  const mountPoint = mountPointOf(directory);
  const privileged = libc.processIds().effectiveUid === 0 && options.helper !== true;
  const fd = privileged ? mountAsRoot(mountPoint, options) : mountWithHelper(mountPoint, {
    fsname: options.fsname,
    options: kernelOptions(options.allowOther === true).concat(options.readOnly ? ["ro"] : []),
  });
  const entry = mountAt(mountPoint);
  if (entry === undefined) {
    libc.close(fd);
    throw new UserError(`mounted at '${mountPoint}', but /proc/self/mountinfo does not show it`, {
      hint: "something else unmounted it at once; mount again",
    });
  }
  return { mountPoint, fd, connection: entry.minor, helper: !privileged };
}

/**
 * Takes the mount away. `lazy`: out of the tree at once, even while files are open; the connection
 * lives on until they are closed. Returns 0 or a negative errno: EBUSY while somebody uses it,
 * EINVAL where nothing is mounted there.
 */
export function unmount(
  mounted: { mountPoint: string; helper: boolean },
  options: { lazy?: boolean } = {},
): number {
  if (mounted.helper && libc.processIds().effectiveUid !== 0) {
    return unmountWithHelper(mounted.mountPoint, options);
  }
  return libc.umount2(
    mounted.mountPoint,
    libc.UMOUNT.NOFOLLOW | (options.lazy ? libc.UMOUNT.DETACH : 0),
  );
}

function mountPointOf(directory: string): string {
  const refuse = (reason: string, hint: string) =>
    new UserError(`cannot mount at '${directory}': ${reason}`, { hint });
  const refuseMounted = (path: string) => {
    if (mountAt(path)?.type !== TYPE) return;
    throw refuse(
      "a zero file system is mounted there already, or was left behind by a process that is gone",
      `unmount it first: zero unmount '${directory}', or umount -l '${directory}'`,
    );
  };
  // Before the path is touched: what hangs there would hang us.
  refuseMounted(resolve(directory));
  const status = libc.stat(directory);
  if (status === -Errno.ENOENT) throw refuse("no such directory", `mkdir -p '${directory}'`);
  if (typeof status === "number") throw refuse(errnoName(-status), "check the path's permissions");
  if (!libc.isDirectory(status.mode)) throw refuse("not a directory", "name a directory");
  const path = Deno.realPathSync(directory);
  refuseMounted(path);
  return path;
}

/** The kernel's own options, beside those of each way to mount. */
function kernelOptions(allowOther: boolean): string[] {
  // Without max_read, machines with large pages would send reads above what the reply buffer holds.
  const options = ["default_permissions", `max_read=${MAX_WRITE_BYTES}`];
  return allowOther ? [...options, "allow_other"] : options;
}

function mountAsRoot(mountPoint: string, options: MountOptions): number {
  const fd = libc.open("/dev/fuse", libc.O.RDWR | libc.O.NONBLOCK);
  if (fd < 0) throw deviceError(-fd);
  const data = [
    `fd=${fd}`,
    "rootmode=40000",
    "user_id=0",
    "group_id=0",
    ...kernelOptions(options.allowOther ?? true),
  ];
  const flags = libc.MS.NOSUID | libc.MS.NODEV | (options.readOnly ? libc.MS.RDONLY : 0);
  const result = libc.mount(mountPoint, {
    source: options.fsname,
    type: TYPE,
    flags,
    data: data.join(","),
  });
  if (result >= 0) return fd;
  libc.close(fd);
  throw new UserError(`cannot mount at '${mountPoint}': ${errnoName(-result)}`, {
    hint: -result === Errno.EPERM
      ? "this process may not mount (no CAP_SYS_ADMIN, as in most containers)"
      : "see the kernel's log (dmesg) for the reason",
  });
}

function deviceError(errno: number): UserError {
  const missing = errno === Errno.ENOENT || errno === Errno.ENODEV || errno === Errno.ENXIO;
  return new UserError(`cannot open /dev/fuse: ${errnoName(errno)}`, {
    hint: missing
      ? "load the kernel's FUSE module: modprobe fuse (in a container, pass --device /dev/fuse)"
      : "give this user access to /dev/fuse (ordinarily it is mode 666)",
  });
}
