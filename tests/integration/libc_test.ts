import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import * as libc from "../../src/runtime/libc.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** Runs `body` with a temporary directory and an open file in it. */
async function withFile(body: (fd: number, directory: string) => void | Promise<void>) {
  const directory = Deno.makeTempDirSync();
  const fd = libc.open(`${directory}/file`, libc.O.RDWR | libc.O.CREAT, 0o640);
  try {
    assert.ok(fd > 2);
    await body(fd, directory);
  } finally {
    libc.close(fd);
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("files are written, read, measured and cut", () =>
  withFile((fd) => {
    const into = new Uint8Array(16);
    assert.equal(libc.write(fd, text("hello world"), 5), 5);
    assert.equal(libc.pwrite(fd, text("far"), 2 ** 33), 3);
    assert.equal(libc.pread(fd, into, 2 ** 33 - 1), 4);
    assert.deepEqual(into.subarray(0, 4), text("\0far"));
    assert.equal(libc.lseek(fd, 0, libc.SEEK.SET), 0);
    assert.equal(libc.read(fd, into.subarray(0, 5)), 5);
    assert.deepEqual(into.subarray(0, 5), text("hello"));
    const status = libc.fstat(fd);
    assert.ok(typeof status !== "number");
    assert.equal(status.size, 2 ** 33 + 3);
    assert.equal(status.mode, libc.S.IFREG | 0o640);
    assert.deepEqual([status.links, status.uid], [1, Deno.uid()]);
    assert.equal(libc.ftruncate(fd, 3), 0);
    assert.equal(libc.pread(fd, into, 0), 3);
    assert.equal(libc.fdatasync(fd) + libc.fsync(fd) + libc.syncfs(fd), 0);
  }));

Deno.test("failures are negative errnos, never exceptions", () =>
  withFile((fd, directory) => {
    assert.equal(libc.open(`${directory}/nothing`, libc.O.RDONLY), -Errno.ENOENT);
    assert.equal(libc.mkdir(directory, 0o700), -Errno.EEXIST);
    assert.equal(libc.unlink(directory), -Errno.EISDIR);
    assert.equal(libc.rmdir(directory), -Errno.ENOTEMPTY);
    assert.equal(libc.rename(`${directory}/nothing`, directory), -Errno.ENOENT);
    assert.equal(libc.lseek(fd, 10, libc.SEEK.DATA), -Errno.ENXIO);
    assert.equal(libc.close(1_000_000), -Errno.EBADF);
    assert.equal(libc.fstat(1_000_000), -Errno.EBADF);
    assert.equal(libc.statvfs(`${directory}/nothing`), -Errno.ENOENT);
    assert.equal(libc.ioctl(fd, 0x5401, new Uint8Array(64)), -Errno.ENOTTY);
    assert.throws(() => libc.cstring("a\0b"), RangeError);
  }));

Deno.test("descriptors are close-on-exec", () =>
  withFile((fd) => {
    const pair = libc.socketpair();
    assert.ok(typeof pair !== "number");
    const event = libc.eventfd();
    for (const each of [fd, ...pair, event]) {
      assert.equal(libc.fcntl(each, libc.F.GETFD), libc.FD_CLOEXEC);
    }
    for (const each of [...pair, event]) libc.close(each);
  }));

Deno.test("times are set to the nanosecond, before 1970 too, one without the other", () =>
  withFile((fd) => {
    const early = { seconds: -2_000_000_000, nanoseconds: 999_999_999 };
    assert.equal(libc.futimens(fd, { atime: early, mtime: early }), 0);
    const later = { seconds: 5_000_000_000, nanoseconds: 1 };
    assert.equal(libc.futimens(fd, { mtime: later }), 0);
    const status = libc.fstat(fd);
    assert.ok(typeof status !== "number");
    assert.deepEqual([status.atime, status.mtime], [early, later]);
    assert.equal(libc.futimens(fd, { atime: "now" }), 0);
  }));

Deno.test("holes are punched and found", () =>
  withFile((fd) => {
    const size = 1 << 20;
    assert.equal(libc.pwrite(fd, new Uint8Array(size).fill(1), 0), size);
    const mode = libc.FALLOC.PUNCH_HOLE | libc.FALLOC.KEEP_SIZE;
    assert.equal(libc.fallocate(fd, { mode, offset: 0, length: size / 2 }), 0);
    assert.equal(libc.lseek(fd, 0, libc.SEEK.DATA), size / 2);
    assert.equal(libc.lseek(fd, 0, libc.SEEK.HOLE), 0);
    const volume = libc.fstatvfs(fd);
    assert.ok(typeof volume !== "number");
    assert.ok(volume.totalBytes >= volume.freeBytes && volume.freeBytes >= volume.availableBytes);
  }));

Deno.test("locks exclude other descriptions, and leases tell of open files", () =>
  withFile((fd, directory) => {
    const other = libc.open(`${directory}/file`, libc.O.RDWR);
    assert.equal(libc.flock(fd, libc.LOCK.EX | libc.LOCK.NB), 0);
    assert.equal(libc.flock(other, libc.LOCK.EX | libc.LOCK.NB), -Errno.EAGAIN);
    assert.equal(libc.fcntl(fd, libc.F.SETLEASE, libc.F.WRLCK), -Errno.EAGAIN);
    libc.close(other);
    assert.equal(libc.fcntl(fd, libc.F.SETLEASE, libc.F.WRLCK), 0);
    assert.equal(libc.fcntl(fd, libc.F.SETLEASE, libc.F.UNLCK), 0);
  }));

Deno.test("calls in the background work, and tell their errors", () =>
  withFile(async (fd, directory) => {
    const into = new Uint8Array(8);
    libc.pwrite(fd, text("12345678"), 0);
    assert.equal(await libc.preadInBackground(fd, into, 4), 4);
    assert.deepEqual(into.subarray(0, 4), text("5678"));
    assert.equal(await libc.ftruncateInBackground(fd, 2), 0);
    assert.equal(await libc.fdatasyncInBackground(fd), 0);
    assert.equal(await libc.fsyncInBackground(fd), 0);
    assert.equal(await libc.syncfsInBackground(fd), 0);
    assert.equal(await libc.syncfsInBackground(-1), -Errno.EIO);
    assert.equal(await libc.statvfsWorksInBackground(directory), true);
    assert.equal(await libc.unlinkInBackground(libc.cstring(`${directory}/file`)), 0);
    assert.equal(await libc.unlinkInBackground(libc.cstring(`${directory}/file`)), -Errno.ENOENT);
    assert.equal(await libc.preadInBackground(1_000_000, into, 0), -Errno.EBADF);
    assert.equal(await libc.ftruncateInBackground(1_000_000, 0), -Errno.EBADF);
    assert.equal(await libc.fsyncInBackground(1_000_000), -Errno.EIO);
    assert.equal(await libc.statvfsWorksInBackground(`${directory}/nothing`), false);
  }));

Deno.test("an eventfd wakes poll, once per drain", () => {
  const event = libc.eventfd();
  const poll = new libc.PollSet([{ fd: event, events: libc.POLL.IN }]);
  assert.equal(poll.wait(0), 0);
  libc.signalEventfd(event);
  libc.signalEventfd(event);
  assert.equal(poll.wait(-1), 1);
  assert.equal(poll.ready(0), libc.POLL.IN);
  assert.deepEqual([libc.drainEventfd(event), libc.drainEventfd(event)], [true, false]);
  libc.close(event);
});

Deno.test("an isolate has its own errno, and can wake another", async () => {
  const event = libc.eventfd();
  const source = `
    import * as libc from ${JSON.stringify(import.meta.resolve("../../src/runtime/libc.ts"))};
    self.onmessage = (message) => {
      const wrong = Array.from({ length: 2000 }, () => libc.close(1_000_000)).filter((n) => n !== -9);
      libc.signalEventfd(message.data);
      self.postMessage(wrong.length);
    };`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const answer = new Promise<number>((resolve, reject) => {
    worker.onmessage = (message) => resolve(message.data);
    worker.onerror = (error) => reject(new Error(error.message));
  });
  worker.postMessage(event);
  try {
    let wrong = 0;
    for (let i = 0; i < 2000; i++) {
      if (libc.open("/nonexistent/file", libc.O.RDONLY) !== -Errno.ENOENT) wrong++;
    }
    assert.equal(wrong, 0);
    assert.equal(await answer, 0);
    assert.equal(libc.drainEventfd(event), true);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
    libc.close(event);
  }
});

Deno.test("the process's own matters", () => {
  assert.ok(libc.raiseOpenFileLimit() > 0);
  const before = libc.umask(0o077);
  assert.equal(libc.umask(before), 0o077);
  assert.deepEqual(libc.processIds().uid, Deno.uid());
  const boot = libc.clockGettime(libc.CLOCK.BOOTTIME);
  assert.ok(boot.seconds > 0 && boot.nanoseconds < 1e9);
});
