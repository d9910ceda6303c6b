/**
 * What Linux holds against a FUSE server that serves opens of one inode in ways that do not go together
 * (fs/fuse/iomode.c): the open fails with EIO, and the server gets a RELEASE for the handle that it had
 * made. And what programs do with passthrough handles without asking the server: they read the backing
 * file, and map it; a mapping outlives the handle, the connection and the server.
 *
 *   open already ↓ / new reply →   cached, KEEP   DIRECT   PASS, PASS|DIRECT
 *   cached                         ok             ok       EIO
 *   DIRECT                         ok             ok       ok; with a shared mapping EIO until its release
 *   PASS or PASS|DIRECT            EIO            EIO      ok with the same backing id, else EIO
 *
 * EIO also for PASS with KEEP_CACHE, NONSEEKABLE or STREAM, with a backing id that is not registered,
 * and without FUSE_PASSTHROUGH in INIT. Stricter than Linux in one point: KEEP_CACHE on the first cached
 * open after a passthrough period throws, because what read-ahead has left in the page cache is stale.
 */
import * as libc from "../../src/runtime/libc.ts";

const Fopen = { DIRECT_IO: 1, KEEP_CACHE: 2, NOFLUSH: 32, PARALLEL: 64, PASSTHROUGH: 128 };
const ALLOWED = Fopen.DIRECT_IO | Fopen.NOFLUSH | Fopen.PARALLEL | Fopen.PASSTHROUGH;

/** Thrown where the kernel itself makes an open fail. */
export class KernelRefusal extends Error {
  readonly errno = 5;
}

interface OpenFile {
  readonly flags: number;
  /** The backing file as this program opened it; -1: not passthrough. */
  readonly fd: number;
  /** DIRECT, and mapped shared: counts as cached until it is released. */
  mapped: boolean;
}

interface InodeMode {
  files: Map<number, OpenFile[]>;
  /** Under which the inode is in passthrough; 0: it is not. */
  backingId: number;
  passedSinceDropped: boolean;
}

function checked(result: number): number {
  if (result < 0) throw new Error(`errno ${-result}`);
  return result;
}

/** A mapping of a backing file: a descriptor, since the rules of leases are the same. */
export class Mapping {
  constructor(readonly fd: number, readonly inode: number) {}

  read(offset: number, size: number): Uint8Array {
    return readBacking(this.fd, offset, size);
  }

  store(offset: number, bytes: Uint8Array): void {
    checked(libc.pwrite(this.fd, bytes, offset));
  }

  unmap(): void {
    libc.close(this.fd);
  }
}

function readBacking(fd: number, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  return bytes.subarray(0, checked(libc.pread(fd, bytes, offset)));
}

export class IoModes {
  /** FUSE_PASSTHROUGH was agreed on. */
  passthrough = false;
  readonly #inodes = new Map<number, InodeMode>();
  /** Backing files by id, as the kernel keeps them: alive although the server closes its descriptor. */
  readonly #registered = new Map<number, number>();

  register(id: number, fd: number): void {
    const held = libc.fcntl(fd, libc.F.DUPFD_CLOEXEC);
    if (held >= 0) this.#registered.set(id, held);
  }

  unregister(id: number): void {
    const held = this.#registered.get(id);
    if (held !== undefined) libc.close(held);
    this.#registered.delete(id);
  }

  #mode(inode: number): InodeMode {
    let mode = this.#inodes.get(inode);
    if (mode === undefined) {
      mode = { files: new Map(), backingId: 0, passedSinceDropped: false };
      this.#inodes.set(inode, mode);
    }
    return mode;
  }

  /** An OPEN or CREATE was answered. Throws KernelRefusal where the open fails. */
  open(
    inode: number,
    reply: { handle: number; flags: number; backingId: number },
    openFlags: number,
  ): void {
    const mode = this.#mode(inode);
    const { flags, handle } = reply;
    const passes = (flags & Fopen.PASSTHROUGH) !== 0;
    const files = [...mode.files.values()].flat();
    const passing = files.some((file) => (file.flags & Fopen.PASSTHROUGH) !== 0);
    const cached = files.some((file) => file.mapped || isCached(file.flags));
    if (passing && !passes) throw new KernelRefusal("not passthrough, as all others");
    let fd = -1;
    if (passes) {
      if (!this.passthrough) throw new KernelRefusal("passthrough was not agreed on");
      if ((flags & ~ALLOWED) !== 0) throw new KernelRefusal(`flags 0x${flags.toString(16)}`);
      if (cached) throw new KernelRefusal("passthrough beside cached");
      if (passing && mode.backingId !== reply.backingId) throw new KernelRefusal("another id");
      const held = this.#registered.get(reply.backingId);
      if (held === undefined) throw new KernelRefusal(`backing id ${reply.backingId} is unknown`);
      // As the kernel: the same file, opened once more with the program's own flags.
      fd = checked(libc.open(`/proc/self/fd/${held}`, openFlags & libc.O.ACCMODE));
      mode.backingId = reply.backingId;
      mode.passedSinceDropped = true;
    } else {
      // An open without KEEP_CACHE drops all pages, a direct one too.
      if ((flags & Fopen.KEEP_CACHE) !== 0 && mode.passedSinceDropped) {
        throw new Error(`inode ${inode}: KEEP_CACHE on the first other open after passthrough`);
      }
      mode.passedSinceDropped = false;
    }
    const file = { flags, fd, mapped: false };
    const same = mode.files.get(handle);
    if (same === undefined) mode.files.set(handle, [file]);
    else same.push(file);
  }

  #find(inode: number, handle: number): OpenFile | undefined {
    return this.#inodes.get(inode)?.files.get(handle)?.at(-1);
  }

  /** Before RELEASE is sent. */
  release(inode: number, handle: number): void {
    const mode = this.#mode(inode);
    const file = mode.files.get(handle)?.pop();
    if (mode.files.get(handle)?.length === 0) mode.files.delete(handle);
    if (file !== undefined && file.fd >= 0) libc.close(file.fd);
  }

  flagsOf(inode: number, handle: number): number | undefined {
    return this.#find(inode, handle)?.flags;
  }

  /** What a read of a passthrough handle gives, without the server; undefined for all others. */
  read(inode: number, handle: number, offset: number, size: number): Uint8Array | undefined {
    const file = this.#find(inode, handle);
    if (file === undefined || (file.flags & Fopen.PASSTHROUGH) === 0) return undefined;
    if ((file.flags & Fopen.DIRECT_IO) !== 0) return undefined;
    return readBacking(file.fd, offset, size);
  }

  /** mmap(2), shared. Of a passthrough handle the mapping; of a DIRECT one only its consequence. */
  map(inode: number, handle: number): Mapping | undefined {
    const file = this.#find(inode, handle);
    if (file === undefined) throw new Error(`handle ${handle} of inode ${inode} is not open`);
    if ((file.flags & Fopen.PASSTHROUGH) === 0) {
      file.mapped = (file.flags & Fopen.DIRECT_IO) !== 0;
      return undefined;
    }
    return new Mapping(checked(libc.fcntl(file.fd, libc.F.DUPFD_CLOEXEC)), inode);
  }

  /** The connection is over. */
  disconnect(): void {
    for (const { files } of this.#inodes.values()) {
      for (const { fd } of [...files.values()].flat()) if (fd >= 0) libc.close(fd);
    }
    for (const fd of this.#registered.values()) libc.close(fd);
    this.#inodes.clear();
    this.#registered.clear();
  }
}

const isCached = (flags: number) => (flags & (Fopen.DIRECT_IO | Fopen.PASSTHROUGH)) === 0;
