/**
 * The way to mount for users who are not root: the setuid helper `fusermount3` mounts and passes the
 * descriptor of /dev/fuse back over a Unix socket that it finds in _FUSE_COMMFD. Owns nothing; the
 * child sees an environment with nothing else in it.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";

const HELPER = "fusermount3";
const FALLBACK_PATH = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin";

/** Absolute path of the helper, since it runs without our PATH. */
function findHelper(): string {
  const path = `${Deno.env.get("PATH") ?? ""}:${FALLBACK_PATH}`;
  for (const folder of path.split(":")) {
    if (!folder.startsWith("/")) continue;
    const status = libc.stat(`${folder}/${HELPER}`);
    if (typeof status !== "number" && (status.mode & 0o111) !== 0) return `${folder}/${HELPER}`;
  }
  throw new UserError(`cannot find '${HELPER}', which mounts for users who are not root`, {
    hint: "install the package fuse3, or mount as root",
  });
}

/** The helper splits its options at commas; a backslash takes the meaning from the next byte. */
export function escapeOption(value: string): string {
  return value.replace(/[\\,]/g, (character) => "\\" + character);
}

function run(args: string[], commandSocket?: number): Deno.CommandOutput {
  return new Deno.Command(findHelper(), {
    args,
    clearEnv: true,
    env: {
      PATH: FALLBACK_PATH,
      LC_ALL: "C",
      ...(commandSocket === undefined ? {} : { _FUSE_COMMFD: String(commandSocket) }),
    },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).outputSync();
}

/** Mounts at `mountPoint`. The descriptor of /dev/fuse. Throws UserError with what the helper said. */
export function mountWithHelper(
  mountPoint: string,
  how: { fsname: string; options: string[] },
): number {
  const options = [`fsname=${escapeOption(how.fsname)}`, "subtype=zero", "nosuid", "nodev"];
  const pair = libc.socketpair();
  if (typeof pair === "number") {
    throw new UserError(`cannot make a socket for ${HELPER}: ${errnoName(-pair)}`, {
      hint: "close some files, or raise the limit of open files",
    });
  }
  const [ours, theirs] = pair;
  let complaint: string;
  let fd: number;
  try {
    // The one descriptor that a child is meant to inherit, and only while this child starts.
    libc.fcntl(theirs, libc.F.SETFD, 0);
    const args = ["-o", [...options, ...how.options].join(","), "--", mountPoint];
    try {
      complaint = new TextDecoder().decode(run(args, theirs).stderr).trim();
    } finally {
      libc.close(theirs);
    }
    fd = libc.receiveDescriptor(ours);
  } finally {
    libc.close(ours);
  }
  if (fd < 0) {
    throw new UserError(
      `${HELPER} cannot mount at '${mountPoint}': ${complaint || "it passed no descriptor"}`,
      { hint: "the directory must be yours and writable, and /dev/fuse open to you (mode 666)" },
    );
  }
  libc.fcntl(fd, libc.F.SETFL, libc.fcntl(fd, libc.F.GETFL) | libc.O.NONBLOCK);
  return fd;
}

/** Unmounts. 0, or a negative errno: EBUSY where the helper says so, else EIO. */
export function unmountWithHelper(mountPoint: string, options: { lazy?: boolean }): number {
  const output = run(["-u", ...(options.lazy ? ["-z"] : []), "--", mountPoint]);
  if (output.success) return 0;
  const complaint = new TextDecoder().decode(output.stderr);
  if (complaint.includes("busy")) return -Errno.EBUSY;
  return complaint.includes("not found in") ? -Errno.EINVAL : -Errno.EIO;
}
