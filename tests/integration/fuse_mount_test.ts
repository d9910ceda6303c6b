/**
 * The session on a real kernel: a file system in memory, served by a process of its own, used by
 * ordinary programs. Needs root and /dev/fuse; says so where it cannot run.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/runtime/clock.ts";
import { UserError } from "../../src/domain/errors.ts";
import { mountWithHelper, unmountWithHelper } from "../../src/fuse/fusermount.ts";
import { mount } from "../../src/fuse/mount.ts";
import { mountAt } from "../../src/fuse/mount_table.ts";
import { abortConnection, mountPointState } from "../../src/fuse/watchdog.ts";
import {
  helperObstacle,
  mountObstacle,
  openDevice,
  ServedMount,
  type ServeOptions,
} from "../harness/served_mount.ts";

const obstacle = mountObstacle();
if (obstacle !== undefined) console.log(`real mounts are not tested: ${obstacle}`);

function mountTest(name: string, body: (served: ServedMount) => Promise<void>, how?: ServeOptions) {
  Deno.test({
    name,
    ignore: obstacle !== undefined,
    fn: async () => {
      await using served = await ServedMount.serve(how);
      await body(served);
    },
  });
}

function refusedAsMounted(directory: string): void {
  assert.throws(() => mount(directory, { fsname: "another" }), (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /mounted there already/);
    return true;
  });
}

/** What a script on the mount prints; fails with its errors where it fails. */
async function output(mount: ServedMount, script: string): Promise<string> {
  const { code, stdout, stderr } = await mount.sh(script);
  assert.equal(code, 0, `${script}\n${stdout}\n${stderr}`);
  return stdout;
}

async function everyday(mount: ServedMount): Promise<void> {
  assert.equal(await output(mount, "echo hello > a; cat a"), "hello\n");
  assert.equal(await output(mount, "mkdir d; mv a d/b; ln d/b c; stat -c %h c"), "2\n");
  assert.equal(await output(mount, "ln -s d/b s; readlink s; cat s"), "d/b\nhello\n");
  assert.equal(await output(mount, "echo more >> c; wc -c < d/b; : > c; wc -c < d/b"), "11\n0\n");
  assert.equal(
    await output(mount, "setfattr -n user.color -v blue c; getfattr --only-values -n user.color c"),
    "blue",
  );
  assert.match(await output(mount, "getfattr -d c"), /user\.color="blue"/);
  assert.match((await mount.sh("getfattr -n user.other c")).stderr, /No such attribute/);
  assert.equal(
    await output(mount, "chmod 640 c; stat -c %a c; truncate -s 5G d/b 2>&1 || true; "),
    "640\ntruncate: failed to truncate 'd/b' at 5368709120 bytes: File too large\n",
  );
  assert.equal(await output(mount, "rm c; rm -r d; rm s; ls -A"), "");
}

async function bulk(mount: ServedMount): Promise<void> {
  const copied = await output(
    mount,
    `dd if=/dev/urandom of=big bs=1M count=8 2>/dev/null; cp big copy; cmp big copy
     dd if=big of=small bs=777 2>/dev/null; cmp big small; stat -c %s small; rm big copy small`,
  );
  assert.equal(copied, "8388608\n");
}

mountTest("programs read, write, link, rename and list on a mount made as root", async (mount) => {
  await everyday(mount);
  await bulk(mount);
  const entry = mountAt(mount.directory)!;
  assert.equal(entry.type, "fuse.zero");
  assert.equal(entry.minor, mount.connection);
  assert.equal(new TextDecoder().decode(entry.source), "zero,test \\ fs");
  refusedAsMounted(mount.directory);
  assert.equal(await mount.unmount(), "end unmounted defects 0 destroyed 1");
});

mountTest(
  "a directory of 5,000 names lists each of them once, also while it shrinks",
  async (mount) => {
    await output(mount, "mkdir many; cd many; seq -f 'name-%05g' 5000 | xargs touch");
    assert.equal(
      await output(mount, "ls -f many | sort -u | wc -l; ls -f many | wc -l"),
      "5002\n5002\n",
    );
    assert.equal(await output(mount, "ls -l many | wc -l"), "5001\n");
    assert.equal(await output(mount, "rm -r many; ls -A"), "");
  },
);

/** How many listings of a directory the server was asked for. */
async function listings(mount: ServedMount, script: string): Promise<number> {
  await output(mount, script);
  await mount.unmount();
  return [...mount.log.matchAll(/^listed$/mg)].length;
}

const LISTED_TWICE = `mkdir d; seq -f 'd/name-%g' 2000 | xargs touch
  for again in 1 2 3; do test $(ls -f d | wc -l) = 2002; done
  touch d/new; for again in 1 2 3; do test $(ls -f d | wc -l) = 2003; done`;

mountTest("the kernel keeps a listing for everybody until the directory changes", async (mount) => {
  assert.equal(await listings(mount, LISTED_TWICE), 2);
});

mountTest(
  "of what another mount changes, the kernel keeps no listing",
  async (mount) => assert.equal(await listings(mount, LISTED_TWICE), 6),
  { flags: ["--following"] },
);

mountTest("a hung connection is ended from outside; whoever waits is freed", async (mount) => {
  Deno.kill(mount.serverPid, "SIGSTOP");
  const waiting = mount.sh("echo new > file");
  const look = { timeoutMs: 200, clock: systemClock };
  try {
    assert.equal(await mountPointState(mount.directory, look), "wedged");
    assert.equal(abortConnection(mount.connection), true);
    assert.notEqual((await waiting).code, 0);
    assert.equal(await mountPointState(mount.directory, { ...look, timeoutMs: 20_000 }), "stale");
  } finally {
    Deno.kill(mount.serverPid, "SIGCONT");
  }
  assert.equal(await mount.end(), "end aborted defects 0 destroyed 1");
  assert.equal(abortConnection(1_000_000), false);
});

mountTest("times before 1970 and after 2106 survive with their nanoseconds", async (mount) => {
  const seen = await output(
    mount,
    `touch f; touch -a -d '1901-02-03 04:05:06.123456789 UTC' f
     touch -m -d '2345-06-07 08:09:10.987654321 UTC' f; stat -c '%x %y' f`,
  );
  assert.match(seen, /^1901-02-03 04:05:06\.123456789 .* 2345-06-07 08:09:10\.987654321/);
});

mountTest("other users may enter, and are who they are", async (mount) => {
  const seen = await output(
    mount,
    `chmod 1777 .; setpriv --reuid=1234 --regid=2345 --clear-groups sh -c 'umask 027; echo x > mine'
     stat -c '%u %g %a' mine
     chmod 600 mine; setpriv --reuid=1235 --regid=2345 --clear-groups cat mine 2>&1 || true`,
  );
  assert.equal(seen, "1234 2345 640\ncat: mine: Permission denied\n");
});

mountTest("a write by somebody else takes the setuid bit away", async (mount) => {
  const seen = await output(
    mount,
    `echo x > f; chmod 6777 f
     setpriv --reuid=1234 --regid=2345 --clear-groups sh -c 'echo y >> f'; stat -c %a f`,
  );
  assert.equal(seen, "777\n");
});

mountTest("unnamed files get a name by linkat, exchanges and NOREPLACE work", async (mount) => {
  const seen = await output(
    mount,
    `python3 - <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b"unnamed")
assert os.fstat(fd).st_nlink == 0
assert libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"named", 0x400) == 0
assert open("named").read() == "unnamed"
open("other", "w").write("other")
assert libc.renameat2(-100, b"named", -100, b"other", 2) == 0
assert open("named").read() == "other"
assert libc.renameat2(-100, b"named", -100, b"other", 1) == -1 and ctypes.get_errno() == 17
assert os.lseek(fd, 0, os.SEEK_HOLE) == 7
os.posix_fallocate(fd, 0, 1000)
assert os.fstat(fd).st_size == 1000
f = os.open("named", os.O_RDONLY)
assert os.pread(f, 10, 2**62) == b""
print("fine")
END`,
  );
  assert.equal(seen, "fine\n");
});

mountTest("names may be any bytes; too long ones are refused", async (mount) => {
  assert.equal(
    await output(mount, `touch "$(printf 'a\\377\\001b')"; ls -A | od -An -tx1`),
    " 61 ff 01 62 0a\n",
  );
  assert.match((await mount.sh(`touch $(printf %0256d 0)`)).stderr, /File name too long/);
  assert.equal(await output(mount, `touch $(printf %0255d 0); ls -A | wc -l`), "2\n");
});

mountTest("a mount whose server was killed is stale, and can be taken away", async (mount) => {
  const look = { timeoutMs: 20_000, clock: systemClock };
  assert.equal(await mountPointState(mount.directory, look), "answers");
  await mount.kill();
  assert.equal(await mountPointState(mount.directory, look), "stale");
  assert.match((await mount.sh("ls")).stderr, /not connected|can't cd/);
  refusedAsMounted(mount.directory);
  await new Deno.Command("umount", { args: ["-l", mount.directory] }).output();
  assert.equal(await mountPointState(mount.directory, look), "answers");
  assert.equal(await mountPointState(mount.directory + "/nothing", look), "absent");
});

const helperMissing = obstacle ?? helperObstacle();
if (helperMissing !== undefined) console.log(`fusermount3 is not tested: ${helperMissing}`);

Deno.test({
  name: "a user who is not root mounts through fusermount3 and has it to himself",
  ignore: helperMissing !== undefined,
  fn: async () => {
    using _open = openDevice();
    await using mount = await ServedMount.serve({ asNobody: true });
    await everyday(mount);
    await bulk(mount);
    const entry = mountAt(mount.directory)!;
    assert.equal(entry.type, "fuse.zero");
    assert.equal(entry.minor, mount.connection);
    assert.equal(new TextDecoder().decode(entry.source), "zero,test \\ fs");
    // Without allow_other not even root may look inside.
    const asRoot = await new Deno.Command("ls", { args: [mount.directory] }).output();
    assert.match(new TextDecoder().decode(asRoot.stderr), /Permission denied/);
    assert.equal(await mount.unmount(), "end unmounted defects 0 destroyed 1");
  },
});

Deno.test({
  name: "fusermount3's refusal is passed on with its reason",
  ignore: helperMissing !== undefined,
  fn: () => {
    // /proc/self/fd is a directory that nothing can be mounted on.
    const refused = () =>
      mountWithHelper("/proc/self/fd", { fsname: "a", options: ["nonsense=1"] });
    assert.throws(refused, (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /fusermount3.*nonsense/);
      return true;
    });
    assert.equal(unmountWithHelper("/tmp", {}) < 0, true);
  },
});
