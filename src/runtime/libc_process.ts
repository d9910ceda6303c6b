/**
 * System calls on the process, on mounts and on what an isolate waits for. The same promises as
 * `libc.ts`, which re-exports this: values >= 0 or a negative errno, descriptors close-on-exec.
 */
import { Errno } from "../domain/errno.ts";
import type { Timestamp } from "./clock.ts";
import { checked, cstring, type PathLike, symbols } from "./libc_symbols.ts";

/** Descriptors to wait for, as a `struct pollfd` array that is built once. */
export class PollSet {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #count: bigint;

  constructor(entries: readonly { fd: number; events: number }[]) {
    this.#bytes = new Uint8Array(entries.length * 8);
    this.#view = new DataView(this.#bytes.buffer);
    this.#count = BigInt(entries.length);
    entries.forEach((entry, index) => {
      this.#view.setInt32(index * 8, entry.fd, true);
      this.#view.setInt16(index * 8 + 4, entry.events, true);
    });
  }

  /**
   * Blocks the isolate until a descriptor is ready or `timeoutMs` is over (-1: for ever; whole
   * milliseconds). How many are ready; a signal counts as the end of the time.
   */
  wait(timeoutMs: number): number {
    const n = checked(symbols.poll(this.#bytes, this.#count, timeoutMs));
    return n === -Errno.EINTR ? 0 : n;
  }

  /** POLL bits of the entry `index` after `wait`. */
  ready(index: number): number {
    return this.#view.getInt16(index * 8 + 6, true);
  }
}

const EFD_CLOEXEC_NONBLOCK = 0o2004000;
const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
const counter = new Uint8Array(8);

/** A non-blocking eventfd at 0: wakes an isolate that waits in `poll`. */
export function eventfd(): number {
  return checked(symbols.eventfd(0, EFD_CLOEXEC_NONBLOCK));
}

/** Makes the eventfd readable. Callable from any isolate. */
export function signalEventfd(fd: number): number {
  return checked(symbols.write(fd, one, 8n));
}

/** Makes the eventfd unreadable again. True where it had been signalled. */
export function drainEventfd(fd: number): boolean {
  return symbols.read(fd, counter, 8n) === 8;
}

/** mount(2). `flags` of MS bits, `data` the options of the file system. */
export function mount(
  target: PathLike,
  options: { source: PathLike; type: string; flags: number; data: string },
): number {
  return checked(symbols.mount(
    cstring(options.source),
    cstring(target),
    cstring(options.type),
    BigInt(options.flags),
    cstring(options.data),
  ));
}

/** umount2(2) with UMOUNT bits. */
export function umount2(target: PathLike, flags: number): number {
  return checked(symbols.umount2(cstring(target), flags));
}

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;

/** A connected pair of Unix stream sockets, both close-on-exec; a negative errno where it fails. */
export function socketpair(): [number, number] | number {
  const pair = new Int32Array(2);
  const result = checked(
    symbols.socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, new Uint8Array(pair.buffer)),
  );
  return result < 0 ? result : [pair[0], pair[1]];
}

const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/**
 * Receives one descriptor that the peer passes over a Unix socket (SCM_RIGHTS). Blocks. The new
 * descriptor, or a negative errno; ENODATA where the peer closed or sent bytes without a descriptor.
 */
export function receiveDescriptor(socket: number): number {
  // One block, so that the addresses in it stay good: struct msghdr (name, namelen, iov, iovlen,
  // control, controllen, flags: 8 bytes each) at 0, its iovec at 64, control at 128, data at 192.
  const block = new ArrayBuffer(256);
  const base = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(new Uint8Array(block))));
  const words = new BigUint64Array(block);
  words.set([0n, 0n, base + 64n, 1n, base + 128n, 64n, 0n]);
  words.set([base + 192n, 8n], 8);
  let received: number;
  do {
    received = checked(symbols.recvmsg(socket, new Uint8Array(block), MSG_CMSG_CLOEXEC));
  } while (received === -Errno.EINTR);
  if (received < 0) return received;
  // struct cmsghdr: length (8 bytes), level, type; then the descriptors.
  const control = new DataView(block, 128);
  const complete = words[5] >= 20n && control.getUint32(0, true) >= 20;
  const rights = control.getInt32(8, true) === SOL_SOCKET &&
    control.getInt32(12, true) === SCM_RIGHTS;
  return complete && rights ? control.getInt32(16, true) : -Errno.ENODATA;
}

const RLIMIT_NOFILE = 7;

/** Raises the soft limit of open descriptors to the hard one. The new limit, or a negative errno. */
export function raiseOpenFileLimit(): number {
  const limits = new BigUint64Array(2);
  const bytes = new Uint8Array(limits.buffer);
  const got = checked(symbols.getrlimit(RLIMIT_NOFILE, bytes));
  if (got < 0) return got;
  limits[0] = limits[1];
  const set = checked(symbols.setrlimit(RLIMIT_NOFILE, bytes));
  return set < 0 ? set : Number(limits[0]);
}

const PR_SET_DUMPABLE = 4;

/** Whether a core dump may be written and other processes of the user may read our memory. */
export function setDumpable(dumpable: boolean): number {
  return checked(symbols.prctl(PR_SET_DUMPABLE, dumpable ? 1n : 0n, 0n, 0n, 0n));
}

/** umask(2): sets the mask of the process, returns the one before. */
export function umask(mask: number): number {
  return symbols.umask(mask);
}

/** setsid(2): leaves the terminal. EPERM where the process leads a group already. */
export function setsid(): number {
  return checked(symbols.setsid());
}

/** Real user id, effective user id and real group id of the process. */
export function processIds(): { uid: number; effectiveUid: number; gid: number } {
  return { uid: symbols.getuid(), effectiveUid: symbols.geteuid(), gid: symbols.getgid() };
}

const timespec = new Uint8Array(16);
const timespecView = new DataView(timespec.buffer);

/** clock_gettime(2) of a CLOCK. These clocks always exist. */
export function clockGettime(clock: number): Timestamp {
  symbols.clock_gettime(clock, timespec);
  return {
    seconds: timespecView.getUint32(0, true) + timespecView.getInt32(4, true) * 0x1_0000_0000,
    nanoseconds: timespecView.getUint32(8, true),
  };
}
